//! The event log: a ring of the newest events, and whoever listens.
//!
//! `emit` stamps the time, keeps the event and hands it to the listeners, under one lock, so that a listener sees every event
//! once and in order. A listener that does not keep up is cut off (its stream ends) rather than slowing the engine down.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::stream;
use tokio::sync::mpsc;

use crate::model::{Event, EventKind, Filters};
use crate::requests::EventStream;
use crate::util::{lock, now};
use crate::{Error, Result};

/// Events kept for `since`.
const KEPT: usize = 1024;

/// Events that a listener may be behind.
const BEHIND: usize = 4096;

/// The log. One per engine.
#[derive(Default)]
pub(crate) struct Events {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    ring: VecDeque<Arc<Event>>,
    listeners: Vec<mpsc::Sender<Arc<Event>>>,
    last: i128,
    /// Events so far.
    count: u64,
}

impl Events {
    /// Something happened.
    pub(crate) fn emit(
        &self,
        kind: EventKind,
        action: impl Into<String>,
        id: impl Into<String>,
        attributes: BTreeMap<String, String>,
    ) {
        let mut state = lock(&self.state);
        // Times differ, so that `since` an event's own time starts behind it.
        let time = now().max(state.last + 1);
        state.last = time;
        state.count += 1;
        let event =
            Arc::new(Event { kind, action: action.into(), id: id.into(), attributes, time });
        if state.ring.len() == KEPT {
            state.ring.pop_front();
        }
        state.ring.push_back(event.clone());
        state.listeners.retain(|l| l.try_send(event.clone()).is_ok());
    }

    /// How many events there were.
    pub(crate) fn count(&self) -> u64 {
        lock(&self.state).count
    }

    /// How many listen.
    pub(crate) fn listeners(&self) -> u64 {
        lock(&self.state).listeners.iter().filter(|l| !l.is_closed()).count() as u64
    }

    /// Events that match: those of the ring since `since` (none: no past ones), then live ones until `until`.
    pub(crate) fn stream(
        &self,
        since: Option<i128>,
        until: Option<i128>,
        filters: Filters,
    ) -> Result<EventStream> {
        check(&filters)?;
        if let (Some(since), Some(until)) = (since, until) {
            if until < since {
                return Err(Error::invalid(format!(
                    "`since` time ({}) cannot be after `until` time ({})",
                    seconds(since),
                    seconds(until)
                )));
            }
        }
        let (sender, receiver) = mpsc::channel(BEHIND);
        let mut state = lock(&self.state);
        let from = since.or_else(|| until.map(|_| 0));
        let past: VecDeque<Arc<Event>> = match from {
            Some(from) => state.ring.iter().filter(|e| e.time >= from).cloned().collect(),
            None => VecDeque::new(),
        };
        state.listeners.retain(|l| !l.is_closed());
        state.listeners.push(sender);
        drop(state);
        let listening = Listening { past, receiver, until, filters };
        Ok(Box::pin(stream::unfold(
            listening,
            |mut l| async move { l.next().await.map(|e| (e, l)) },
        )))
    }
}

fn seconds(time: i128) -> String {
    format!("{}.{:09}", time.div_euclid(1_000_000_000), time.rem_euclid(1_000_000_000))
}

struct Listening {
    past: VecDeque<Arc<Event>>,
    receiver: mpsc::Receiver<Arc<Event>>,
    until: Option<i128>,
    filters: Filters,
}

impl Listening {
    async fn next(&mut self) -> Option<Event> {
        loop {
            let event = match self.past.pop_front() {
                Some(event) => event,
                None => self.live().await?,
            };
            if self.until.is_some_and(|until| event.time > until) {
                return None;
            }
            if matches(&self.filters, &event) {
                return Some(Event::clone(&event));
            }
        }
    }

    async fn live(&mut self) -> Option<Arc<Event>> {
        let Some(until) = self.until else { return self.receiver.recv().await };
        let left = u64::try_from(until - now()).ok()?;
        tokio::time::timeout(Duration::from_nanos(left), self.receiver.recv()).await.ok()?
    }
}

const KEYS: &[&str] = &[
    "config",
    "container",
    "daemon",
    "event",
    "image",
    "label",
    "network",
    "node",
    "plugin",
    "scope",
    "secret",
    "service",
    "type",
    "volume",
];

fn check(filters: &Filters) -> Result<()> {
    match filters.0.keys().find(|k| !KEYS.contains(&k.as_str())) {
        Some(key) => Err(Error::invalid(format!("invalid filter '{key}'"))),
        None => Ok(()),
    }
}

/// Whether an event passes: keys must all match, values of one key are alternatives.
fn matches(filters: &Filters, event: &Event) -> bool {
    filters.0.iter().all(|(key, wanted)| {
        if wanted.is_empty() {
            return true;
        }
        match key.as_str() {
            // `health_status` stands for `health_status: healthy`, `exec_start` for `exec_start: ls`.
            "event" => wanted.iter().any(|w| {
                event.action == *w
                    || event.action.strip_prefix(w.as_str()).is_some_and(|r| r.starts_with(':'))
            }),
            "type" => wanted.iter().any(|w| w == event.kind.as_str()),
            "scope" => wanted.iter().any(|w| w == "local"),
            "label" => wanted.iter().all(|w| match w.split_once('=') {
                Some((k, v)) => event.attributes.get(k).is_some_and(|have| have == v),
                None => event.attributes.contains_key(w),
            }),
            "container" => named(EventKind::Container, wanted, event),
            "volume" => named(EventKind::Volume, wanted, event),
            "network" => named(EventKind::Network, wanted, event),
            "daemon" => named(EventKind::Daemon, wanted, event),
            "image" => wanted.iter().any(|w| image(w, event)),
            _ => false,
        }
    })
}

fn named(kind: EventKind, wanted: &[String], event: &Event) -> bool {
    let key = kind.as_str();
    wanted.iter().any(|w| {
        let w = w.strip_prefix('/').unwrap_or(w);
        if event.kind == kind {
            (!w.is_empty() && event.id.starts_with(w))
                || event.attributes.get("name").is_some_and(|n| n == w)
        } else {
            event.attributes.get(key).is_some_and(|v| v.starts_with(w))
        }
    })
}

fn image(wanted: &str, event: &Event) -> bool {
    let bare = |name: &str| match name.rsplit_once(':') {
        Some((repo, tag)) if !tag.contains('/') => repo.to_string(),
        _ => name.to_string(),
    };
    let hits = |name: &str| name == wanted || bare(name) == wanted;
    match event.kind {
        EventKind::Image => {
            hits(&event.id) || event.attributes.get("name").is_some_and(|n| hits(n))
        }
        _ => event.attributes.get("image").is_some_and(|n| hits(n)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::StreamExt;

    fn filters(pairs: &[(&str, &str)]) -> Filters {
        let mut f = Filters::default();
        for (k, v) in pairs {
            f.0.entry((*k).to_string()).or_default().push((*v).to_string());
        }
        f
    }

    fn attributes(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_string(), (*v).to_string())).collect()
    }

    #[tokio::test]
    async fn past_events_come_first_then_live_ones_until_the_end() {
        let events = Events::default();
        events.emit(EventKind::Container, "create", "abc", attributes(&[("name", "web")]));
        let until = now() + 50_000_000;
        let mut s = events.stream(Some(0), Some(until), Filters::default()).unwrap();
        events.emit(EventKind::Container, "start", "abc", attributes(&[("name", "web")]));
        assert_eq!(s.next().await.unwrap().action, "create");
        assert_eq!(s.next().await.unwrap().action, "start");
        assert!(s.next().await.is_none());
    }

    #[test]
    fn filters_match_as_dockers() {
        let event = Event {
            kind: EventKind::Container,
            action: "health_status: healthy".into(),
            id: "abcdef".into(),
            attributes: attributes(&[("name", "web"), ("image", "nginx:1"), ("k", "v")]),
            time: 1,
        };
        for (f, expected) in [
            (&[("event", "health_status")][..], true),
            (&[("event", "health")], false),
            (&[("container", "abc")], true),
            (&[("container", "web"), ("type", "container")], true),
            (&[("container", "we")], false),
            (&[("image", "nginx")], true),
            (&[("label", "k=v")], true),
            (&[("label", "k=w")], false),
            (&[("type", "network")], false),
        ] {
            assert_eq!(matches(&filters(f), &event), expected, "{f:?}");
        }
    }

    #[test]
    fn an_unknown_filter_is_refused() {
        let error = Events::default().stream(None, None, filters(&[("x", "y")])).err().unwrap();
        assert_eq!(error.message(), "invalid filter 'x'");
    }
}
