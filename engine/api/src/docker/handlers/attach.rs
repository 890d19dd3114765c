//! `POST /containers/{id}/attach`.

use bryo_core::{AttachOptions, Attachment};

use super::super::call::Call;
use super::super::error::Result;
use super::super::http::hijack::{self, Session};
use super::super::reply::Reply;

/// Checks first, so that a wrong request still gets a status; then the connection is the container's.
pub async fn attach(call: Call) -> Result<Reply> {
    let attachment = call
        .engine
        .attach(
            call.name(),
            AttachOptions {
                logs: call.query.flag("logs"),
                stream: call.query.flag("stream"),
                stdin: call.query.flag("stdin"),
                stdout: call.query.flag("stdout"),
                stderr: call.query.flag("stderr"),
                detach_keys: call.query.text("detachKeys").map(str::to_owned),
            },
        )
        .await?;
    let head = hijack::head(&call.headers, call.version, attachment.tty());
    call.hijacker.take(head, session(attachment)).await
}

/// Runs an attachment on the client's socket.
pub fn session(attachment: Attachment) -> Session {
    Box::new(move |socket, early| {
        Box::pin(async move {
            if let Err(e) = attachment.run(socket, early).await {
                tracing::warn!("a session ended: {e}");
            }
        })
    })
}
