//! What this engine does not have: every such path answers at once, with a sentence.

use http::StatusCode;

use super::call::Call;
use super::error::{ApiError, Result};
use super::reply::{self, Reply};

/// Swarm's endpoints. Docker's own text, which clients look for.
pub async fn swarm(_: Call) -> Result<Reply> {
    Err(ApiError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "This node is not a swarm manager. Bryo has no swarm mode: \
         \"docker swarm init\" and \"docker swarm join\" are not supported.",
    ))
}

/// `GET /plugins`: there are none.
pub async fn plugins(_: Call) -> Result<Reply> {
    reply::ok(&[(); 0])
}

/// A plugin by name: there is none.
pub async fn plugin(call: Call) -> Result<Reply> {
    Err(ApiError::new(
        StatusCode::NOT_FOUND,
        format!("plugin \"{}\" not found: Bryo has no managed plugins", call.name()),
    ))
}

/// Installing or making plugins.
pub async fn plugin_install(_: Call) -> Result<Reply> {
    not_here("managed plugins")
}

/// `POST /build`.
pub async fn build(_: Call) -> Result<Reply> {
    Err(ApiError::not_implemented(
        "building images is not in this version of Bryo yet; build elsewhere and use \
         \"docker load\" or a registry",
    ))
}

/// `POST /build/prune`: there is no build cache, so nothing is deleted. `docker system prune` calls this always.
pub async fn build_prune(_: Call) -> Result<Reply> {
    reply::ok(&serde_json::json!({ "CachesDeleted": null, "SpaceReclaimed": 0 }))
}

/// `POST /session` and `/grpc`: BuildKit.
pub async fn buildkit(_: Call) -> Result<Reply> {
    not_here("BuildKit")
}

/// `POST /images/{name}/push`.
pub async fn push(_: Call) -> Result<Reply> {
    not_here("pushing images")
}

/// `GET /images/search`.
pub async fn search(_: Call) -> Result<Reply> {
    not_here("searching Docker Hub")
}

/// `GET /images/{name}/attestations`.
pub async fn attestations(_: Call) -> Result<Reply> {
    not_here("image attestations")
}

/// `GET /distribution/{name}/json`.
pub async fn distribution(_: Call) -> Result<Reply> {
    not_here("looking images up in a registry without pulling them")
}

/// `POST /auth`.
pub async fn auth(_: Call) -> Result<Reply> {
    not_here("checking registry credentials")
}

/// Checkpoints.
pub async fn checkpoints(_: Call) -> Result<Reply> {
    not_here("checkpoint and restore of containers")
}

/// `GET /containers/{id}/attach/ws`.
pub async fn attach_websocket(_: Call) -> Result<Reply> {
    not_here("attaching over a WebSocket; use POST /containers/{id}/attach")
}

fn not_here(what: &str) -> Result<Reply> {
    Err(ApiError::not_implemented(format!("not supported by this version of Bryo: {what}")))
}
