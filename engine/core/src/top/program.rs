//! `top` by the host's `ps`, for arguments that are not read from /proc here.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::requests::Top;
use crate::{Error, Result};

/// Runs `ps` and keeps the lines of these processes.
pub(super) fn run(pids: &[u32], words: &[&str], search_path: &[PathBuf]) -> Result<Top> {
    let program = search_path.iter().map(|dir| dir.join("ps")).find(|p| p.is_file());
    let Some(program) = program else {
        return Err(Error::invalid(format!(
            "ps arguments {:?} need the program ps on the host: install procps, or use -ef, aux or -o with common columns",
            words.join(" ")
        )));
    };
    // With -q it looks at these processes only; BSD forms of the arguments do not go with it.
    let list: Vec<String> = pids.iter().map(u32::to_string).collect();
    let asked = Command::new(&program)
        .arg(format!("-q{}", list.join(",")))
        .args(words)
        .stdin(Stdio::null())
        .output();
    let output = match asked {
        Ok(output) if output.status.success() => output,
        _ => Command::new(&program)
            .args(words)
            .stdin(Stdio::null())
            .output()
            .map_err(|e| Error::internal(format!("Error running ps: {e}")))?,
    };
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().next().unwrap_or_default();
        return Err(Error::invalid(format!("Error running ps: {}: {said}", output.status)));
    }
    parse(&String::from_utf8_lossy(&output.stdout), pids)
}

/// `top` promises pids.
pub(super) fn require_pid<'a>(titles: impl IntoIterator<Item = &'a str>) -> Result<usize> {
    titles
        .into_iter()
        .position(|title| title == "PID")
        .ok_or_else(|| Error::invalid("Couldn't find PID field in ps output"))
}

/// Splits ps' table at blanks; the last column keeps its own.
fn parse(text: &str, pids: &[u32]) -> Result<Top> {
    let mut lines = text.lines();
    let titles: Vec<String> =
        lines.next().unwrap_or_default().split_ascii_whitespace().map(str::to_owned).collect();
    let pid = require_pid(titles.iter().map(String::as_str))?;
    let mut processes = Vec::new();
    for line in lines {
        let mut fields: Vec<String> = line.split_ascii_whitespace().map(str::to_owned).collect();
        let known = fields.get(pid).and_then(|p| p.parse().ok()).is_some_and(|p| pids.contains(&p));
        if !known {
            continue;
        }
        if fields.len() > titles.len() {
            let rest = fields.split_off(titles.len() - 1).join(" ");
            fields.push(rest);
        }
        processes.push(fields);
    }
    Ok(Top { titles, processes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_column_keeps_its_blanks() {
        let text = "  PID CMD\n    1 init\n   42 sh -c sleep 1\n";
        let top = parse(text, &[42]).unwrap();
        assert_eq!(top.processes, [["42", "sh -c sleep 1"]]);
        assert!(parse("CMD\nx\n", &[1]).is_err());
    }
}
