//! The command line.

use std::ffi::OsString;
use std::process::ExitCode;

/// Runs the command that the arguments (with the program's name in front) ask for.
pub fn main(args: &[OsString]) -> ExitCode {
    let asked = args.get(1).map(|a| a.to_string_lossy()).unwrap_or_default();
    eprintln!(
        "bryo: '{asked}' is not a bryo command of this version: use the docker command with DOCKER_HOST, or `bryo daemon --help`"
    );
    ExitCode::from(125)
}
