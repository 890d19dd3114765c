//! One container, told what to do: start, stop, restart, kill, pause, rename, resize, wait, remove.

use bryo_core::{RemoveOptions, WaitCondition};
use bryo_spec::docker::{WaitError, WaitResponse};
use futures_util::{FutureExt, StreamExt};
use http::StatusCode;

use super::super::call::Call;
use super::super::error::{ApiError, Result};
use super::super::reply::{self, Reply};

/// `POST /containers/{id}/start`.
pub async fn start(call: Call) -> Result<Reply> {
    let started = call.engine.start(call.name()).await?;
    Ok(done_or_unchanged(started))
}

/// `POST /containers/{id}/stop`.
pub async fn stop(call: Call) -> Result<Reply> {
    let stopped =
        call.engine.stop(call.name(), call.query.text("signal"), call.query.number("t")?).await?;
    Ok(done_or_unchanged(stopped))
}

fn done_or_unchanged(done: bool) -> Reply {
    reply::status(if done { StatusCode::NO_CONTENT } else { StatusCode::NOT_MODIFIED })
}

/// `POST /containers/{id}/restart`.
pub async fn restart(call: Call) -> Result<Reply> {
    call.engine.restart(call.name(), call.query.text("signal"), call.query.number("t")?).await?;
    Ok(reply::no_content())
}

/// `POST /containers/{id}/kill`.
pub async fn kill(call: Call) -> Result<Reply> {
    call.engine.kill(call.name(), call.query.text("signal")).await?;
    Ok(reply::no_content())
}

/// `POST /containers/{id}/pause`.
pub async fn pause(call: Call) -> Result<Reply> {
    call.engine.pause(call.name()).await?;
    Ok(reply::no_content())
}

/// `POST /containers/{id}/unpause`.
pub async fn unpause(call: Call) -> Result<Reply> {
    call.engine.unpause(call.name()).await?;
    Ok(reply::no_content())
}

/// `POST /containers/{id}/rename`.
pub async fn rename(call: Call) -> Result<Reply> {
    let name = call
        .query
        .text("name")
        .ok_or_else(|| ApiError::bad_request("Neither old nor new names may be empty"))?;
    call.engine.rename(call.name(), name).await?;
    Ok(reply::no_content())
}

/// `POST /containers/{id}/resize`.
pub async fn resize(call: Call) -> Result<Reply> {
    let (rows, columns) = terminal_size(&call)?;
    call.engine.resize(call.name(), rows, columns).await?;
    Ok(reply::status(StatusCode::OK))
}

/// `h` and `w` of the resize calls.
pub fn terminal_size(call: &Call) -> Result<(u16, u16)> {
    let dimension = |name: &str| {
        call.query.number::<u16>(name)?.ok_or_else(|| {
            ApiError::bad_request(format!("invalid resize {name}: it must be given as a number"))
        })
    };
    Ok((dimension("h")?, dimension("w")?))
}

/// `POST /containers/{id}/wait`: the headers go out when the wait is registered, the body when it is over.
pub async fn wait(call: Call) -> Result<Reply> {
    let condition = match call.query.get("condition").unwrap_or_default() {
        "" | "not-running" => WaitCondition::NotRunning,
        "next-exit" => WaitCondition::NextExit,
        "removed" => WaitCondition::Removed,
        other => return Err(ApiError::bad_request(format!("invalid condition: \"{other}\""))),
    };
    let waiting = call.engine.wait(call.name(), condition).await?;
    let outcome = waiting.into_stream().map(|outcome| WaitResponse {
        error: outcome.error.map(|message| WaitError { message }),
        status_code: outcome.code,
    });
    Ok(reply::json_lines("application/json", outcome))
}

/// `DELETE /containers/{id}`.
pub async fn remove(call: Call) -> Result<Reply> {
    let options = RemoveOptions {
        force: call.query.flag("force"),
        volumes: call.query.flag("v"),
        link: call.query.flag("link"),
    };
    call.engine.remove(call.name(), options).await?;
    Ok(reply::no_content())
}
