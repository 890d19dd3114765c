//! The checks of rootless Docker's tool, in its words: who calls, from where, and the subordinate ids.
//!
//! Three of them ask for what Bryo does without, and are information here: the script `dockerd-rootless.sh` (Bryo is one
//! program), a running `containerd-rootless.sh` (they share nothing), and iptables (the rules are written to nf_tables
//! directly). Its kernel checks read /proc/modules and sysctls; ours try, see [`super::kernel`].

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use bryo_rootless::ids::{EXPECTED, IdRange, find_program, free_start};
use bryo_rootless::{Survey, UIDMAP};
use rustix::fs::{Access, access};

use crate::setup::finding::{Finding, Level};
use crate::setup::{Setup, Systemd};

use Level::{Information, Recommended, Required};

/// The socket of a Docker that runs as root.
const ROOTFUL: &str = "/var/run/docker.sock";

/// Checks 2 to 10: the caller and the folders.
pub fn caller(setup: &mut Setup) -> Vec<Finding> {
    if setup.user.uid == 0 {
        let text = "Refusing to install rootless Docker as the root user";
        let user = [
            "run this as the user who shall own the containers, for example:",
            "sudo machinectl shell USER@",
        ];
        return vec![
            Finding::bad("user", Required, text).seen("effective uid 0").user(user).stop(),
        ];
    }
    let mut found =
        vec![Finding::good("user", Required, format!("called by {}, not by root", setup.login()))];
    found.extend(program(setup));
    found.push(systemd(setup));
    found.push(home(setup));
    if found.iter().any(|f| f.last && !f.ok) {
        return found;
    }
    found.push(rootful(setup));
    if found.iter().any(|f| f.last && !f.ok) {
        return found;
    }
    found.push(runtime(setup));
    found.extend(containerd(setup));
    found
}

/// 3: the unit names the program by its path, but people type its name.
fn program(setup: &Setup) -> Option<Finding> {
    let path = &setup.user.program;
    let folder = path.parent()?;
    let found = setup.user.path.iter().any(|dir| dir == folder)
        || find_program(&setup.user.path, "bryo").is_some();
    let text = "bryo needs to be present under $PATH";
    Some(if found {
        Finding::good("program", Recommended, format!("bryo is in $PATH ({})", path.display()))
    } else {
        let export = format!("export PATH={}:$PATH", folder.display());
        Finding::bad("program", Recommended, text)
            .seen(format!("this is {}", path.display()))
            .user([export])
    })
}

/// 4: whether there is a manager to hand the engine to.
fn systemd(setup: &Setup) -> Finding {
    match setup.systemd {
        Systemd::User => Finding::good("systemd", Recommended, "systemd of the user answers"),
        Systemd::None => Finding::good(
            "systemd",
            Information,
            "no systemd: the engine is started by hand or at login",
        ),
        Systemd::SystemOnly => {
            let text = "systemd runs this machine, but the user's own manager does not answer (Failed to connect to bus)";
            let login = format!(
                "log in by ssh or `machinectl shell {}@`, not by su or sudo",
                setup.login()
            );
            let finding = Finding::bad("systemd", Recommended, text)
                .seen("systemctl --user show-environment failed");
            let bus = Path::new("/usr/lib/systemd/user/dbus.socket").exists();
            match (bus, DBUS.command()) {
                (false, Some(command)) => {
                    finding.root(["# Install the D-Bus of user sessions".into(), command])
                }
                _ => finding.user([login]),
            }
        }
    }
}

/// The user's message bus, through which systemctl speaks to the user's manager.
const DBUS: bryo_rootless::Package = bryo_rootless::Package {
    apt: "dbus-user-session",
    rpm: "dbus-daemon",
    apk: "",
    zypper: "dbus-1",
    pacman: "dbus",
};

/// 5 and 6.
fn home(setup: &Setup) -> Finding {
    let home = std::env::var_os("HOME").filter(|v| !v.is_empty()).map(PathBuf::from);
    let Some(home) = home.filter(|home| home.is_dir()) else {
        let seen = format!("HOME={}", std::env::var("HOME").unwrap_or_else(|_| "(not set)".into()));
        let mend = format!("export HOME={}", setup.user.surroundings.home.display());
        return Finding::bad("home", Required, "HOME needs to be set")
            .seen(seen)
            .user([mend])
            .stop();
    };
    match access(&home, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) => Finding::good("home", Required, format!("HOME is {}", home.display())),
        Err(e) => {
            let seen = format!("HOME={}: {}", home.display(), std::io::Error::from(e));
            let mend =
                "give a folder of your own that is on a writable filesystem: export HOME=/path";
            Finding::bad("home", Required, "HOME needs to be writable")
                .seen(seen)
                .user([mend])
                .stop()
        }
    }
}

/// 7: whoever has access to it would talk to two daemons without knowing which.
fn rootful(setup: &Setup) -> Finding {
    let open = access(ROOTFUL, Access::WRITE_OK).is_ok();
    if !open || setup.options.force {
        return Finding::good("rootful", Required, "no rootful Docker in the way");
    }
    let text = format!(
        "Aborting because rootful Docker ({ROOTFUL}) is running and accessible. Set --force to ignore."
    );
    Finding::bad("rootful", Required, text).seen(format!("{ROOTFUL} is writable")).stop()
}

/// 8 and 9: the folder of sockets.
fn runtime(setup: &mut Setup) -> Finding {
    let refused = match &setup.user.surroundings.runtime_dir {
        Ok(dir) => {
            return Finding::good(
                "runtime-dir",
                Required,
                format!("XDG_RUNTIME_DIR is {}", dir.display()),
            );
        }
        Err(e) => e.clone(),
    };
    let value = std::env::var("XDG_RUNTIME_DIR").unwrap_or_default();
    if setup.systemd != Systemd::None {
        let text = format!(
            "Aborting because systemd was detected but XDG_RUNTIME_DIR (\"{value}\") is not set, does not exist, or is not writable"
        );
        let login = setup.login();
        let user = [
            "Hint: this could happen if you changed users with `su` or `sudo`. To work around this:".to_owned(),
            format!("- try again by first running with root privileges 'loginctl enable-linger {login}'; then"),
            format!("  export XDG_RUNTIME_DIR=\"$(loginctl show-user {login} --property=RuntimePath --value)\""),
            "- or simply log back in as the desired unprivileged user (ssh works for remote machines, machinectl shell works for local machines)".to_owned(),
        ];
        return Finding::bad("runtime-dir", Required, text).seen(refused.seen).user(user).stop();
    }
    let folder = setup.user.surroundings.home.join(".docker/run");
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
    match made.and_then(|()| Ok(access(&folder, Access::WRITE_OK)?)) {
        Ok(()) => {
            setup.user.surroundings.runtime_dir = Ok(folder.clone());
            setup.made_runtime = Some(folder.clone());
            Finding::good(
                "runtime-dir",
                Required,
                format!("XDG_RUNTIME_DIR is not set: {} serves", folder.display()),
            )
        }
        Err(e) => {
            let seen = format!("{}; {}: {e}", refused.seen, folder.display());
            Finding::bad("runtime-dir", Required, refused.cause)
                .seen(seen)
                .user(refused.mend.lines())
                .stop()
        }
    }
}

/// 10: a conflict of dockerd-rootless.sh's, not of Bryo's.
fn containerd(setup: &Setup) -> Option<Finding> {
    let dir = setup.user.surroundings.runtime_dir.as_ref().ok()?.join("containerd-rootless");
    let text = "dockerd-rootless.sh conflicts with containerd-rootless.sh; Bryo does not, and both may run";
    dir.exists().then(|| {
        Finding::bad("containerd", Information, text).seen(format!("{} exists", dir.display()))
    })
}

/// 11.
pub fn helpers(survey: &Survey) -> Finding {
    if let Some((uid, _)) = &survey.tools {
        return Finding::good(
            "newuidmap",
            Required,
            format!("newuidmap and newgidmap are there ({})", uid.display()),
        );
    }
    let comment = "# Install newuidmap & newgidmap binaries";
    match UIDMAP.command() {
        Some(command) => Finding::bad("newuidmap", Required, "newuidmap binary not found")
            .root([comment, command.as_str()]),
        None => {
            let text = "newuidmap binary not found. Please install with a package manager.";
            Finding::bad("newuidmap", Required, text)
        }
    }
}

/// 12: rootless Docker's firewall program.
pub fn iptables(setup: &Setup) -> Finding {
    let mut path = setup.user.path.clone();
    path.extend([PathBuf::from("/sbin"), PathBuf::from("/usr/sbin")]);
    match find_program(&path, "iptables") {
        Some(file) => Finding::good(
            "iptables",
            Information,
            format!("iptables is {}; Bryo does without", file.display()),
        ),
        None => {
            let text = "iptables binary not found; Bryo does without: it writes its rules to nf_tables itself";
            Finding::bad("iptables", Information, text)
        }
    }
}

/// 16 and 17, and whether the ranges are large enough.
pub fn ids(setup: &Setup, survey: &Survey) -> [Finding; 2] {
    let sources = setup.user.environment().sources;
    [
        range(setup, "subuid", "uid", &sources.subuid, &survey.subuids),
        range(setup, "subgid", "gid", &sources.subgid, &survey.subgids),
    ]
}

fn range(setup: &Setup, id: &'static str, kind: &str, file: &Path, ranges: &[IdRange]) -> Finding {
    let login = setup.login();
    let have = ranges.iter().fold(0u32, |n, r| n.saturating_add(r.count));
    if have >= EXPECTED {
        return Finding::good(id, Required, format!("{have} subordinate {kind}s"));
    }
    // The first free start, where the tool always writes 100000 and can give two users the same ids.
    let start = free_start(&std::fs::read_to_string(file).unwrap_or_default());
    let entry = format!("echo \"{login}:{start}:{}\" >> {}", EXPECTED - have, file.display());
    let comment = format!("# Add {id} entry for {login}");
    if have == 0 {
        let text = format!("No {id} ranges found for user {} (\"{login}\")", setup.user.uid);
        return Finding::bad(id, Required, text)
            .seen(format!("{} and getsubids", file.display()))
            .root([comment, entry]);
    }
    let text = format!(
        "fewer than {EXPECTED} subordinate {kind}s: images with files of higher ids are refused (lchown: invalid argument)"
    );
    Finding::bad(id, Recommended, text)
        .seen(format!("{have} ids in {}", file.display()))
        .root([comment, entry])
}
