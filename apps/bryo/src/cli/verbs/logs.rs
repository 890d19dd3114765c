//! `logs`.

use std::io::Write;

use futures_util::StreamExt;
use jiff::Timestamp;

use super::super::client::{self, chunks, query, request, segment};
use super::super::context::Context;
use super::super::error::{CliError, Result};
use super::super::flags::{Flag, Parsed, switch, value};
use super::super::run::values::duration;
use super::attach::inspect;

/// Its flags.
pub const FLAGS: &[Flag] = &[
    switch("details", None, "Show extra details provided to logs"),
    switch("follow", Some('f'), "Follow log output"),
    value(
        "since",
        None,
        "string",
        "Show logs since timestamp (e.g. \"2013-01-02T13:23:37Z\") or relative (e.g. \"42m\" for 42 minutes)",
    ),
    value(
        "tail",
        Some('n'),
        "string",
        "Number of lines to show from the end of the logs (default \"all\")",
    ),
    switch("timestamps", Some('t'), "Show timestamps"),
    value(
        "until",
        None,
        "string",
        "Show logs before a timestamp (e.g. \"2013-01-02T13:23:37Z\") or relative (e.g. \"42m\" for 42 minutes)",
    ),
];

/// Prints a log, each stream where it belongs.
pub async fn logs(context: Context, p: Parsed) -> Result<u8> {
    let container = inspect(&context, p.args.first().map_or("", String::as_str)).await?;
    let mut pairs = vec![("stdout", "1".to_owned()), ("stderr", "1".to_owned())];
    for flag in ["details", "follow", "timestamps"] {
        if p.is(flag) {
            pairs.push((flag, "1".to_owned()));
        }
    }
    for flag in ["since", "until"] {
        if let Some(text) = p.get(flag) {
            pairs.push((flag, timestamp(flag, text)?));
        }
    }
    if let Some(tail) = p.get("tail") {
        pairs.push(("tail", tail.to_owned()));
    }
    let path = format!("/containers/{}/logs{}", segment(&container.id), query(&pairs));
    let response = context.client.call(request(http::Method::GET, &path, client::empty())?).await?;
    let mut bytes = chunks(response);
    let mut frames = Frames { raw: container.config.tty, pending: Vec::new() };
    while let Some(chunk) = bytes.next().await {
        frames.take(&chunk?)?;
    }
    Ok(0)
}

/// A time or a duration back from now, as the API wants it.
pub fn timestamp(flag: &str, text: &str) -> Result<String> {
    if let Some(back) = duration(text) {
        let then = Timestamp::now().as_nanosecond() - i128::from(back);
        let (seconds, nanos) = (then.div_euclid(1_000_000_000), then.rem_euclid(1_000_000_000));
        return Ok(format!("{seconds}.{nanos:09}"));
    }
    let is_number = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if is_number || text.parse::<Timestamp>().is_ok() {
        return Ok(text.to_owned());
    }
    // Dates without a zone are local, as Go has it.
    if let Ok(local) = text.parse::<jiff::civil::DateTime>() {
        let zoned = local.to_zoned(jiff::tz::TimeZone::system());
        return zoned
            .map(|z| z.timestamp().to_string())
            .map_err(|e| CliError::new(format!("invalid value for \"{flag}\": {e}")));
    }
    Err(CliError::new(format!(
        "invalid value for \"{flag}\": failed to parse value as time or duration: \"{text}\""
    )))
}

/// Takes frames apart and writes them out, many at a time.
struct Frames {
    raw: bool,
    pending: Vec<u8>,
}

impl Frames {
    fn take(&mut self, chunk: &[u8]) -> Result<()> {
        let (mut out, mut err) = (std::io::stdout().lock(), std::io::stderr().lock());
        if self.raw {
            out.write_all(chunk)?;
            return Ok(out.flush()?);
        }
        self.pending.extend_from_slice(chunk);
        let mut rest = self.pending.as_slice();
        let mut lines = Vec::new();
        while let Some(([stream, _, _, _, a, b, c, d], tail)) = rest.split_first_chunk::<8>() {
            let length =
                usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])).unwrap_or(usize::MAX);
            let Some((data, tail)) = tail.split_at_checked(length) else { break };
            if *stream == 2 {
                // The order between the two is kept as well as two descriptors can.
                out.write_all(&lines)?;
                lines.clear();
                out.flush()?;
                err.write_all(data)?;
            } else {
                lines.extend_from_slice(data);
            }
            rest = tail;
        }
        out.write_all(&lines)?;
        out.flush()?;
        let used = self.pending.len() - rest.len();
        self.pending.drain(..used);
        Ok(())
    }
}
