//! `uninstall`: ends the engine with its containers and undoes what `install` did. It checks nothing first, so that it works
//! on a host where the engine does not; a step that fails is said and the others are done all the same.
//!
//! `--purge` removes the data too: in namespaces of its own, where files of subordinate ids are the user's.

use std::io::{BufRead, Write};
use std::path::Path;
use std::time::Duration;

use bryo_rootless::{SetupError, inside, preflight};

use super::install::CONTEXT;
use super::place::Place;
use super::running;
use super::unit::{self, ALIAS, SERVICE, SOCKET};
use super::{Setup, profile, user_manager};
use crate::contexts::DEFAULT;

/// Stopping containers takes as long as their programs take, at most their stop timeouts; then it is done the hard way.
const STOP: Duration = Duration::from_secs(60);

/// Whether every step went well.
pub fn command(setup: &mut Setup) -> Result<bool, SetupError> {
    if setup.user.uid == 0 {
        return Err(SetupError::new(
            "Refusing to uninstall as the root user: an installation belongs to its user",
            "effective uid 0",
            "run this as that user, for example: sudo machinectl shell USER@",
        ));
    }
    runtime_folder(setup);
    let place = Place::find(setup).or_else(|e| {
        setup.out.warning(&format!("{}: going on with the default folders", e.cause));
        Place::of_defaults(setup)
    })?;
    let mut steps = Steps { setup, failed: false };
    steps.try_step(|s| stop(s, &place));
    steps.try_step(|s| units(s, &place));
    steps.try_step(profile_lines);
    steps.try_step(|s| context(s, &place));
    let out = &setup.out;
    out.info(
        "Unset PATH, DOCKER_HOST and DOCKER_CONTEXT where you set them for this engine (~/.bashrc)",
    );
    let mut failed = steps.failed;
    if setup.options.purge {
        failed |= !purge(setup, &place)?;
    } else {
        out.info("This uninstallation tool does NOT remove Docker binaries and data.");
        out.info(&format!(
            "To remove data, run: `{} uninstall --purge` ({})",
            setup.tool,
            place.data_root.display()
        ));
    }
    Ok(!failed)
}

/// Steps of which each is tried.
struct Steps<'a> {
    setup: &'a Setup,
    failed: bool,
}

impl Steps<'_> {
    fn try_step(&mut self, step: impl FnOnce(&Setup) -> Result<(), SetupError>) {
        if let Err(e) = step(self.setup) {
            self.setup.out.refusal(&e);
            self.failed = true;
        }
    }
}

/// Without $XDG_RUNTIME_DIR the usual places are looked at, in case an engine was started from another session.
fn runtime_folder(setup: &mut Setup) {
    if setup.user.surroundings.runtime_dir.is_err() {
        let usual = Path::new("/run/user").join(setup.user.uid.to_string());
        let own = setup.user.surroundings.home.join(".docker/run");
        setup.user.surroundings.runtime_dir = Ok(if usual.is_dir() { usual } else { own });
    }
}

/// Ends the engine, its containers, and whatever is left of one that does not answer.
fn stop(setup: &Setup, place: &Place) -> Result<(), SetupError> {
    let engine = running::engine(&place.exec_root);
    if let Some(engine) = &engine {
        setup.out.info(&format!("Stopping the engine (pid {}) and its containers", engine.pid));
        engine.signal(3);
    }
    // Else systemd would start it again; one further signal does not hurry it.
    user_manager(&["stop", "--no-block", SOCKET, SERVICE]);
    if let Some(engine) = &engine
        && !engine.ended_within(STOP)
    {
        setup.out.warning("The engine does not end: it is killed");
        engine.signal(9);
        engine.ended_within(Duration::from_secs(5));
    }
    user_manager(&["stop", SOCKET, SERVICE]);
    let left = bryo_rootless::end_leftovers(&place.exec_root)?;
    if left > 0 {
        setup.out.info(&format!("Ended {left} processes that an engine had left behind"));
    }
    if !running::serves(&place.socket) {
        let _ = std::fs::remove_file(&place.socket);
    }
    Ok(())
}

fn units(setup: &Setup, place: &Place) -> Result<(), SetupError> {
    let alias = place.units.join(ALIAS).is_symlink();
    user_manager(&["disable", SERVICE, SOCKET]);
    let removed = unit::remove(place)?;
    user_manager(&["daemon-reload"]);
    user_manager(&["reset-failed", SERVICE, SOCKET]);
    if removed.contains(&SERVICE) {
        let name = if alias && setup.as_docker() { ALIAS } else { SERVICE };
        setup.out.info(&format!("Uninstalled {name}"));
    }
    Ok(())
}

fn profile_lines(setup: &Setup) -> Result<(), SetupError> {
    let file = profile::file(setup);
    if profile::remove(&file)? {
        setup
            .out
            .info(&format!("Removed the lines that started the engine from {}", file.display()));
    }
    Ok(())
}

fn context(setup: &Setup, place: &Place) -> Result<(), SetupError> {
    let store = &place.contexts;
    let failed = |e: std::io::Error| {
        let file = store.config_file().display().to_string();
        SetupError::new(
            "could not take the CLI context away",
            e.to_string(),
            format!("correct or remove {file}"),
        )
    };
    let ours = store.get(CONTEXT).map_err(failed)?.is_some_and(|c| c.host() == Some(&place.host()));
    if ours && store.remove(CONTEXT).map_err(failed)? {
        setup.out.info("Deleted CLI context \"rootless\"");
    }
    if store.get(CONTEXT).map_err(failed)?.is_none() && store.current().map_err(failed)? == CONTEXT
    {
        store.set_current(DEFAULT).map_err(failed)?;
    }
    setup.out.info("Configured CLI to use the \"default\" context.");
    Ok(())
}

/// Removes the data root, after asking. Whether it is gone.
fn purge(setup: &Setup, place: &Place) -> Result<bool, SetupError> {
    let root = &place.data_root;
    if !root.exists() {
        setup.out.info(&format!("There is no data in {}", root.display()));
        return Ok(true);
    }
    // A folder that the configuration names by mistake must not be lost: a data root says that it is one.
    if !root.join("version").is_file() {
        return Err(SetupError::new(
            "this does not look like the data of an engine, so it stays",
            format!("{} has no file `version`", root.display()),
            format!(
                "look at it, and if it is to go: rm -rf {}",
                profile::shell_word(&root.display().to_string())
            ),
        ));
    }
    if !setup.options.yes && !agreed(root) {
        setup.out.info("The data stays");
        return Ok(true);
    }
    let plan = preflight(&setup.user.environment())?;
    let outcome = inside(&plan, &setup.user.program, |channel| {
        let Err(e) = remove_tree(root) else { return 0 };
        let _ = channel.send(e.to_string().as_bytes(), &[]);
        1
    });
    let left = match outcome {
        Ok(outcome) if outcome.code == 0 => None,
        Ok(outcome) => Some(String::from_utf8_lossy(&outcome.message).into_owned()),
        // No namespaces here (any more): what is the user's own can be removed without.
        Err(e) => remove_tree(root).err().map(|own| format!("{own}; {}: {}", e.cause, e.seen)),
    };
    match left {
        None => {
            setup.out.info(&format!("Removed {}", root.display()));
            Ok(true)
        }
        Some(seen) => Err(SetupError::new(
            "not all of the data could be removed: files of subordinate ids need newuidmap, or root",
            seen,
            format!("sudo rm -rf {}", profile::shell_word(&root.display().to_string())),
        )),
    }
}

/// Removes a folder. One that is a mount point is emptied and stays.
fn remove_tree(root: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(root) {
        Err(e)
            if e.kind() == std::io::ErrorKind::ResourceBusy
                && std::fs::read_dir(root)?.next().is_none() =>
        {
            Ok(())
        }
        other => other,
    }
}

/// Asks on the terminal (or whatever stdin is); no answer is a no.
fn agreed(root: &Path) -> bool {
    print!(
        "WARNING! This will remove all images, containers and volumes in {}.\nAre you sure you want to continue? [y/N] ",
        root.display()
    );
    let _ = std::io::stdout().flush();
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer).is_ok();
    read && ["y", "yes"].contains(&answer.trim().to_lowercase().as_str())
}
