//! Networks.

use bryo_spec::docker;
use http::StatusCode;

use super::super::call::Call;
use super::super::convert::{endpoint, network};
use super::super::error::{ApiError, Result};
use super::super::reply::{self, Reply};

/// `GET /networks`.
pub async fn list(call: Call) -> Result<Reply> {
    let networks = call.engine.network_list(&call.query.filters()?).await?;
    // Before 1.28 lists told the containers too.
    let wire = if call.version.since(28) { network::listed } else { network::inspected };
    let list: Vec<_> = networks.iter().map(|n| wire(n, call.version)).collect();
    reply::ok(&list)
}

/// `GET /networks/{id}`.
pub async fn inspect(call: Call) -> Result<Reply> {
    if matches!(call.query.get("scope"), Some("swarm" | "global")) {
        return Err(ApiError::new(
            StatusCode::NOT_FOUND,
            format!("network {} not found: every network of Bryo is local", call.name()),
        ));
    }
    let view = call.engine.network_inspect(call.name()).await?;
    reply::ok(&network::inspected(&view, call.version))
}

/// `POST /networks/create`.
pub async fn create(mut call: Call) -> Result<Reply> {
    let body: docker::NetworkCreateRequest = call.json_or_default().await?;
    let (id, warning) = call.engine.network_create(network::spec(body)?).await?;
    reply::json(StatusCode::CREATED, &docker::NetworkCreateResponse { id, warning })
}

/// `POST /networks/{id}/connect`.
pub async fn connect(mut call: Call) -> Result<Reply> {
    let body: docker::NetworkConnectRequest = call.json_or_default().await?;
    let settings = endpoint::settings(body.endpoint_config.unwrap_or_default())?;
    call.engine.network_connect(call.name(), &body.container, settings).await?;
    Ok(reply::status(StatusCode::OK))
}

/// `POST /networks/{id}/disconnect`.
pub async fn disconnect(mut call: Call) -> Result<Reply> {
    let body: docker::NetworkDisconnectRequest = call.json_or_default().await?;
    call.engine.network_disconnect(call.name(), &body.container, body.force).await?;
    Ok(reply::status(StatusCode::OK))
}

/// `DELETE /networks/{id}`.
pub async fn remove(call: Call) -> Result<Reply> {
    call.engine.network_remove(call.name()).await?;
    Ok(reply::no_content())
}

/// `POST /networks/prune`.
pub async fn prune(call: Call) -> Result<Reply> {
    let deleted = call.engine.prune_networks(&call.query.filters()?).await?;
    reply::ok(&docker::NetworksPruned {
        networks_deleted: (!deleted.is_empty()).then_some(deleted),
    })
}
