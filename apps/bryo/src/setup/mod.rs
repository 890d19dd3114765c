//! `bryo setup` and `bryo doctor`: what a host lacks and how to mend it, and the engine as a service of its user.
//!
//! ```text
//! argv ─ Options ─┐
//!                 ├─ Setup ─▶ check ─▶ findings ─▶ report (lines, one block of commands, or JSON)
//! environment ────┘        ├▶ install / uninstall / nsenter
//!                          └▶ doctor: the same findings and those about the running engine
//! ```
//!
//! Called under the name `dockerd-rootless-setuptool.sh` it takes that tool's arguments and answers in its words, so that
//! scripts made for it go on working. Every check tries the thing itself, in a child process where it could do harm;
//! nothing is changed by a check, and nothing anywhere needs root: what does is printed as commands.

mod check;
mod finding;
mod install;
mod nsenter;
mod options;
mod place;
mod profile;
mod report;
mod running;
mod uninstall;
mod unit;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use bryo_rootless::SetupError;

use crate::daemon::User;
use options::Options;
use report::Printer;

/// The name of rootless Docker's tool.
const TOOL: &str = "dockerd-rootless-setuptool.sh";

/// Whether the program was called under the name of rootless Docker's tool.
pub fn is_tool(name: &OsStr) -> bool {
    Path::new(name).file_name().is_some_and(|n| n == TOOL)
}

/// What every command works with.
pub struct Setup {
    /// How the user called us, for messages: `bryo setup` or the tool's name.
    pub tool: String,
    /// Flags and command.
    pub options: Options,
    /// Who calls, from where.
    pub user: User,
    /// What systemd is here.
    pub systemd: Systemd,
    /// The runtime folder is one of our own making, because there was none; see [`check`].
    pub made_runtime: Option<PathBuf>,
    /// Prints.
    pub out: Printer,
}

/// What systemd is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Systemd {
    /// The user's manager answers.
    User,
    /// The system runs it, but the user's manager does not answer.
    SystemOnly,
    /// There is none.
    None,
}

/// Runs the command; `args[from..]` is its command line, `args[..from]` how it was called.
pub fn main(args: &[OsString], from: usize) -> ExitCode {
    let words: Vec<String> = args.iter().map(|a| a.to_string_lossy().into_owned()).collect();
    let (called, mut rest) = words.split_at(from.min(words.len()));
    let mut called: Vec<String> = called.to_vec();
    // `bryo doctor` is `bryo setup doctor`.
    let doctor;
    if called.get(1).is_some_and(|verb| verb == "doctor") {
        doctor = [vec!["doctor".to_owned()], rest.to_vec()].concat();
        rest = &doctor;
        called = vec![called.swap_remove(0), "setup".into()];
    }
    if let Some(name) = called.first_mut() {
        *name = Path::new(name.as_str())
            .file_name()
            .map_or_else(|| "bryo".into(), |n| n.to_string_lossy().into_owned());
    }
    let tool = called.join(" ");
    let out = Printer::new();
    let options = match options::parse(&tool, rest) {
        Ok(options) => options,
        Err(options::Stop::Help(text)) => {
            print!("{text}");
            return ExitCode::SUCCESS;
        }
        Err(options::Stop::Wrong(lines)) => {
            lines.iter().for_each(|line| out.error(line));
            return ExitCode::FAILURE;
        }
    };
    match Setup::new(tool, options, out).and_then(|mut setup| setup.run()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            Printer::new().refusal(&e);
            ExitCode::FAILURE
        }
    }
}

impl Setup {
    fn new(tool: String, options: Options, out: Printer) -> Result<Setup, SetupError> {
        let user = User::current(rustix::process::geteuid().as_raw())?;
        let systemd = Systemd::find();
        Ok(Setup { tool, options, user, systemd, made_runtime: None, out })
    }

    /// Whether it went well.
    fn run(&mut self) -> Result<bool, SetupError> {
        match self.options.command.as_str() {
            "check" => Ok(check::command(self)),
            "install" => install::command(self),
            "uninstall" => uninstall::command(self),
            _ => nsenter::command(self),
        }
    }

    /// Whether the caller means rootless Docker's tool and expects its words.
    pub fn as_docker(&self) -> bool {
        self.tool == TOOL
    }

    /// The login name, or the number where there is none.
    pub fn login(&self) -> String {
        self.user.name.clone().unwrap_or_else(|| self.user.uid.to_string())
    }
}

impl Systemd {
    fn find() -> Systemd {
        // sd_booted(3): the folder exists only where systemd is pid 1.
        if !Path::new("/run/systemd/system").is_dir() {
            return Systemd::None;
        }
        if user_manager(&["show-environment"]) { Systemd::User } else { Systemd::SystemOnly }
    }
}

/// Runs `systemctl --user` quietly; whether it succeeded.
pub fn user_manager(args: &[&str]) -> bool {
    let mut command = Command::new("systemctl");
    command.arg("--user").args(args);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
