//! Exec: create, start, resize, inspect.

use bryo_core::ExecStart;
use bryo_spec::docker;
use http::StatusCode;

use super::super::call::Call;
use super::super::convert::exec;
use super::super::error::Result;
use super::super::http::hijack;
use super::super::reply::{self, Reply};
use super::{attach, lifecycle};

/// `POST /containers/{id}/exec`.
pub async fn create(mut call: Call) -> Result<Reply> {
    let body: docker::ExecCreateRequest = call.json_or_default().await?;
    let id = call.engine.exec_create(call.name(), exec::spec(body)?).await?;
    reply::json(StatusCode::CREATED, &docker::IdResponse { id })
}

/// `POST /exec/{id}/start`: hijacks the connection unless detached.
pub async fn start(mut call: Call) -> Result<Reply> {
    let body: docker::ExecStartRequest = call.json_or_default().await?;
    let how = ExecStart {
        detach: body.detach,
        tty: body.tty,
        console_size: body.console_size.map(|[rows, columns]| (rows, columns)),
    };
    match call.engine.exec_start(call.name(), how).await? {
        None => Ok(reply::status(StatusCode::OK)),
        Some(attachment) => {
            let head = hijack::head(&call.headers, call.version, attachment.tty());
            call.hijacker.take(head, attach::session(attachment)).await
        }
    }
}

/// `POST /exec/{id}/resize`.
pub async fn resize(call: Call) -> Result<Reply> {
    let (rows, columns) = lifecycle::terminal_size(&call)?;
    call.engine.exec_resize(call.name(), rows, columns).await?;
    Ok(reply::status(StatusCode::OK))
}

/// `GET /exec/{id}/json`.
pub async fn inspect(call: Call) -> Result<Reply> {
    reply::ok(&exec::wire(&call.engine.exec_inspect(call.name()).await?))
}
