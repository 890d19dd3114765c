//! `GET /containers/{id}/stats`.

use std::time::Duration;

use bryo_core::Sample;
use futures_util::StreamExt;

use super::super::call::Call;
use super::super::convert::stats::wire;
use super::super::error::Result;
use super::super::reply::{self, Reply};

/// Between the two samples that a single answer is made of: percentages of processor time need both.
const APART: Duration = Duration::from_secs(1);

/// A line each second; with `stream=0` a single answer, whose `precpu_stats` are from a second before unless `one-shot` is set.
pub async fn stats(call: Call) -> Result<Reply> {
    let engine = &call.engine;
    if call.query.flag_or("stream", true) {
        let mut before: Option<Sample> = None;
        let lines = engine.samples(call.name())?.map(move |sample| {
            let line = wire(&sample, before.as_ref());
            before = Some(sample);
            line
        });
        return Ok(reply::json_lines("application/json", lines));
    }
    let first = engine.sample(call.name()).await?;
    if first.usage.is_none() || call.query.flag("one-shot") {
        return reply::ok(&wire(&first, None));
    }
    tokio::time::sleep(APART).await;
    let second = engine.sample(&first.id).await?;
    reply::ok(&wire(&second, Some(&first)))
}
