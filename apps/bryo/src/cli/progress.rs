//! How far a pull, push or load is.
//!
//! On a terminal each layer has a line with a bar, bytes, speed and the time left; elsewhere only what happened is told, a line
//! each, so that a log does not fill with bars.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};

use bryo_spec::docker::ProgressLine;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::client::{JsonLines, chunks};
use super::error::{CliError, Result};

/// A layer whose bytes are counted, and one that is only in a state.
const COUNTED: &str = "{prefix}: {msg:<17} [{bar:28}] {decimal_bytes:>9}/{decimal_total_bytes:<9} {decimal_bytes_per_sec:>11} {eta:>4}";
const STATE: &str = "{prefix}: {msg}";

/// Where progress is shown.
pub struct Screen {
    out: Box<dyn Write>,
    /// None: no terminal.
    bars: Option<MultiProgress>,
    layers: BTreeMap<String, ProgressBar>,
}

impl Screen {
    /// Standard output.
    pub fn stdout() -> Screen {
        let bars = std::io::stdout().is_terminal().then(ProgressDrawTarget::stdout);
        Screen::new(Box::new(std::io::stdout()), bars)
    }

    /// Standard error, for a command whose output is something else.
    pub fn stderr() -> Screen {
        let bars = std::io::stderr().is_terminal().then(ProgressDrawTarget::stderr);
        Screen::new(Box::new(std::io::stderr()), bars)
    }

    /// Standard output, a line for each thing that happens, even on a terminal.
    pub fn plain() -> Screen {
        Screen::new(Box::new(std::io::stdout()), None)
    }

    /// Nowhere.
    pub fn silent() -> Screen {
        Screen::new(Box::new(std::io::sink()), None)
    }

    fn new(out: Box<dyn Write>, target: Option<ProgressDrawTarget>) -> Screen {
        let bars = target.map(MultiProgress::with_draw_target);
        Screen { out, bars, layers: BTreeMap::new() }
    }

    fn show(&mut self, line: &ProgressLine) -> Result<()> {
        if let Some(text) = &line.stream {
            return self.say(text.trim_end_matches('\n'));
        }
        let status = line.status.as_deref().unwrap_or_default();
        match (&line.id, &line.progress_detail) {
            (Some(id), Some(_)) if self.bars.is_some() => self.bar(id, status, line),
            // Without a terminal the bytes of a download are not told.
            (Some(_), Some(detail)) if detail.current.is_some() => {}
            (Some(id), _) => self.say(&format!("{id}: {status}"))?,
            (None, _) => self.say(status)?,
        }
        Ok(())
    }

    /// A line that stays.
    fn say(&mut self, text: &str) -> Result<()> {
        if let Some(bars) = &self.bars {
            return Ok(bars.println(text)?);
        }
        writeln!(self.out, "{text}")?;
        Ok(self.out.flush()?)
    }

    fn bar(&mut self, id: &str, status: &str, line: &ProgressLine) {
        let Some(bars) = &self.bars else { return };
        let bar = self.layers.entry(id.to_owned()).or_insert_with(|| {
            let bar = bars.add(ProgressBar::new(0));
            bar.set_prefix(id.to_owned());
            bar
        });
        let detail = line.progress_detail.clone().unwrap_or_default();
        let total = detail.total.unwrap_or_default();
        let counted = total > 0;
        if bar.message() != status {
            // Another stage: its speed has nothing to do with the one before.
            bar.set_style(style(if counted { COUNTED } else { STATE }));
            bar.reset();
            bar.set_message(status.to_owned());
        }
        if counted {
            bar.set_length(total);
            bar.set_position(detail.current.unwrap_or_default().min(total));
        } else {
            bar.set_style(style(STATE));
        }
        if status.ends_with("complete") || status.starts_with("Already") {
            bar.abandon();
        } else {
            bar.tick();
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    let plain = ProgressStyle::with_template(template);
    plain.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.layers.values().for_each(ProgressBar::abandon);
    }
}

/// Shows a stream of progress; an error in it is the command's.
pub async fn show(
    response: http::Response<hyper::body::Incoming>,
    mut screen: Screen,
) -> Result<()> {
    let mut lines = JsonLines::new(chunks(response));
    while let Some(line) = lines.next::<ProgressLine>().await? {
        if let Some(error) = line.error {
            return Err(CliError::new(error));
        }
        screen.show(&line)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bars_templates_are_sound() {
        for template in [COUNTED, STATE] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
