//! Volumes.

use bryo_spec::docker;
use http::StatusCode;

use super::super::call::Call;
use super::super::convert::volume;
use super::super::error::{ApiError, Result};
use super::super::reply::{self, Reply};

/// `GET /volumes`.
pub async fn list(call: Call) -> Result<Reply> {
    let volumes = call.engine.volume_list(&call.query.filters()?).await?;
    reply::ok(&docker::VolumeList {
        volumes: volumes.iter().map(volume::wire).collect(),
        warnings: None,
    })
}

/// `POST /volumes/create`.
pub async fn create(mut call: Call) -> Result<Reply> {
    let body: docker::VolumeCreateRequest = call.json_or_default().await?;
    if body.cluster_volume_spec.is_some() {
        return Err(ApiError::bad_request(
            "cluster volumes need swarm mode, which Bryo does not have",
        ));
    }
    let view = call.engine.volume_create(volume::spec(body)).await?;
    reply::json(StatusCode::CREATED, &volume::wire(&view))
}

/// `GET /volumes/{name}`.
pub async fn inspect(call: Call) -> Result<Reply> {
    reply::ok(&volume::wire(&call.engine.volume_inspect(call.name()).await?))
}

/// `DELETE /volumes/{name}`.
pub async fn remove(call: Call) -> Result<Reply> {
    call.engine.volume_remove(call.name(), call.query.flag("force")).await?;
    Ok(reply::no_content())
}

/// `POST /volumes/prune`. Before 1.42 named volumes were pruned as well, which the filter `all` asks for since.
pub async fn prune(call: Call) -> Result<Reply> {
    let mut filters = call.query.filters()?;
    if !call.version.since(42) {
        filters.0.insert("all".to_owned(), vec!["true".to_owned()]);
    }
    let pruned = call.engine.prune_volumes(&filters).await?;
    reply::ok(&docker::VolumesPruned {
        volumes_deleted: pruned.deleted,
        space_reclaimed: pruned.reclaimed,
    })
}
