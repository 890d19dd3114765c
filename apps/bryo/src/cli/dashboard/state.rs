//! What the dashboard shows: containers with their newest figures, which one is selected, and the end of its log.

use std::collections::BTreeMap;

use bryo_spec::docker::ContainerSummary;

use super::super::sample::Sample;

/// How many samples of processor time are remembered, one a second.
const HISTORY: usize = 120;

/// A container.
#[derive(Debug, Clone, Default)]
pub struct Row {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its image.
    pub image: String,
    /// As `ps` tells it.
    pub status: String,
    /// One word for it.
    pub state: String,
    /// Newest figures.
    pub sample: Option<Sample>,
    /// Bytes a second, received and sent.
    pub rate: (u64, u64),
}

/// All of it.
#[derive(Debug, Default)]
pub struct State {
    /// Whose containers.
    pub host: String,
    /// Running ones first, each sort by name.
    pub rows: Vec<Row>,
    /// Show those that do not run, too.
    pub all: bool,
    /// Which row.
    pub selected: usize,
    /// The end of the selected one's log.
    pub log: Vec<String>,
    /// What was done last, or went wrong.
    pub message: String,
    /// Processor time of each container, in tenths of a percent, oldest first.
    pub history: BTreeMap<String, Vec<u64>>,
}

impl State {
    /// The selected container.
    pub fn current(&self) -> Option<&Row> {
        self.rows.get(self.selected)
    }

    /// Moves the selection, as far as there are rows.
    pub fn step(&mut self, by: isize) {
        let last = self.rows.len().saturating_sub(1);
        self.selected = self.selected.saturating_add_signed(by).min(last);
        self.log.clear();
    }

    /// Takes a new list and new figures; the selection stays with its container.
    pub fn update(
        &mut self,
        list: Vec<ContainerSummary>,
        samples: &BTreeMap<String, Option<Sample>>,
    ) {
        let selected = self.current().map(|row| row.id.clone());
        let old: BTreeMap<String, Row> =
            std::mem::take(&mut self.rows).into_iter().map(|row| (row.id.clone(), row)).collect();
        self.rows = list.into_iter().map(|c| row(c, samples, &old)).collect();
        self.rows.sort_by_key(|row| (row.state != "running", row.name.clone()));
        self.selected =
            self.rows.iter().position(|row| Some(&row.id) == selected.as_ref()).unwrap_or_default();
        for row in &self.rows {
            let Some(sample) = &row.sample else { continue };
            let history = self.history.entry(row.id.clone()).or_default();
            history.push(tenths(sample.cpu));
            let surplus = history.len().saturating_sub(HISTORY);
            history.drain(..surplus);
        }
        self.history.retain(|id, _| self.rows.iter().any(|row| row.id == *id));
    }
}

fn row(
    c: ContainerSummary,
    samples: &BTreeMap<String, Option<Sample>>,
    old: &BTreeMap<String, Row>,
) -> Row {
    let sample = samples.get(&c.id).cloned().flatten();
    let before = old.get(&c.id).and_then(|row| row.sample.as_ref());
    let rate = match (&sample, before) {
        (Some(now), Some(before)) => (
            now.network.0.saturating_sub(before.network.0),
            now.network.1.saturating_sub(before.network.1),
        ),
        _ => (0, 0),
    };
    Row {
        name: c.names.first().map_or("", |n| n.trim_start_matches('/')).to_owned(),
        image: c.image,
        status: c.status,
        state: c.state,
        id: c.id,
        sample,
        rate,
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a processor, never negative, for a curve of eight steps"
)]
fn tenths(percent: f64) -> u64 {
    (percent * 10.0).max(0.0) as u64
}
