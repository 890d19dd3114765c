//! Images: list, inspect, history, tag, remove, prune.

use bryo_images::{Image, SnapshotterKind};
use bryo_spec::docker;
use http::StatusCode;

use super::super::call::Call;
use super::super::convert::{image, image_inspect};
use super::super::error::{ApiError, Result};
use super::super::reply::{self, Reply};

/// `GET /images/json`.
pub async fn list(call: Call) -> Result<Reply> {
    let mut filters = call.query.filters()?;
    // The old way to filter by name.
    if let Some(name) = call.query.text("filter").filter(|_| !call.version.since(41)) {
        filters.0.entry("reference".to_owned()).or_default().push(name.to_owned());
    }
    let images = call.engine.image_list(call.query.flag("all"), &filters).await?;
    let list: Vec<_> = images.iter().map(|i| image::summary(i, call.version)).collect();
    reply::ok(&list)
}

/// `POST /images/{name}/tag`.
pub async fn tag(call: Call) -> Result<Reply> {
    let repo = call
        .query
        .text("repo")
        .ok_or_else(|| ApiError::bad_request("invalid reference format: repo is empty"))?;
    let tag = call.query.text("tag").unwrap_or_default();
    call.engine.image_tag(call.name(), repo, tag).await?;
    Ok(reply::status(StatusCode::CREATED))
}

/// `DELETE /images/{name}`.
pub async fn remove(call: Call) -> Result<Reply> {
    let removed = call
        .engine
        .image_remove(call.name(), call.query.flag("force"), call.query.flag("noprune"))
        .await?;
    reply::ok(&image::removed(removed))
}

/// `POST /images/prune`.
pub async fn prune(call: Call) -> Result<Reply> {
    let (removed, space_reclaimed) = call.engine.prune_images(&call.query.filters()?).await?;
    reply::ok(&docker::ImagesPruned {
        images_deleted: (!removed.is_empty()).then(|| image::removed(removed)),
        space_reclaimed,
    })
}

/// `GET /images/{name}/json`.
pub async fn inspect(call: Call) -> Result<Reply> {
    let image = resolve(&call).await?;
    let driver = match call.engine.images().snapshotter() {
        SnapshotterKind::Overlay => "overlayfs",
        SnapshotterKind::FuseOverlay(_) => "fuse-overlayfs",
        SnapshotterKind::Copy => "copy",
    };
    reply::ok(&image_inspect::wire(&image, driver, call.version))
}

/// `GET /images/{name}/history`.
pub async fn history(call: Call) -> Result<Reply> {
    reply::ok(&image_inspect::history(&resolve(&call).await?))
}

/// Looks an image up, on a thread that may wait for the disk.
async fn resolve(call: &Call) -> Result<Image> {
    let store = call.engine.images().clone();
    let name = call.name().to_owned();
    let platform = call.query.text("platform").map(str::to_owned);
    let found =
        tokio::task::spawn_blocking(move || store.resolve(&name, platform.as_deref())).await;
    match found {
        Ok(image) => image.map_err(|e| bryo_core::Error::from(e).into()),
        Err(e) => {
            Err(ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, format!("the look-up ended: {e}")))
        }
    }
}
