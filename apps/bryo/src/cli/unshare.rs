//! `unshare` and `du`: work among the files of subordinate ids, which to the user are a stranger's.
//!
//! A child process gets a user namespace with the ids that the engine's has (uid 0 there is the user) and does the work; it is
//! gone with it. The engine need not run, and nothing of it is touched.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use bryo_images::tree;
use bryo_spec::docker::units::human_size;

use super::error::{CliError, Result};
use crate::daemon::User;

const UNSHARE: &str = "Usage:  bryo unshare [COMMAND [ARG...]]\n\n\
    Run a command among the files of subordinate ids: as uid 0 of the namespace that containers' files belong to.\n\
    Without a command: $SHELL.\n\nExample:\n\n$ bryo unshare rm -r ~/old-volume\n";

const DU: &str = "Usage:  bryo du [PATH...]\n\n\
    Show what each file and folder in a folder takes on the disk, also those of subordinate ids; largest last.\n\
    Without a path: the engine's data.\n";

/// A command's work on its words; the result is its exit status.
type Work = fn(&[String]) -> Result<u8>;

/// Whether a command is one of these, and runs it.
pub fn run(words: &[String]) -> Option<Result<u8>> {
    let (verb, rest) = words.split_first()?;
    let (usage, work): (_, Work) = match verb.as_str() {
        "unshare" => (UNSHARE, unshare),
        "du" => (DU, du),
        _ => return None,
    };
    if matches!(rest.first().map(String::as_str), Some("--help" | "-h")) {
        print!("{usage}");
        return Some(Ok(0));
    }
    Some(work(rest.strip_prefix(&["--".to_owned()]).unwrap_or(rest)))
}

fn unshare(words: &[String]) -> Result<u8> {
    let shell = std::env::var("SHELL").ok().filter(|shell| !shell.is_empty());
    let shell = [shell.unwrap_or_else(|| "/bin/sh".to_owned())];
    let words = if words.is_empty() { shell.as_slice() } else { words };
    let Some((program, args)) = words.split_first() else { return Ok(0) };
    inside(|| {
        let refused = Command::new(program).args(args).exec();
        eprintln!("bryo unshare: {program}: {refused}");
        if refused.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 }
    })
}

fn du(paths: &[String]) -> Result<u8> {
    let home = std::env::var("HOME").unwrap_or_default();
    let data = std::env::var("XDG_DATA_HOME").unwrap_or_else(|_| format!("{home}/.local/share"));
    let own = [format!("{data}/bryo")];
    let paths = if paths.is_empty() { own.as_slice() } else { paths };
    inside(|| {
        let mut code = 0;
        for path in paths {
            if let Err(e) = list(Path::new(path)) {
                eprintln!("bryo du: {path}: {e}");
                code = 1;
            }
        }
        code
    })
}

/// What is in a folder, each with its size, and the sum.
fn list(folder: &Path) -> Result<()> {
    let entries = std::fs::read_dir(folder)?;
    let mut sizes: Vec<(u64, PathBuf)> = Vec::new();
    for entry in entries {
        let entry = entry?;
        let size = if entry.file_type()?.is_dir() {
            tree::usage(&entry.path()).map_err(|e| CliError::new(e.to_string()))?.bytes
        } else {
            entry.metadata()?.len()
        };
        sizes.push((size, entry.path()));
    }
    sizes.sort();
    let mut out = std::io::stdout().lock();
    for (size, path) in &sizes {
        writeln!(out, "{:>10}  {}", human_size(*size, 4), path.display())?;
    }
    let sum = sizes.iter().map(|(size, _)| size).sum();
    writeln!(out, "{:>10}  {}", human_size(sum, 4), folder.display())?;
    Ok(())
}

/// Does the work in a child process that has the ids.
fn inside(work: impl FnOnce() -> i32) -> Result<u8> {
    let failed = |e: &dyn std::fmt::Display| CliError::new(format!("bryo: {e}"));
    let user = User::current(rustix::process::geteuid().as_raw()).map_err(|e| failed(&e))?;
    let plan = bryo_rootless::preflight(&user.environment()).map_err(|e| failed(&e))?;
    let outcome =
        bryo_rootless::inside(&plan, &user.program, |_| work()).map_err(|e| failed(&e))?;
    Ok(u8::try_from(outcome.code & 0xff).unwrap_or(1))
}
