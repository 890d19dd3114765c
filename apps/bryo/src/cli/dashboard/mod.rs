//! `bryo top`: a live picture of the containers, with keys to stop, restart and step into them.
//!
//! Once a second the list, the samples and the selected container's log are asked for and drawn. Keys come from a thread of
//! their own; while a shell has the terminal that thread looks away. Whatever ends the dashboard, the terminal is put back.

mod draw;
mod state;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bryo_spec::docker::ContainerSummary;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use tokio::sync::mpsc;

use super::client::segment;
use super::context::Context;
use super::error::{CliError, Result};
use super::sample::Sampler;
use super::terminal;
use draw::Palette;
use state::State;

/// How often everything is asked for anew.
const TICK: Duration = Duration::from_secs(1);

/// Lines of a log that are fetched.
const LOG_LINES: usize = 100;

/// Shows it until the user has seen enough.
pub async fn run(context: Context) -> Result<u8> {
    if !terminal::stdin_is_terminal() || !terminal::stdout_is_terminal() {
        return Err(CliError::new(
            "the dashboard needs a terminal; for figures in a script use \"bryo stats --no-stream\"",
        ));
    }
    let mut dashboard = Dashboard {
        sampler: Sampler::new(context.client.clone()),
        state: State { host: context.client.host().to_string(), all: true, ..State::default() },
        context,
    };
    // A daemon that does not answer is told on a whole screen, not on half of one.
    dashboard.refresh().await?;
    let mut screen = ratatui::try_init()?;
    let ended = dashboard.watch(&mut screen).await;
    ratatui::restore();
    ended.map(|()| 0)
}

struct Dashboard {
    context: Context,
    sampler: Sampler,
    state: State,
}

impl Dashboard {
    async fn watch(&mut self, screen: &mut DefaultTerminal) -> Result<()> {
        let palette =
            Palette::new(std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()));
        let (mut keys, away) = keys();
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            screen.draw(|frame| draw::draw(frame, &self.state, palette))?;
            tokio::select! {
                _ = ticks.tick() => {
                    if let Err(e) = self.refresh().await {
                        self.state.message = first_line(&e);
                    }
                }
                event = keys.recv() => match event {
                    Some(Event::Key(key)) if key.kind != KeyEventKind::Release => {
                        self.state.message.clear();
                        if key.code == KeyCode::Char('x') {
                            away.store(true, Ordering::SeqCst);
                            self.shell(screen).await?;
                            away.store(false, Ordering::SeqCst);
                        } else if self.key(key).await {
                            return Ok(());
                        }
                    }
                    Some(_) => {}
                    None => return Ok(()),
                },
            }
        }
    }

    /// Asks for everything anew.
    async fn refresh(&mut self) -> Result<()> {
        let path = if self.state.all { "/containers/json?all=1" } else { "/containers/json" };
        let list: Vec<ContainerSummary> = self.context.client.get(path).await?;
        let running: Vec<String> =
            list.iter().filter(|c| c.state == "running").map(|c| c.id.clone()).collect();
        self.sampler.watch(&running);
        let samples = self.sampler.samples().clone();
        self.state.update(list, &samples);
        self.read_log().await
    }

    async fn read_log(&mut self) -> Result<()> {
        let Some(id) = self.state.current().map(|row| row.id.clone()) else {
            self.state.log.clear();
            return Ok(());
        };
        let path = format!("/containers/{}/logs?stdout=1&stderr=1&tail={LOG_LINES}", segment(&id));
        self.state.log = match self.context.client.get_raw(&path).await {
            Ok(bytes) => lines(&bytes),
            Err(e) => vec![first_line(&e)],
        };
        Ok(())
    }

    /// Does what a key asks for; whether that is to end.
    async fn key(&mut self, key: KeyEvent) -> bool {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => return true,
            KeyCode::Char('c') if control => return true,
            KeyCode::Up | KeyCode::Char('k') => self.step(-1).await,
            KeyCode::Down | KeyCode::Char('j') => self.step(1).await,
            KeyCode::Char('a') => self.state.all = !self.state.all,
            KeyCode::Char('s') => self.act("stop").await,
            KeyCode::Char('t') => self.act("start").await,
            KeyCode::Char('r') => self.act("restart").await,
            KeyCode::Char('p') => {
                let paused = self.state.current().is_some_and(|row| row.state == "paused");
                self.act(if paused { "unpause" } else { "pause" }).await;
            }
            _ => {}
        }
        false
    }

    async fn step(&mut self, by: isize) {
        self.state.step(by);
        if let Err(e) = self.read_log().await {
            self.state.message = first_line(&e);
        }
    }

    async fn act(&mut self, verb: &str) {
        let Some(row) = self.state.current() else { return };
        let (id, name) = (row.id.clone(), row.name.clone());
        let done = self.context.client.post(&format!("/containers/{}/{verb}", segment(&id))).await;
        let seen = match done {
            Ok(_) => self.refresh().await,
            Err(e) => Err(e),
        };
        self.state.message = match seen {
            Ok(()) => format!(" {verb}: {name} "),
            Err(e) => first_line(&e),
        };
    }

    /// Gives the terminal to a shell in the selected container.
    async fn shell(&mut self, screen: &mut DefaultTerminal) -> Result<()> {
        let Some(row) = self.state.current() else { return Ok(()) };
        ratatui::restore();
        let mut command = tokio::process::Command::new(std::env::current_exe()?);
        match self.context.name.as_str() {
            crate::contexts::DEFAULT => command.args(["--host", &self.state.host]),
            name => command.args(["--context", name]),
        };
        let ended = command.args(["exec", "-it", &row.id, "sh"]).status().await;
        *screen = ratatui::try_init()?;
        screen.clear()?;
        self.state.message = match ended {
            Ok(status) if status.success() => String::new(),
            Ok(status) => format!(" the shell ended with {} ", status.code().unwrap_or_default()),
            Err(e) => format!(" no shell: {e} "),
        };
        Ok(())
    }
}

/// Keys and changes of size, and the switch that makes their thread look away.
fn keys() -> (mpsc::UnboundedReceiver<Event>, Arc<AtomicBool>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let away = Arc::new(AtomicBool::new(false));
    let looks_away = away.clone();
    std::thread::spawn(move || {
        while !sender.is_closed() {
            if looks_away.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(50));
                continue;
            }
            let read = match event::poll(Duration::from_millis(50)) {
                Ok(true) => event::read(),
                Ok(false) => continue,
                Err(e) => Err(e),
            };
            // A terminal that is gone ends the dashboard: the channel closes.
            let Ok(event) = read else { return };
            if sender.send(event).is_err() {
                return;
            }
        }
    });
    (receiver, away)
}

fn first_line(e: &CliError) -> String {
    format!(" {} ", e.to_string().lines().next().unwrap_or_default())
}

/// The text of a log: frames taken away, and what would move the cursor.
pub fn lines(bytes: &[u8]) -> Vec<String> {
    let mut text = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [0..=2, 0, 0, 0, a, b, c, d, tail @ ..] = rest {
        let length = usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])).unwrap_or(usize::MAX);
        let (data, after) = tail.split_at(length.min(tail.len()));
        text.extend_from_slice(data);
        rest = after;
    }
    text.extend_from_slice(rest);
    let text = String::from_utf8_lossy(&text);
    text.lines().map(|line| line.chars().filter(|c| !c.is_control()).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_are_read_framed_and_raw() {
        assert_eq!(lines(b"\x01\0\0\0\0\0\0\x03ab\n\x02\0\0\0\0\0\0\x02c\x1b"), ["ab", "c"]);
        assert_eq!(lines(b"plain\r\nlines\n"), ["plain", "lines"]);
    }
}
