//! `install`: the checks, then the engine as a service (or the words that start it), the CLI context, the variables to set.
//!
//! It can be run as often as one likes: what is there and right is left alone. Where an engine of another version runs, or one
//! whose program file was replaced since, the new one takes over from it and no container stops.

use bryo_rootless::SetupError;

use super::check;
use super::place::Place;
use super::profile;
use super::running::{self, Engine};
use super::unit::{SOCKET, Unit, systemctl};
use super::{Setup, Systemd, user_manager};
use crate::contexts::{Context, DEFAULT};

/// The context's name, which other tools know.
pub const CONTEXT: &str = "rootless";

/// Whether the engine is installed and, where systemd is, runs.
pub fn command(setup: &mut Setup) -> Result<bool, SetupError> {
    let findings = check::all(setup);
    let satisfied = check::print(setup, &findings, false);
    let only_ids_miss = || findings.iter().filter(|f| f.is_missing()).all(check::is_single_id);
    let forced = setup.options.force && only_ids_miss();
    if !satisfied && !forced {
        return Ok(false);
    }
    if !satisfied {
        setup.out.warning("--force: going on in single-id mode, where every file of an image belongs to one owner");
    }
    let place = Place::find(setup)?;
    refuse_stranger(&place)?;
    let running = running::engine(&place.exec_root);
    let fine = match setup.systemd {
        Systemd::User => with_systemd(setup, &place, running)?,
        _ => without_systemd(setup, &place, running)?,
    };
    if !fine {
        return Ok(false);
    }
    context(setup, &place)?;
    variables(setup, &place);
    check::remind(setup);
    Ok(true)
}

/// Another engine on the same socket would be shut out, or shut us out.
fn refuse_stranger(place: &Place) -> Result<(), SetupError> {
    let Some(version) = running::version(&place.socket) else { return Ok(()) };
    if running::bryo_version(&version).is_some() {
        return Ok(());
    }
    let name =
        if version.platform.name.is_empty() { "another engine" } else { &version.platform.name };
    let seen = format!("{} answers: {name} {}", place.host(), version.version);
    let mend = "stop it first: systemctl --user disable --now docker.service\n\
                or let Bryo listen elsewhere: \"hosts\": [\"unix:///path\"] in ~/.config/bryo/daemon.json";
    Err(SetupError::new(
        "Aborting because another rootless engine is running on the same socket",
        seen,
        mend,
    ))
}

/// Whether the running engine is not this program.
fn is_outdated(setup: &Setup, place: &Place, engine: &Engine) -> bool {
    let version = running::version(&place.socket);
    let same = version.as_ref().and_then(running::bryo_version) == Some(env!("CARGO_PKG_VERSION"));
    !same || engine.is_older_than(&setup.user.program) || setup.options.force
}

fn with_systemd(setup: &Setup, place: &Place, running: Option<Engine>) -> Result<bool, SetupError> {
    if setup.options.socket_activation && place.hosts_configured {
        return Err(SetupError::new(
            "socket activation and \"hosts\" in daemon.json exclude each other",
            "daemon.json names where to listen",
            "remove \"hosts\" from daemon.json, or install without --socket-activation",
        ));
    }
    let unit = Unit::new(setup, place);
    let changed = unit.write()?;
    let name = unit.name();
    let before = running::containers(&place.socket);
    let managed = user_manager(&["is-active", super::unit::SERVICE]);
    let started = systemctl(&["daemon-reload"]) && start(setup, place, running, managed, changed)?;
    if !started || !settled(place) {
        let out = &setup.out;
        out.error(&format!("Failed to start {name}. Run `journalctl -n 20 --no-pager --user --unit {name}` to show the error log."));
        out.error(&format!(
            "Before retrying installation, you might need to uninstall the current setup: `{} uninstall -f`",
            setup.tool
        ));
        return Ok(false);
    }
    let lost = before.iter().filter(|id| !running::containers(&place.socket).contains(id)).count();
    if lost > 0 {
        setup
            .out
            .warning(&format!("{lost} of {} containers are not running any more", before.len()));
    }
    let mut enable = vec!["--quiet", "enable", super::unit::SERVICE];
    if setup.options.socket_activation {
        enable.push(SOCKET);
    }
    if !systemctl(&enable) {
        setup.out.warning(&format!(
            "{name} runs, but could not be enabled: it will not start at the next login"
        ));
    }
    setup.out.info(&format!("Installed {name} successfully."));
    setup
        .out
        .info(&format!("To control {name}, run: `systemctl --user (start|stop|restart) {name}`"));
    setup.out.info(&format!(
        "To run {name} on system startup, run: `sudo loginctl enable-linger {}`",
        setup.login()
    ));
    Ok(true)
}

/// Starts the service, or has it take over from the engine that runs.
fn start(
    setup: &Setup,
    place: &Place,
    running: Option<Engine>,
    managed: bool,
    changed: bool,
) -> Result<bool, SetupError> {
    if let Some(engine) = running {
        if managed && !changed && !is_outdated(setup, place, &engine) {
            return Ok(true);
        }
        setup.out.info("The running engine is replaced; containers go on");
        if !managed && engine.args.len() > 2 {
            let flags: Vec<_> = engine.args.iter().skip(2).map(|a| a.to_string_lossy()).collect();
            setup.out.warning(&format!(
                "Its flags are not taken over, they belong into daemon.json: {}",
                flags.join(" ")
            ));
        }
        if !managed {
            // One that was started by hand would stop its containers at a TERM; a killed one stops nothing.
            engine.signal(9);
            engine.ended_within(std::time::Duration::from_secs(10));
        } else if setup.options.socket_activation && !user_manager(&["is-active", SOCKET]) {
            // The socket unit needs the path, which the service's own socket has.
            systemctl(&["stop", super::unit::SERVICE]);
        }
    }
    if setup.options.socket_activation && !systemctl(&["start", SOCKET]) {
        return Ok(false);
    }
    Ok(systemctl(&["restart", super::unit::SERVICE]))
}

/// Whether the engine answers; Type=notify has made sure that it should.
fn settled(place: &Place) -> bool {
    (0..40).any(|_| {
        let there = running::version(&place.socket).is_some();
        if !there {
            std::thread::sleep(std::time::Duration::from_millis(250));
        }
        there
    })
}

fn without_systemd(
    setup: &Setup,
    place: &Place,
    running: Option<Engine>,
) -> Result<bool, SetupError> {
    let out = &setup.out;
    if setup.options.socket_activation {
        out.warning("--socket-activation needs systemd; the engine makes its socket itself");
    }
    match running {
        Some(engine) if is_outdated(setup, place, &engine) => {
            let before = running::containers(&place.socket);
            out.info("The running engine is replaced; containers go on");
            engine.replace(&setup.user.program, place)?;
            let after = running::containers(&place.socket);
            let kept = before.iter().filter(|id| after.contains(id)).count();
            out.info(&format!(
                "The new engine took over; {kept} of {} containers run on",
                before.len()
            ));
        }
        Some(_) => out.info(&format!("The engine runs and is of this version: {}", place.host())),
        None => {
            let program = &setup.user.program;
            let folder = program.parent().map(|p| p.display().to_string()).unwrap_or_default();
            let why = match setup.systemd {
                Systemd::None => "systemd not detected",
                _ => "the user's systemd does not answer",
            };
            out.info(&format!("{why}, bryo daemon needs to be started manually:"));
            println!(
                "\nPATH={folder}:/sbin:/usr/sbin:$PATH {} daemon\n",
                profile::shell_word(&program.display().to_string())
            );
        }
    }
    let file = profile::file(setup);
    if setup.options.login_shell {
        let verb = if profile::add(setup, place)? { "was added to" } else { "is in" };
        out.info(&format!("What starts the engine at login {verb} {}", file.display()));
    } else {
        out.info(&format!(
            "To start it at login, add this to {}, or run `{} install --login-shell`:",
            file.display(),
            setup.tool
        ));
        println!("\n{}", profile::snippet(setup, place));
    }
    Ok(true)
}

/// docker's CLI, and Bryo's, find the engine by this context.
fn context(setup: &Setup, place: &Place) -> Result<(), SetupError> {
    let out = &setup.out;
    let store = &place.contexts;
    let failed = |e: std::io::Error| {
        let file = store.config_file().display().to_string();
        SetupError::new(
            "could not set the CLI context",
            e.to_string(),
            format!("correct or remove {file}"),
        )
    };
    let wanted = Context::new(CONTEXT, "Rootless mode", &place.host());
    match store.get(CONTEXT).map_err(failed)? {
        Some(found) if found.host() == wanted.host() => {
            out.info("CLI context \"rootless\" already exists")
        }
        Some(found) if !setup.options.force => {
            let host = found.host().unwrap_or("no host").to_owned();
            out.warning(&format!("CLI context \"rootless\" already exists and leads to {host}; set --force to replace it"));
        }
        _ => {
            out.info("Creating CLI context \"rootless\"");
            store.put(&wanted).map_err(failed)?;
        }
    }
    if store.current().map_err(failed)? != CONTEXT {
        store.set_current(CONTEXT).map_err(failed)?;
    }
    out.info("Using CLI context \"rootless\"");
    for name in ["DOCKER_HOST", "DOCKER_CONTEXT"] {
        let value = std::env::var(name).unwrap_or_default();
        if !value.is_empty() && value != place.host() && value != CONTEXT && value != DEFAULT {
            out.warning(&format!("{name}={value} is set and overrides the context"));
        }
    }
    Ok(())
}

/// What the shells of the user should know.
fn variables(setup: &Setup, place: &Place) {
    let folder = setup.user.program.parent().map(|p| p.display().to_string()).unwrap_or_default();
    println!();
    setup.out.info(
        "Make sure the following environment variable(s) are set (or add them to ~/.bashrc):",
    );
    if let Some(dir) = &setup.made_runtime {
        println!("export XDG_RUNTIME_DIR={}", dir.display());
    }
    println!("export PATH={folder}:$PATH\n");
    setup.out.info("Some applications may require the following environment variable too:");
    println!("export DOCKER_HOST={}\n", place.host());
}
