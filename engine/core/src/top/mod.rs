//! `top`: the processes of a container, as `ps` with the given arguments shows them.
//!
//! Docker runs the host's `ps`. Here the usual forms (`-ef`, `aux`, `-o LIST` of common columns) are read from /proc, so that no
//! program is needed and only the container's processes are looked at; anything else goes to `ps`, if there is one. Pids
//! are the host's; users are named as the host names the ids that they have in Bryo's namespace, as Docker does.

mod columns;
mod process;
mod program;

use std::path::PathBuf;

use crate::Result;
use crate::requests::Top;
use columns::{AUX, Column, FULL};
use process::{Machine, Process};

/// Lists the processes; those that ended meanwhile are left out.
pub(crate) fn list(pids: &[u32], ps_args: &str, search_path: &[PathBuf]) -> Result<Top> {
    let words: Vec<&str> = ps_args.split_ascii_whitespace().collect();
    let Some(columns) = columns(&words) else {
        return program::run(pids, &words, search_path);
    };
    program::require_pid(columns.iter().map(|c| c.title))?;
    let mut machine = Machine::now();
    let processes = pids.iter().filter_map(|pid| Process::read(*pid));
    let processes = processes
        .map(|process| columns.iter().map(|c| (c.value)(&process, &mut machine)).collect())
        .collect();
    Ok(Top { titles: columns.iter().map(|c| c.title.to_owned()).collect(), processes })
}

/// The columns that the arguments ask for; none: a form that is left to `ps`.
fn columns(words: &[&str]) -> Option<Vec<&'static Column>> {
    let mut full = words.is_empty();
    let mut aux = false;
    let mut list = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let bare = word.strip_prefix('-').unwrap_or(word);
        // A trailing or attached `o` takes a list: `-o pid`, `-eo pid,comm`, `axo pid`, `-opid`.
        let (flags, attached) = match bare.split_once('o') {
            Some((flags, rest)) => (flags, Some(rest)),
            None => (bare, None),
        };
        for flag in flags.chars() {
            match flag {
                'e' | 'A' | 'a' | 'x' | 'w' => {}
                'f' if word.starts_with('-') => full = true,
                'u' => aux = true,
                _ => return None,
            }
        }
        if let Some(attached) = attached {
            let names = if attached.is_empty() { words.next()? } else { attached };
            for name in names.split(',') {
                list.push(columns::by_name(name)?);
            }
        }
    }
    match (list.is_empty(), full, aux) {
        (false, false, false) => Some(list),
        (true, true, false) => Some(FULL.iter().collect()),
        (true, false, true) => Some(AUX.iter().collect()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn titles(args: &str) -> Option<String> {
        let words: Vec<&str> = args.split_ascii_whitespace().collect();
        columns(&words).map(|c| c.iter().map(|c| c.title).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn usual_forms_are_known_and_others_left_to_ps() {
        let full = "UID PID PPID C STIME TTY TIME CMD";
        assert_eq!(titles("").as_deref(), Some(full));
        assert_eq!(titles("-e -f").as_deref(), Some(full));
        let aux = "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND";
        assert_eq!(titles("aux").as_deref(), Some(aux));
        assert_eq!(titles("-eo pid,comm").as_deref(), Some("PID COMMAND"));
        assert_eq!(titles("-o pid -o user").as_deref(), Some("PID USER"));
        assert_eq!(titles("-opid,args").as_deref(), Some("PID COMMAND"));
        for other in ["-o", "-o pid,nosuch", "-L", "--forest", "-ef u", "f"] {
            assert_eq!(titles(other), None, "{other}");
        }
    }

    #[test]
    fn this_process_is_listed() {
        let top = list(&[std::process::id(), 4_194_304_999], "", &[]).unwrap();
        assert_eq!(top.processes.len(), 1);
        assert_eq!(top.processes[0].len(), top.titles.len());
        assert_eq!(top.processes[0][1], std::process::id().to_string());
        assert!(top.processes[0][7].contains("bryo_core"), "{:?}", top.processes);
        let e = list(&[1], "-o comm", &[]).unwrap_err();
        assert_eq!(e.message(), "Couldn't find PID field in ps output");
    }
}
