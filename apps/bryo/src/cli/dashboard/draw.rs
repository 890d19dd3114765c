//! The picture: a title, the table, the selected container's processor curve and log, and the keys.

use bryo_spec::docker::units::{binary_size, human_size};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{
    Block, Borders, Cell, Paragraph, Row as Cells, Sparkline, Table, TableState,
};

use super::state::{Row, State};

const TITLES: [&str; 8] = ["NAME", "IMAGE", "STATUS", "CPU", "MEMORY", "NET IN", "NET OUT", "PIDS"];
const KEYS: &str = " ↑↓ select  s stop  t start  r restart  p pause  x shell  a all  q quit ";

/// Colours, or none where NO_COLOR asks for none.
#[derive(Debug, Clone, Copy)]
pub struct Palette {
    coloured: bool,
}

impl Palette {
    /// With colours or without.
    pub fn new(coloured: bool) -> Palette {
        Palette { coloured }
    }

    fn of(self, colour: Color) -> Style {
        if self.coloured { Style::new().fg(colour) } else { Style::new() }
    }

    fn state(self, state: &str) -> Style {
        match state {
            "running" => self.of(Color::Green),
            "paused" | "restarting" => self.of(Color::Yellow),
            _ => self.of(Color::DarkGray),
        }
    }
}

/// Draws everything.
pub fn draw(frame: &mut Frame<'_>, state: &State, palette: Palette) {
    let height = u16::try_from(state.rows.len()).unwrap_or(u16::MAX).saturating_add(3);
    let most = frame.area().height / 2;
    let [title, table, curve, log, keys] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(height.clamp(4, most.max(4))),
        Constraint::Length(5),
        Constraint::Min(3),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(headline(state, palette), title);
    containers(frame, table, state, palette);
    processor(frame, curve, state, palette);
    let lines: Vec<Line<'_>> =
        tail(&state.log, log.height).iter().map(|l| Line::raw(l.as_str())).collect();
    let name = state.current().map_or("", |row| row.name.as_str());
    frame.render_widget(Paragraph::new(lines).block(boxed(&format!(" log of {name} "))), log);
    let text = if state.message.is_empty() { KEYS } else { state.message.as_str() };
    frame.render_widget(
        Paragraph::new(text).style(Style::new().add_modifier(Modifier::REVERSED)),
        keys,
    );
}

fn headline<'a>(state: &State, palette: Palette) -> Paragraph<'a> {
    let running = state.rows.iter().filter(|row| row.state == "running").count();
    let samples = || state.rows.iter().filter_map(|row| row.sample.as_ref());
    let cpu: f64 = samples().map(|s| s.cpu).sum();
    let memory: u64 = samples().map(|s| s.memory).sum();
    Paragraph::new(Line::from(vec![
        Span::styled(" bryo ", palette.of(Color::Cyan).add_modifier(Modifier::BOLD)),
        Span::raw(format!(
            "{}   {running} running   CPU {cpu:.1} %   memory {}",
            state.host,
            binary_size(memory)
        )),
    ]))
}

fn containers(frame: &mut Frame<'_>, area: Rect, state: &State, palette: Palette) {
    let widths = [
        Constraint::Fill(3),
        Constraint::Fill(3),
        Constraint::Fill(3),
        Constraint::Length(8),
        Constraint::Length(11),
        Constraint::Length(10),
        Constraint::Length(10),
        Constraint::Length(5),
    ];
    let head = Cells::new(TITLES).style(Style::new().add_modifier(Modifier::BOLD));
    let table = Table::new(state.rows.iter().map(|row| cells(row, palette)), widths)
        .header(head)
        .block(boxed(" containers "))
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let mut selection =
        TableState::default().with_selected((!state.rows.is_empty()).then_some(state.selected));
    frame.render_stateful_widget(table, area, &mut selection);
}

fn cells<'a>(row: &Row, palette: Palette) -> Cells<'a> {
    let figure = |text: String| if row.sample.is_some() { text } else { "–".to_owned() };
    let sample = row.sample.clone().unwrap_or_default();
    Cells::new(vec![
        Cell::from(row.name.clone()).style(palette.of(Color::Cyan)),
        Cell::from(row.image.clone()),
        Cell::from(row.status.clone()).style(palette.state(&row.state)),
        Cell::from(figure(format!("{:.1} %", sample.cpu))),
        Cell::from(figure(binary_size(sample.memory))),
        Cell::from(figure(format!("{}/s", human_size(row.rate.0, 3)))),
        Cell::from(figure(format!("{}/s", human_size(row.rate.1, 3)))),
        Cell::from(figure(sample.pids.to_string())),
    ])
}

fn processor(frame: &mut Frame<'_>, area: Rect, state: &State, palette: Palette) {
    let empty = Vec::new();
    let row = state.current();
    let history = row.and_then(|row| state.history.get(&row.id)).unwrap_or(&empty);
    let room = usize::from(area.width.saturating_sub(2));
    let shown = history.get(history.len().saturating_sub(room)..).unwrap_or_default();
    let now = row.and_then(|row| row.sample.as_ref()).map_or(0.0, |s| s.cpu);
    let name = row.map_or("", |row| row.name.as_str());
    let curve = Sparkline::default()
        .data(shown)
        // A container that does nothing much shall not look busy.
        .max(shown.iter().copied().max().unwrap_or_default().max(100))
        .style(palette.of(Color::Green))
        .block(boxed(&format!(" processor of {name}: {now:.1} % ")));
    frame.render_widget(curve, area);
}

fn boxed(title: &str) -> Block<'static> {
    Block::new().borders(Borders::ALL).title(title.to_owned())
}

/// The last lines that fit into a box of that height.
fn tail(lines: &[String], height: u16) -> &[String] {
    let room = usize::from(height.saturating_sub(2));
    lines.get(lines.len().saturating_sub(room)..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use bryo_spec::docker::ContainerSummary;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::super::sample::Sample;
    use super::*;

    #[test]
    fn containers_figures_and_log_are_on_the_screen() {
        let summary = ContainerSummary {
            id: "abc".into(),
            names: vec!["/web".into()],
            image: "nginx".into(),
            state: "running".into(),
            status: "Up 2 minutes".into(),
            ..Default::default()
        };
        let sample = Sample { cpu: 12.5, memory: 3 << 20, pids: 4, ..Sample::default() };
        let mut state = State { host: "unix:///x".into(), ..State::default() };
        state.update(vec![summary], &[("abc".to_owned(), Some(sample))].into());
        state.log = vec!["GET / 200".into()];
        let mut terminal = Terminal::new(TestBackend::new(110, 24)).unwrap();
        terminal.draw(|frame| draw(frame, &state, Palette::new(false))).unwrap();
        let text: String =
            terminal.backend().buffer().content().iter().map(|c| c.symbol()).collect();
        for wanted in
            ["web", "nginx", "Up 2 minutes", "12.5 %", "3MiB", "GET / 200", "1 running", "q quit"]
        {
            assert!(text.contains(wanted), "{wanted} is not on the screen: {text}");
        }
        state.step(5);
        assert_eq!(state.selected, 0);
    }
}
