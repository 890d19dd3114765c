//! `nsenter`: a command, or a shell, in the namespaces of the engine: uid 0 there, the user outside. The network is the
//! host's, as the engine's own is; the working folder stays.

use std::os::unix::process::CommandExt;
use std::process::Command;

use bryo_rootless::SetupError;

use super::Setup;
use super::place::Place;

/// Becomes the command; returns only what went wrong.
pub fn command(setup: &Setup) -> Result<bool, SetupError> {
    bryo_rootless::refuse_root(setup.user.uid)?;
    let place = Place::find(setup)?;
    let folder = std::env::current_dir();
    if bryo_rootless::join_holder(&place.exec_root)?.is_none() {
        return Err(SetupError::new(
            "no engine is running, so there are no namespaces to enter",
            format!("nobody answers at {}", place.exec_root.join("holder.sock").display()),
            "bryo daemon &",
        ));
    }
    if let Ok(folder) = folder {
        let _ = std::env::set_current_dir(folder);
    }
    let shell = std::env::var("SHELL").unwrap_or_else(|_| "/bin/sh".into());
    let words = &setup.options.args;
    let (program, args) = words.split_first().map_or((&shell, &[][..]), |(p, a)| (p, a));
    let e = Command::new(program).args(args).exec();
    Err(SetupError::new(
        format!("could not run {program}"),
        e.to_string(),
        format!("{} nsenter -- sh", setup.tool),
    ))
}
