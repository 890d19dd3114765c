//! One entry of `GET /containers/json`.

use bryo_core::model::{ContainerView, State, Status};
use bryo_spec::docker;
use bryo_spec::docker::units::human_duration;

use super::super::time;
use super::super::version::Version;
use super::{endpoint, host, mount, port};

/// The entry, in the shape of a version; `now` is in nanoseconds since the epoch.
pub fn wire(view: &ContainerView, version: Version, now: i128) -> docker::ContainerSummary {
    let networks = view
        .networks
        .iter()
        .map(|(name, e)| {
            (
                name.clone(),
                docker::EndpointSettings { dns_names: None, ..endpoint::wire(e, version) },
            )
        })
        .collect();
    let annotations = &view.spec.annotations;
    docker::ContainerSummary {
        id: view.id.clone(),
        names: vec![format!("/{}", view.name)],
        image: view.spec.image.clone(),
        image_id: view.image_id.clone(),
        command: command(view),
        created: time::seconds(view.created),
        ports: port::summary(port::in_effect(view)),
        size_rw: view.size.map(|(written, _)| written),
        size_root_fs: view.size.map(|(_, all)| all),
        labels: view.spec.labels.clone(),
        state: view.state.status.as_str().to_owned(),
        status: status(&view.state, now),
        host_config: docker::SummaryHostConfig {
            network_mode: host::network_mode(&view.spec.network_mode),
            annotations: (version.since(46) && !annotations.is_empty())
                .then(|| annotations.clone()),
        },
        health: version.since(52).then(|| health(&view.state)),
        network_settings: docker::SummaryNetworks { networks },
        mounts: view.mounts.iter().map(mount::point).collect(),
    }
}

fn command(view: &ContainerView) -> String {
    let mut line = view.path.clone();
    for arg in &view.args {
        line.push(' ');
        if arg.contains(' ') {
            line.push_str(&format!("'{arg}'"));
        } else {
            line.push_str(arg);
        }
    }
    line
}

fn health(state: &State) -> docker::SummaryHealth {
    match &state.health {
        Some(h) => {
            docker::SummaryHealth { status: h.status.clone(), failing_streak: h.failing_streak }
        }
        None => docker::SummaryHealth { status: "none".to_owned(), failing_streak: 0 },
    }
}

/// `Up 4 seconds (healthy)`, `Exited (0) 2 hours ago` …
pub fn status(state: &State, now: i128) -> String {
    let since = |then: Option<i128>| human_duration(time::seconds(now - then.unwrap_or(now)));
    let up = since(state.started_at);
    match state.status {
        Status::Paused => format!("Up {up} (Paused)"),
        Status::Restarting => {
            format!("Restarting ({}) {} ago", state.exit_code, since(state.finished_at))
        }
        Status::Running => match state.health.as_ref().map(|h| h.status.as_str()) {
            None | Some("none" | "") => format!("Up {up}"),
            Some("starting") => format!("Up {up} (health: starting)"),
            Some(other) => format!("Up {up} ({other})"),
        },
        Status::Removing => "Removal In Progress".to_owned(),
        Status::Dead => "Dead".to_owned(),
        Status::Created => "Created".to_owned(),
        Status::Exited => match state.finished_at {
            None => String::new(),
            Some(_) => format!("Exited ({}) {} ago", state.exit_code, since(state.finished_at)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i128 = 1_000_000_000;

    #[test]
    fn states_read_as_dockers() {
        let mut s = State { started_at: Some(0), ..Default::default() };
        assert_eq!(status(&s, 0), "Created");
        s.status = Status::Running;
        assert_eq!(status(&s, 4 * SECOND), "Up 4 seconds");
        s.health =
            Some(bryo_core::model::Health { status: "healthy".into(), ..Default::default() });
        assert_eq!(status(&s, 4 * SECOND), "Up 4 seconds (healthy)");
        s.health =
            Some(bryo_core::model::Health { status: "starting".into(), ..Default::default() });
        assert_eq!(status(&s, 4 * SECOND), "Up 4 seconds (health: starting)");
        s.status = Status::Paused;
        assert_eq!(status(&s, 90 * SECOND), "Up About a minute (Paused)");
        s.status = Status::Exited;
        s.exit_code = 137;
        s.finished_at = Some(SECOND);
        assert_eq!(status(&s, SECOND + 1), "Exited (137) Less than a second ago");
    }
}
