//! The parent's half of a birth: hears the child out, writes its id maps, words what went wrong.
//!
//! `birth.rs` is the child's half, [`crate::messages::Birth`] what they say to each other. Used for the holder and by
//! [`crate::inside`], so that a check meets exactly what the engine will meet.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bryo_sys::channel::Channel;
use bryo_sys::pidfd;
use rustix::process::Pid;

use crate::birth::{receive, send};
use crate::error::{SetupError, Warning};
use crate::ids::{IdMaps, MapLine};
use crate::messages::Birth;
use crate::preflight::Plan;
use crate::refusal::{Sysctls, explain};

/// A child that makes its namespaces.
pub(crate) struct Newborn<'a> {
    pub pid: Pid,
    pub channel: &'a Channel,
    /// This program's file, for the commands in refusals.
    pub program: &'a Path,
    /// Where the child prints, if not to our own streams.
    pub log: Option<&'a Path>,
}

impl Newborn<'_> {
    /// Waits until the child has its user namespace, maps the plan's ids and lets it go on. The inner error: newuidmap or
    /// newgidmap refused, worth another try without them.
    pub fn give_ids(&self, plan: &Plan) -> Result<Result<(), Warning>, SetupError> {
        self.next_word()?;
        if let Some(tools) = &plan.tools
            && let Err(warning) = map(self.pid, tools, &plan.ids)
        {
            return Ok(Err(warning));
        }
        send(self.channel, &Birth::Mapped)
            .map_err(|e| internal("could not go on with the new namespaces", e.to_string()))?;
        self.next_word().map(Ok)
    }

    /// The child's next word, if it is no refusal.
    pub fn next_word(&self) -> Result<(), SetupError> {
        match receive(self.channel) {
            Ok(Birth::Made | Birth::Ready | Birth::Mapped) => Ok(()),
            Ok(Birth::Refused { step, errno }) => {
                let sysctls = Sysctls::read(Path::new("/proc/sys"));
                Err(explain(step, errno, &sysctls, self.program))
            }
            Ok(Birth::Failed { message }) => Err(internal("the holder could not start", message)),
            Err(e) => {
                let log = self.log.map(|log| format!("; see {}", log.display()));
                Err(internal(
                    "the child ended before its namespaces were ready",
                    format!("{e}{}", log.unwrap_or_default()),
                ))
            }
        }
    }
}

/// Writes both maps with the distribution's helpers, at the same time; each is called once.
fn map(pid: Pid, tools: &(PathBuf, PathBuf), ids: &IdMaps) -> Result<(), Warning> {
    let uids = run_tool(&tools.0, pid, &ids.uids);
    let gids = run_tool(&tools.1, pid, &ids.gids);
    for (tool, child) in [(&tools.0, uids), (&tools.1, gids)] {
        let output = child.and_then(std::process::Child::wait_with_output);
        let (why, seen) = match output {
            Ok(out) if out.status.success() => continue,
            Ok(out) => {
                (out.status.to_string(), String::from_utf8_lossy(&out.stderr).trim().to_owned())
            }
            Err(e) => ("not started".into(), e.to_string()),
        };
        let tool = tool.display();
        return Err(SetupError::new(
            "failed to setup UID/GID map; continuing in single-id mode: every file of an image belongs to one owner",
            format!("{tool}: {why}: {seen}"),
            format!(
                "the helper needs its set-uid bit or file capabilities: sudo chmod u+s {tool}\n\
                 and this process must not run with no_new_privs (systemd: NoNewPrivileges=no)"
            ),
        ));
    }
    Ok(())
}

fn run_tool(tool: &Path, pid: Pid, map: &[MapLine]) -> io::Result<std::process::Child> {
    let mut command = Command::new(tool);
    command.arg(pidfd::to_u32(pid).to_string());
    for line in map {
        command.args([line.inside, line.outside, line.count].map(|n| n.to_string()));
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()
}

pub(crate) fn internal(cause: &str, seen: impl Into<String>) -> SetupError {
    SetupError::new(
        cause,
        seen,
        "this should not happen: please report it with `bryo daemon --debug`",
    )
}
