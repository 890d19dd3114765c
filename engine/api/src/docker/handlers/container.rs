//! One container, looked at: inspect, top, changes, update.

use bryo_core::ChangeKind;
use bryo_core::model::ContainerUpdate;
use bryo_spec::docker;

use super::super::call::Call;
use super::super::convert::{create, inspect};
use super::super::error::Result;
use super::super::reply::{self, Reply};

/// `GET /containers/{id}/json`.
pub async fn inspect(call: Call) -> Result<Reply> {
    let view = call.engine.inspect(call.name(), call.query.flag("size")).await?;
    reply::ok(&inspect::wire(&view, call.version))
}

/// `GET /containers/{id}/top`.
pub async fn top(call: Call) -> Result<Reply> {
    let args = call.query.text("ps_args").unwrap_or("-ef");
    let top = call.engine.top(call.name(), args).await?;
    reply::ok(&docker::TopResponse { titles: top.titles, processes: top.processes })
}

/// `GET /containers/{id}/changes`; no changes are `null`.
pub async fn changes(call: Call) -> Result<Reply> {
    let changes: Vec<_> = call
        .engine
        .changes(call.name())
        .await?
        .into_iter()
        .map(|change| docker::FilesystemChange {
            path: change.path,
            kind: match change.kind {
                ChangeKind::Modified => 0,
                ChangeKind::Added => 1,
                ChangeKind::Deleted => 2,
            },
        })
        .collect();
    reply::ok(&(!changes.is_empty()).then_some(changes))
}

/// `POST /containers/{id}/update`.
pub async fn update(mut call: Call) -> Result<Reply> {
    let body: docker::UpdateRequest = call.json_or_default().await?;
    let policy = &body.restart_policy;
    let update = ContainerUpdate {
        restart: if policy.name.is_empty() { None } else { Some(create::restart(policy)?) },
        resources: create::resources(body.resources),
    };
    let warnings = call.engine.update(call.name(), update).await?;
    reply::ok(&docker::UpdateResponse { warnings: (!warnings.is_empty()).then_some(warnings) })
}
