//! The image's settings under the user's, by Docker's rules.

use std::collections::BTreeMap;

use bryo_images::ImageConfig;

use crate::model::{ContainerSpec, HealthCheck, Port};
use crate::{Error, Result};

/// Fills in what the user left to the image. The result's `cmd` and `entrypoint` are what inspect shows.
pub(crate) fn image(spec: &mut ContainerSpec, image: &ImageConfig) -> Result<()> {
    if spec.user.is_empty() {
        spec.user.clone_from(&image.user);
    }
    if spec.working_dir.is_empty() {
        spec.working_dir.clone_from(&image.working_dir);
    }
    spec.env = env(&image.env, &spec.env);
    command(spec, image)?;
    for text in &image.exposed_ports {
        match port(text) {
            Some(port) if !spec.exposed_ports.contains(&port) => spec.exposed_ports.push(port),
            Some(_) => {}
            None => tracing::warn!("the image's exposed port {text:?} is not understood"),
        }
    }
    for binding in &spec.port_bindings {
        if !spec.exposed_ports.contains(&binding.port) {
            spec.exposed_ports.push(binding.port);
        }
    }
    spec.exposed_ports.sort_unstable();
    for path in &image.volumes {
        if !spec.volumes.contains(path) {
            spec.volumes.push(path.clone());
        }
    }
    let mut labels: BTreeMap<String, String> = image.labels.clone();
    labels.append(&mut spec.labels);
    spec.labels = labels;
    if spec.stop_signal.as_ref().is_none_or(String::is_empty) {
        spec.stop_signal = image.stop_signal.clone().filter(|s| !s.is_empty());
    }
    spec.stop_timeout = spec.stop_timeout.or(image.stop_timeout);
    spec.healthcheck = health(spec.healthcheck.take(), image);
    Ok(())
}

/// The image's variables with the user's over them; `KEY` alone takes one away.
pub(crate) fn env(under: &[String], over: &[String]) -> Vec<String> {
    let mut out: Vec<String> = under.to_vec();
    for entry in over {
        let key = entry.split_once('=').map_or(entry.as_str(), |(key, _)| key);
        let place =
            out.iter().position(|e| e.split_once('=').map_or(e.as_str(), |(k, _)| k) == key);
        match (place, entry.contains('=')) {
            (Some(at), true) => {
                if let Some(slot) = out.get_mut(at) {
                    slot.clone_from(entry);
                }
            }
            (None, true) => out.push(entry.clone()),
            (Some(at), false) => {
                out.remove(at);
            }
            (None, false) => {}
        }
    }
    out
}

/// A command replaces the image's; an entrypoint replaces the image's and its command; `[""]` is none at all.
fn command(spec: &mut ContainerSpec, image: &ImageConfig) -> Result<()> {
    if spec.entrypoint.as_ref().is_none_or(Vec::is_empty) {
        if spec.cmd.as_ref().is_none_or(Vec::is_empty) {
            spec.cmd.clone_from(&image.cmd);
        }
        if spec.entrypoint.is_none() {
            spec.entrypoint.clone_from(&image.entrypoint);
        }
    }
    if spec
        .entrypoint
        .as_ref()
        .is_some_and(|e| e.len() == 1 && e.first().is_some_and(String::is_empty))
    {
        spec.entrypoint = None;
    }
    if program(spec).is_none() {
        return Err(Error::invalid("no command specified"));
    }
    Ok(())
}

/// Program and arguments.
pub(crate) fn program(spec: &ContainerSpec) -> Option<(String, Vec<String>)> {
    let words = spec.entrypoint.iter().flatten().chain(spec.cmd.iter().flatten());
    let mut words = words.cloned();
    Some((words.next()?, words.collect()))
}

fn health(asked: Option<HealthCheck>, image: &ImageConfig) -> Option<HealthCheck> {
    let under = image.healthcheck.as_ref().map(|h| HealthCheck {
        test: h.test.clone(),
        interval: h.interval,
        timeout: h.timeout,
        start_period: h.start_period,
        start_interval: h.start_interval,
        retries: h.retries,
    });
    let (mut over, under) = match (asked, under) {
        (Some(over), Some(under)) => (over, under),
        (over, under) => return over.or(under),
    };
    if over.test.is_empty() {
        over.test = under.test;
    }
    let fill = |mine: &mut i64, theirs: i64| {
        if *mine == 0 {
            *mine = theirs;
        }
    };
    fill(&mut over.interval, under.interval);
    fill(&mut over.timeout, under.timeout);
    fill(&mut over.start_period, under.start_period);
    fill(&mut over.start_interval, under.start_interval);
    fill(&mut over.retries, under.retries);
    Some(over)
}

/// `80/tcp`, `80`, `53/udp`.
fn port(text: &str) -> Option<Port> {
    let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = match protocol {
        "tcp" => crate::model::Protocol::Tcp,
        "udp" => crate::model::Protocol::Udp,
        _ => return None,
    };
    Some(Port { port: number.parse().ok()?, protocol })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(list: &[&str]) -> Option<Vec<String>> {
        Some(list.iter().map(|s| (*s).to_string()).collect())
    }

    fn merged(cmd: Option<Vec<String>>, entrypoint: Option<Vec<String>>) -> Option<Vec<String>> {
        let mut spec = ContainerSpec { cmd, entrypoint, ..ContainerSpec::default() };
        let from =
            ImageConfig { cmd: words(&["c"]), entrypoint: words(&["e"]), ..ImageConfig::default() };
        image(&mut spec, &from).ok()?;
        let (path, args) = program(&spec)?;
        Some(std::iter::once(path).chain(args).collect())
    }

    #[test]
    fn commands_merge_as_dockers() {
        assert_eq!(merged(None, None), words(&["e", "c"]));
        assert_eq!(merged(words(&["x"]), None), words(&["e", "x"]));
        assert_eq!(merged(None, words(&["y"])), words(&["y"]));
        assert_eq!(merged(words(&["x"]), words(&["y"])), words(&["y", "x"]));
        assert_eq!(merged(words(&["x"]), words(&[""])), words(&["x"]));
        assert_eq!(merged(None, words(&[""])), None);
        assert_eq!(merged(None, Some(vec![])), words(&["c"]));
    }

    #[test]
    fn env_replaces_in_place_and_removes() {
        let of = |l: &[&str]| l.iter().map(|s| (*s).to_string()).collect::<Vec<_>>();
        assert_eq!(
            env(&of(&["A=1", "B=2", "C=3"]), &of(&["B=9", "C", "D=4"])),
            of(&["A=1", "B=9", "D=4"])
        );
    }
}
