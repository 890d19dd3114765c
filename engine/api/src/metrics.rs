//! `GET /metrics` for Prometheus, on a listener of its own: whoever may read it may not use the API.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bryo_core::Engine;
use http::{Method, Request, StatusCode};
use hyper::body::Incoming;

use crate::docker::{Answers, Hijacker, Listener, Options, Reply, run, typed_text};

/// What Prometheus knows the format by.
const FORMAT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

struct Door(Engine);

impl Answers for Door {
    fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        _: Hijacker,
    ) -> Pin<Box<dyn Future<Output = Reply> + Send>> {
        Box::pin(async move {
            let plain = "text/plain; charset=utf-8";
            if request.uri().path() != "/metrics" {
                return typed_text(StatusCode::NOT_FOUND, plain, "only /metrics is here\n");
            }
            if !matches!(*request.method(), Method::GET | Method::HEAD) {
                return typed_text(StatusCode::METHOD_NOT_ALLOWED, plain, "only GET is allowed\n");
            }
            match self.0.metrics().await {
                Ok(text) => typed_text(StatusCode::OK, FORMAT, text),
                Err(e) => {
                    let text = format!("{}\n", e.message());
                    typed_text(StatusCode::INTERNAL_SERVER_ERROR, plain, text)
                }
            }
        })
    }
}

/// Serves `/metrics` on the listener until `options.stop` is cancelled.
pub async fn serve(
    engine: Engine,
    listener: std::net::TcpListener,
    options: Options,
) -> std::io::Result<()> {
    run(Arc::new(Door(engine)), vec![Listener::Tcp(listener)], options).await
}
