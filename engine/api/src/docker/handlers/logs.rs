//! `GET /containers/{id}/logs`.

use bryo_core::LogOptions;

use super::super::call::Call;
use super::super::error::{ApiError, Result};
use super::super::http::hijack;
use super::super::reply::{self, Reply};

/// Frames, or the bytes themselves for a container with a terminal.
pub async fn logs(call: Call) -> Result<Reply> {
    let options = LogOptions {
        follow: call.query.flag("follow"),
        stdout: call.query.flag("stdout"),
        stderr: call.query.flag("stderr"),
        since: call.query.time("since")?,
        until: call.query.time("until")?,
        timestamps: call.query.flag("timestamps"),
        tail: tail(call.query.text("tail"))?,
        details: call.query.flag("details"),
    };
    if !(options.stdout || options.stderr) {
        return Err(ApiError::bad_request("Bad parameters: you must choose at least one stream"));
    }
    let log = call.engine.log_bytes(call.name(), options).await?;
    Ok(reply::stream(hijack::content_type(call.version, log.tty), log.bytes))
}

/// `all`, a number, or anything negative for all.
fn tail(text: Option<&str>) -> Result<Option<u64>> {
    match text {
        None | Some("all") => Ok(None),
        Some(text) => match text.parse::<i64>() {
            Ok(n) => Ok(u64::try_from(n).ok()),
            Err(_) => Err(ApiError::bad_request(format!(
                "invalid value for 'tail': '{text}' is neither a number nor 'all'"
            ))),
        },
    }
}
