//! A request's body as a stream of bytes that is read on when its reader has lost interest.
//!
//! A refusal (no such folder, a read-only container) is often written while the client still sends. If the connection were
//! closed over unread bytes, the client would meet "broken pipe" and never read the answer. So what is left of the body is
//! read away in the background, as net/http does, within a bound of bytes and of patience.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bryo_core::{Error, Result};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http_body_util::BodyStream;
use hyper::body::Incoming;

/// Bytes of a refused upload that are read away; whoever sends more sees the connection closed.
const MOST: usize = 4 << 20;

/// How long to wait for each further piece.
const PATIENCE: Duration = Duration::from_secs(2);

/// The body; dropping it reads the rest away.
pub struct Upload {
    body: Option<BodyStream<Incoming>>,
}

impl Upload {
    /// Takes a body over.
    pub fn new(body: Incoming) -> Upload {
        Upload { body: Some(BodyStream::new(body)) }
    }
}

impl Stream for Upload {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let Some(body) = self.body.as_mut() else { return Poll::Ready(None) };
            match ready!(body.poll_next_unpin(context)) {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Poll::Ready(Some(Ok(data)));
                    }
                }
                Some(Err(e)) => {
                    self.body = None;
                    let error = Error::invalid("the client's upload broke off").with_source(e);
                    return Poll::Ready(Some(Err(error)));
                }
                None => self.body = None,
            }
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let (Some(body), Ok(runtime)) = (self.body.take(), tokio::runtime::Handle::try_current())
        {
            runtime.spawn(read_away(body));
        }
    }
}

async fn read_away(mut body: BodyStream<Incoming>) {
    let mut left = MOST;
    while let Ok(Some(Ok(frame))) = tokio::time::timeout(PATIENCE, body.next()).await {
        left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
        if left == 0 {
            break;
        }
    }
}
