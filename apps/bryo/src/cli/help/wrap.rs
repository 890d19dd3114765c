//! The `Options:` part of a help text: two columns, the second folded to the terminal's width.

use super::super::flags::{self, Flag};

/// Columns of a terminal that does not tell.
const WIDTH: usize = 80;

/// How far a line may reach over the fold rather than leave a lonely word to the next.
const SLOP: usize = 5;

/// The `Options:` part of a help text, for the terminal at standard input, as docker does it.
pub fn describe(tables: &[&[Flag]]) -> String {
    let width = rustix::termios::tcgetwinsize(std::io::stdin())
        .ok()
        .map(|size| usize::from(size.ws_col))
        .filter(|columns| *columns > 0);
    layout(tables, width.unwrap_or(WIDTH) - 1)
}

fn layout(tables: &[&[Flag]], width: usize) -> String {
    let mut lines: Vec<(&str, String, &str)> = flags::all(tables)
        .filter(|f| !f.help.is_empty())
        .map(|f| {
            let short = f.short.map_or_else(|| "    ".to_owned(), |c| format!("-{c}, "));
            let space = if f.value.is_empty() { "" } else { " " };
            (f.long, format!("  {short}--{}{space}{}", f.long, f.value), f.help)
        })
        .collect();
    lines.sort_unstable_by_key(|(name, ..)| *name);
    let column = lines.iter().map(|(_, flag, _)| flag.len()).max().unwrap_or(0) + 3;
    let indent = format!("\n{}", " ".repeat(column));
    lines
        .iter()
        .map(|(_, flag, help)| {
            let help = fold(help, width.saturating_sub(column).saturating_sub(SLOP));
            format!("{flag:column$}{}\n", help.join(&indent))
        })
        .collect()
}

/// Cuts text into lines of about `width`; its own line ends stay.
fn fold(text: &str, width: usize) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    loop {
        if width == 0 || rest.len() < width + SLOP {
            break;
        }
        let head = rest.get(..width).unwrap_or(rest);
        let Some(space) = head.rfind([' ', '\t', '\n']).filter(|at| *at > 0) else { break };
        let cut = head.rfind('\n').filter(|at| *at > 0).unwrap_or(space);
        lines.push(rest.get(..cut).unwrap_or_default());
        rest = rest.get(cut + 1..).unwrap_or_default();
    }
    lines.extend(rest.split('\n'));
    lines
}

#[cfg(test)]
mod tests {
    use super::super::super::flags::{switch, value};
    use super::*;

    #[test]
    fn long_help_is_folded_as_docker_folds_it() {
        const FLAGS: &[Flag] = &[
            value("timeout", Some('t'), "int", "Seconds to wait before killing the container"),
            switch("latest", Some('l'), "Show the latest created container (includes all states)"),
            switch("hidden", None, ""),
        ];
        assert_eq!(
            layout(&[FLAGS], 59),
            "  -l, --latest        Show the latest created\n\
             \x20                     container (includes all states)\n\
             \x20 -t, --timeout int   Seconds to wait before killing\n\
             \x20                     the container\n"
        );
    }
}
