//! An image made of what a container wrote.

use std::collections::BTreeMap;

use bryo_images::{ImageConfig, Reference};

use crate::containers::record::Snapshot;
use crate::engine::Engine;
use crate::model::{EventKind, Protocol};
use crate::requests::CommitOptions;
use crate::{ErrorKind, Result};

impl Engine {
    /// Makes an image of it; the result is the image's id.
    pub async fn commit(&self, r: &str, options: CommitOptions) -> Result<String> {
        let began = std::time::Instant::now();
        let snapshot = self.inner().registry.find(r)?.snapshot();
        let reference = reference(&options)?;
        // Where nothing can freeze it, the files are taken as they are, as with `--pause=false`.
        let paused = options.pause
            && snapshot.status() == crate::model::Status::Running
            && match self.pause(snapshot.id()).await {
                Ok(()) => true,
                Err(e) => {
                    tracing::warn!("commit without a pause: {e}");
                    false
                }
            };
        let id = snapshot.id().to_owned();
        let made = self
            .blocking(move |inner| {
                let mut config = config(&snapshot);
                // What the container does not carry comes from its image.
                if let Ok(image) = inner.images.resolve(&snapshot.record.image_id, None) {
                    config.shell.clone_from(&image.config.shell);
                    config.on_build.clone_from(&image.config.on_build);
                }
                let image = inner.images.commit(
                    snapshot.id(),
                    &bryo_images::CommitOptions {
                        reference,
                        comment: options.comment,
                        author: options.author,
                        changes: options.changes,
                        config,
                        created_by: command(&snapshot),
                    },
                )?;
                let image_id = image.id.to_string();
                let more = [("comment", image.comment.clone()), ("imageID", image_id.clone())];
                let more = more.map(|(k, v)| (k.to_owned(), v));
                super::event(inner, "commit", &snapshot, BTreeMap::from(more));
                for name in &image.repo_tags {
                    let attributes = BTreeMap::from([("name".to_owned(), name.clone())]);
                    inner.events.emit(EventKind::Image, "tag", image_id.clone(), attributes);
                }
                Ok(image_id)
            })
            .await;
        if made.is_ok() {
            self.inner().metrics.action("commit", began);
        }
        if paused {
            match self.unpause(&id).await {
                Err(e) if e.kind() != ErrorKind::NotFound => {
                    tracing::warn!("unpause {id} after a commit: {e}");
                }
                _ => {}
            }
        }
        made
    }
}

fn reference(options: &CommitOptions) -> Result<Option<Reference>> {
    if options.repo.is_empty() {
        return Ok(None);
    }
    let tag = Some(options.tag.as_str()).filter(|t| !t.is_empty());
    Ok(Some(Reference::with_tag(&options.repo, tag)?))
}

/// The container's configuration as an image's.
fn config(snapshot: &Snapshot) -> ImageConfig {
    let spec = &snapshot.record.spec;
    ImageConfig {
        user: spec.user.clone(),
        env: spec.env.clone(),
        cmd: spec.cmd.clone(),
        entrypoint: spec.entrypoint.clone(),
        working_dir: spec.working_dir.clone(),
        labels: spec.labels.clone(),
        exposed_ports: spec
            .exposed_ports
            .iter()
            .map(|p| match p.protocol {
                Protocol::Tcp => format!("{}/tcp", p.port),
                Protocol::Udp => format!("{}/udp", p.port),
            })
            .collect(),
        volumes: spec.volumes.clone(),
        stop_signal: spec.stop_signal.clone(),
        stop_timeout: spec.stop_timeout,
        healthcheck: spec.healthcheck.as_ref().map(|h| bryo_images::HealthCheck {
            test: h.test.clone(),
            interval: h.interval,
            timeout: h.timeout,
            start_period: h.start_period,
            start_interval: h.start_interval,
            retries: h.retries,
        }),
        ..ImageConfig::default()
    }
}

/// For the history.
fn command(snapshot: &Snapshot) -> String {
    let record = &snapshot.record;
    let words = std::iter::once(&record.path).chain(&record.args);
    words.map(String::as_str).collect::<Vec<_>>().join(" ")
}
