//! `GET /events`.

use bryo_core::model::{Event, EventKind};
use bryo_spec::docker::{EventActor, EventMessage};
use futures_util::StreamExt;
use http::header::ACCEPT;

use super::super::call::Call;
use super::super::error::Result;
use super::super::reply::{self, Reply};
use super::super::time;
use super::super::version::Version;

/// The stream: past events first when asked for, then as they come.
pub async fn events(call: Call) -> Result<Reply> {
    let since = call.query.time("since")?;
    let until = call.query.time("until")?;
    let filters = call.query.filters()?;
    let version = call.version;
    let content_type = content_type(&call);
    let events = call.engine.events(since, until, filters)?;
    Ok(reply::json_lines(content_type, events.map(move |event| wire(&event, version))))
}

/// One JSON value a line has three names; clients since 1.52 say which they know.
fn content_type(call: &Call) -> &'static str {
    let accepted: Vec<&str> = call
        .headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(','))
        .filter_map(|kind| kind.split(';').next())
        .map(str::trim)
        .collect();
    if call.version.since(53) && accepted.contains(&"application/jsonl") {
        "application/jsonl"
    } else if call.version.since(52) && accepted.contains(&"application/x-ndjson") {
        "application/x-ndjson"
    } else {
        "application/json"
    }
}

/// An event, in the shape of a version.
pub fn wire(event: &Event, version: Version) -> EventMessage {
    let old = !version.since(52);
    let is_container = event.kind == EventKind::Container;
    let has_id = old && (is_container || event.kind == EventKind::Image);
    EventMessage {
        status: has_id.then(|| event.action.clone()),
        id: has_id.then(|| event.id.clone()),
        from: (old && is_container)
            .then(|| event.attributes.get("image").cloned().unwrap_or_default()),
        kind: event.kind.as_str().to_owned(),
        action: event.action.clone(),
        actor: EventActor { id: event.id.clone(), attributes: event.attributes.clone() },
        scope: "local".to_owned(),
        time: time::seconds(event.time),
        time_nano: i64::try_from(event.time).unwrap_or(i64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: EventKind) -> Event {
        Event {
            kind,
            action: "create".into(),
            id: "d749".into(),
            attributes: [("image", "busybox"), ("name", "ev")]
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .into(),
            time: 1_795_442_606_308_757_979,
        }
    }

    #[test]
    fn new_shape_is_the_recorded_one() {
        let text = serde_json::to_string(&wire(&event(EventKind::Container), Version(55))).unwrap();
        assert_eq!(
            text,
            r#"{"Type":"container","Action":"create","Actor":{"ID":"d749","Attributes":{"image":"busybox","name":"ev"}},"scope":"local","time":1795442606,"timeNano":1795442606308757979}"#
        );
    }

    #[test]
    fn old_shape_repeats_itself() {
        let old = wire(&event(EventKind::Container), Version(50));
        assert_eq!(old.status.as_deref(), Some("create"));
        assert_eq!(old.id.as_deref(), Some("d749"));
        assert_eq!(old.from.as_deref(), Some("busybox"));
        assert_eq!(wire(&event(EventKind::Network), Version(50)).status, None);
    }
}
