//! Streams of JSON values, one a line: progress and events.

use std::collections::VecDeque;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use serde::de::DeserializeOwned;

use super::super::error::{CliError, Result};

/// Takes a stream of bytes apart into JSON values.
pub struct JsonLines<S> {
    bytes: S,
    partial: Vec<u8>,
    lines: VecDeque<Vec<u8>>,
}

impl<S: Stream<Item = std::io::Result<Bytes>> + Unpin> JsonLines<S> {
    /// Lines of `bytes`.
    pub fn new(bytes: S) -> JsonLines<S> {
        JsonLines { bytes, partial: Vec::new(), lines: VecDeque::new() }
    }

    /// The next value; `None` at the end.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>> {
        loop {
            if let Some(line) = self.lines.pop_front() {
                return serde_json::from_slice(&line).map(Some).map_err(|e| {
                    CliError::new(format!("the daemon sent a line that is not JSON: {e}"))
                });
            }
            match self.bytes.next().await {
                Some(chunk) => self.take(&chunk?),
                None if self.partial.iter().any(|b| !b.is_ascii_whitespace()) => {
                    self.lines.push_back(std::mem::take(&mut self.partial));
                }
                None => return Ok(None),
            }
        }
    }

    fn take(&mut self, chunk: &[u8]) {
        for &byte in chunk {
            if byte != b'\n' {
                self.partial.push(byte);
            } else if self.partial.iter().any(|b| !b.is_ascii_whitespace()) {
                self.lines.push_back(std::mem::take(&mut self.partial));
            }
        }
    }
}
