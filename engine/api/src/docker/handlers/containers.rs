//! Containers as a set: list, create, prune.

use bryo_core::ListOptions;
use bryo_spec::docker;
use http::StatusCode;

use super::super::call::Call;
use super::super::convert::{create, summary};
use super::super::error::{ApiError, Result};
use super::super::reply::{self, Reply};
use super::super::time;

/// `GET /containers/json`.
pub async fn list(call: Call) -> Result<Reply> {
    let limit = call.query.number::<i64>("limit")?;
    let views = call
        .engine
        .list(ListOptions {
            all: call.query.flag("all"),
            limit: limit.and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0),
            size: call.query.flag("size"),
            filters: call.query.filters()?,
        })
        .await?;
    let now = time::now();
    let list: Vec<_> = views.iter().map(|v| summary::wire(v, call.version, now)).collect();
    reply::ok(&list)
}

/// `POST /containers/create`.
pub async fn create(mut call: Call) -> Result<Reply> {
    let body: docker::CreateRequest = call.json().await?.ok_or_else(|| {
        ApiError::bad_request("config cannot be empty in order to create a container")
    })?;
    let spec = create::spec(body, call.query.text("platform"), call.version)?;
    let created = call.engine.create(call.query.text("name"), spec).await?;
    reply::json(
        StatusCode::CREATED,
        &docker::CreateResponse { id: created.id, warnings: created.warnings },
    )
}

/// `POST /containers/prune`.
pub async fn prune(call: Call) -> Result<Reply> {
    let pruned = call.engine.prune_containers(&call.query.filters()?).await?;
    reply::ok(&docker::ContainersPruned {
        containers_deleted: (!pruned.deleted.is_empty()).then_some(pruned.deleted),
        space_reclaimed: pruned.reclaimed,
    })
}
