//! One connection: HTTP/1.1 with keep-alive until it ends, the client goes, the engine stops, or a session takes it over.

use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bryo_core::Error;
use bytes::Bytes;
use http::Request;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::super::reply::{Body, Reply};
use super::hijack::{Hijacker, Takeover};
use super::io::{Socket, Watch};

/// What answers requests: the API's door, or a test's.
pub trait Answers: Send + Sync + 'static {
    /// Answers one request.
    fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        hijacker: Hijacker,
    ) -> Pin<Box<dyn Future<Output = Reply> + Send>>;
}

/// Serves one connection to its end. After `stop` the answer in progress is the last one; after `cut` not even that.
pub async fn serve<A: Answers>(
    door: Arc<A>,
    socket: Socket,
    stop: CancellationToken,
    cut: CancellationToken,
) {
    let (hijacker, mut takeovers) = Hijacker::new();
    let busy = Arc::new(Busy::default());
    let watch = socket.watch();
    let service = {
        let busy = busy.clone();
        service_fn(move |request| {
            let guard = busy.enter();
            let answer = door.clone().answer(request, hijacker.clone());
            async move {
                let reply = answer.await;
                Ok::<_, Infallible>(reply.map(|body| Guarded { body, _guard: guard }))
            }
        })
    };
    let mut connection = http1::Builder::new()
        .half_close(true)
        .title_case_headers(true)
        .serve_connection(socket, service);
    let mut stopping = false;
    let takeover = {
        let mut gone = pin!(gone_while_busy(&busy, &watch));
        loop {
            tokio::select! {
                biased;
                Some(takeover) = takeovers.recv() => break takeover,
                end = &mut connection => return log_end(end),
                () = &mut gone => return,
                () = cut.cancelled() => return,
                () = stop.cancelled(), if !stopping => {
                    stopping = true;
                    Pin::new(&mut connection).graceful_shutdown();
                }
            }
        }
    };
    drop(watch);
    let parts = connection.into_parts();
    // The socket is the monitor's by then: cutting leaves the session as it is.
    tokio::select! {
        () = run_session(parts.io, &parts.read_buf, takeover) => {}
        () = cut.cancelled() => {}
    }
}

/// Writes the head, hands the socket over, and stays until the session has ended.
async fn run_session(mut socket: Socket, early: &[u8], takeover: Takeover) {
    if let Err(e) = socket.write_all(&takeover.head).await {
        tracing::debug!("the client went before its session began: {e}");
        return;
    }
    socket.head_was_read().await;
    match socket.into_fd() {
        Ok(fd) => (takeover.session)(fd, early.to_vec()).await,
        Err(e) => tracing::warn!("cannot hand a client's socket over: {e}"),
    }
}

fn log_end(end: hyper::Result<()>) {
    if let Err(e) = end {
        tracing::debug!("a connection ended: {e}");
    }
}

/// Resolves when the client is gone while a request is being answered; an idle connection's end is hyper's business.
async fn gone_while_busy(busy: &Busy, watch: &Watch) {
    loop {
        busy.entered().await;
        watch.gone().await;
        if busy.is_busy() {
            return;
        }
    }
}

/// Whether a request is being answered.
#[derive(Default)]
struct Busy {
    flag: AtomicBool,
    entered: Notify,
}

impl Busy {
    fn enter(self: &Arc<Busy>) -> Guard {
        self.flag.store(true, Ordering::Release);
        self.entered.notify_one();
        Guard(self.clone())
    }

    fn is_busy(&self) -> bool {
        self.flag.load(Ordering::Acquire)
    }

    async fn entered(&self) {
        while !self.is_busy() {
            self.entered.notified().await;
        }
    }
}

/// Clears the flag when the answer has been written or given up.
struct Guard(Arc<Busy>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.flag.store(false, Ordering::Release);
    }
}

/// A body that keeps its connection busy until its end.
struct Guarded {
    body: Body,
    _guard: Guard,
}

impl HttpBody for Guarded {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
