//! What must hold before anything is started, and what is only a pity.
//!
//! These checks read a few files and try nothing; what only the kernel can tell (whether user namespaces are allowed) is
//! found out by the holder itself as it is born, see [`crate::refusal`]. All values come in by [`Environment`].

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::error::{SetupError, Warning};
use crate::ids::{EXPECTED, IdMaps, IdRange, Sources, find_program, free_start};

/// Who starts Bryo and from where.
#[derive(Debug, Clone)]
pub struct Environment {
    /// Effective uid.
    pub uid: u32,
    /// Effective gid.
    pub gid: u32,
    /// Login name, if the user database has one.
    pub user: Option<String>,
    /// Folders of $PATH.
    pub path: Vec<PathBuf>,
    /// Where subordinate ids are looked up.
    pub sources: Sources,
}

/// What the host gives to the user; see [`survey`].
#[derive(Debug, Clone)]
pub struct Survey {
    /// newuidmap and newgidmap, if both are there.
    pub tools: Option<(PathBuf, PathBuf)>,
    /// Subordinate uids, in ranges that do not touch.
    pub subuids: Vec<IdRange>,
    /// Subordinate gids.
    pub subgids: Vec<IdRange>,
}

/// Looks for the helpers and the ids; judges nothing.
pub fn survey(env: &Environment) -> Survey {
    let tool = |name| find_program(&env.path, name);
    let (subuids, subgids) = env.sources.ranges(env.user.as_deref(), env.uid);
    Survey { tools: tool("newuidmap").zip(tool("newgidmap")), subuids, subgids }
}

/// How Bryo's user namespace will be made.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The maps.
    pub ids: IdMaps,
    /// newuidmap and newgidmap; none in single-id mode.
    pub tools: Option<(PathBuf, PathBuf)>,
    /// What will not work, and how to mend that.
    pub warnings: Vec<Warning>,
}

impl Plan {
    /// The same without subordinate ids, for the reason given.
    pub fn single(&self, uid: u32, gid: u32, warning: Warning) -> Plan {
        let mut warnings = self.warnings.clone();
        warnings.push(warning);
        Plan { ids: IdMaps::new(uid, gid, &[], &[]), tools: None, warnings }
    }
}

/// Decides how the user namespace is made; refuses uid 0.
pub fn preflight(env: &Environment) -> Result<Plan, SetupError> {
    refuse_root(env.uid)?;
    let mut warnings = Vec::new();
    let Survey { tools, mut subuids, mut subgids } = survey(env);
    if tools.is_some() {
        warnings.extend(ranges_warning(env, "subuid", &env.sources.subuid, &subuids));
        warnings.extend(ranges_warning(env, "subgid", &env.sources.subgid, &subgids));
    } else {
        warnings.push(tools_missing(&env.path));
        subuids.clear();
        subgids.clear();
    }
    let ids = IdMaps::new(env.uid, env.gid, &subuids, &subgids);
    let tools = tools.filter(|_| !ids.is_single());
    Ok(Plan { ids, tools, warnings })
}

/// Root has nothing to gain here and much to lose.
pub fn refuse_root(uid: u32) -> Result<(), SetupError> {
    if uid != 0 {
        return Ok(());
    }
    Err(SetupError::new(
        "Refusing to run as the root user: Bryo must be executed as a non-privileged user",
        "effective uid 0",
        "run it as a user of its own, for example:\n\
         sudo useradd --create-home --shell /bin/bash bryo\n\
         sudo loginctl enable-linger bryo\n\
         sudo machinectl shell bryo@ $(command -v bryo) daemon",
    ))
}

/// The runtime folder ($XDG_RUNTIME_DIR), from which the defaults of `--exec-root` and `--host` are made.
pub fn runtime_dir(
    value: Option<OsString>,
    uid: u32,
    user: Option<&str>,
) -> Result<PathBuf, SetupError> {
    let user = user.map_or_else(|| uid.to_string(), str::to_owned);
    let mend = format!(
        "a session made by `su` or `sudo` does not set it: log in by ssh or `machinectl shell {user}@`, or\n\
         sudo loginctl enable-linger {user}\n\
         export XDG_RUNTIME_DIR=/run/user/{uid}\n\
         without systemd: sudo install -d -m 700 -o {uid} /run/user/{uid} && export XDG_RUNTIME_DIR=/run/user/{uid}"
    );
    let refuse = |seen: String| {
        SetupError::new("XDG_RUNTIME_DIR needs to be set and writable", seen, mend.clone())
    };
    let Some(dir) = value.filter(|v| !v.is_empty()).map(PathBuf::from) else {
        return Err(refuse("XDG_RUNTIME_DIR is not set".into()));
    };
    if !dir.is_absolute() {
        return Err(refuse(format!("XDG_RUNTIME_DIR={} is not absolute", dir.display())));
    }
    match rustix::fs::access(&dir, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK) {
        Ok(()) => Ok(dir),
        Err(e) => Err(refuse(format!("XDG_RUNTIME_DIR={}: {}", dir.display(), text(e)))),
    }
}

/// Without its number.
pub(crate) fn text(e: rustix::io::Errno) -> String {
    let e = std::io::Error::from(e).to_string();
    e.split(" (os error").next().unwrap_or(&e).to_owned()
}

/// What single-id mode means to the user.
const SINGLE_ID: &str = "continuing in single-id mode: every file of an image belongs to one owner, and programs \
                         that change to another user fail";

fn tools_missing(path: &[PathBuf]) -> Warning {
    let folders: Vec<_> = path.iter().map(|p| p.display().to_string()).collect();
    SetupError::new(
        format!("newuidmap binary not found. Please install with a package manager; {SINGLE_ID}"),
        format!("no newuidmap and newgidmap in PATH={}", folders.join(":")),
        install_command(),
    )
}

/// The command that installs newuidmap here.
fn install_command() -> String {
    match UIDMAP.command() {
        Some(command) => format!("sudo {command}"),
        None => "install the package that holds newuidmap (uidmap, shadow-utils)".into(),
    }
}

/// A program's package under the names that the distributions gave it; empty: it has none there.
#[derive(Debug, Clone, Copy)]
pub struct Package {
    /// Debian and Ubuntu.
    pub apt: &'static str,
    /// Fedora, RHEL and their kin.
    pub rpm: &'static str,
    /// Alpine.
    pub apk: &'static str,
    /// openSUSE.
    pub zypper: &'static str,
    /// Arch.
    pub pacman: &'static str,
}

/// newuidmap and newgidmap.
pub const UIDMAP: Package = Package {
    apt: "uidmap",
    rpm: "shadow-utils",
    apk: "shadow-uidmap",
    zypper: "shadow",
    pacman: "shadow",
};

impl Package {
    /// The command that installs it, to be run as root; none if this host's package manager is not known.
    pub fn command(&self) -> Option<String> {
        let managers = [
            ("/usr/bin/apt-get", "apt-get install -y", self.apt),
            ("/usr/bin/dnf", "dnf install -y", self.rpm),
            ("/usr/bin/yum", "yum install -y", self.rpm),
            ("/sbin/apk", "apk add", self.apk),
            ("/usr/bin/zypper", "zypper install -y", self.zypper),
            ("/usr/bin/pacman", "pacman -S --noconfirm", self.pacman),
        ];
        let here = |(program, _, name): &&(&str, &str, &str)| {
            !name.is_empty() && Path::new(program).exists()
        };
        managers.iter().find(here).map(|(_, words, name)| format!("{words} {name}"))
    }
}

/// None or few subordinate ids.
fn ranges_warning(
    env: &Environment,
    kind: &str,
    file: &Path,
    ranges: &[IdRange],
) -> Option<Warning> {
    let have = ranges.iter().fold(0u32, |n, r| n.saturating_add(r.count));
    if have >= EXPECTED {
        return None;
    }
    let user = env.user.clone().unwrap_or_else(|| env.uid.to_string());
    let existing = std::fs::read_to_string(file).unwrap_or_default();
    let start = free_start(&existing);
    let missing = EXPECTED - have;
    let cause = if have == 0 {
        format!("No {kind} ranges found for user {} (\"{user}\"); {SINGLE_ID}", env.uid)
    } else {
        format!(
            "user {} (\"{user}\") has fewer than {EXPECTED} {kind}s: images with files of higher ids are refused \
             (lchown: invalid argument)",
            env.uid
        )
    };
    let list: Vec<_> = ranges.iter().map(|r| format!("{user}:{}:{}", r.start, r.count)).collect();
    let seen = match list.len() {
        0 => format!("no entry for {user} in {}", file.display()),
        _ => format!("{have} ids in {}: {}", file.display(), list.join(" ")),
    };
    let mend = format!(
        "echo \"{user}:{start}:{missing}\" | sudo tee -a {}\nthen stop and start the daemon",
        file.display()
    );
    Some(SetupError::new(cause, seen, mend))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn environment(dir: &Path, subuid: &str, subgid: &str) -> Environment {
        std::fs::write(dir.join("subuid"), subuid).unwrap();
        std::fs::write(dir.join("subgid"), subgid).unwrap();
        for tool in ["newuidmap", "newgidmap"] {
            std::fs::write(dir.join(tool), "#!/bin/sh\n").unwrap();
            let mode = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(dir.join(tool), mode).unwrap();
        }
        Environment {
            uid: 1000,
            gid: 1000,
            user: Some("me".into()),
            path: vec![dir.to_owned()],
            sources: Sources {
                subuid: dir.join("subuid"),
                subgid: dir.join("subgid"),
                getsubids: None,
            },
        }
    }

    #[test]
    fn root_is_refused_with_a_way_out() {
        let e = refuse_root(0).unwrap_err().to_string();
        assert!(e.contains("must be executed as a non-privileged user") && e.contains("useradd"));
    }

    #[test]
    fn enough_ids_give_a_full_map_without_warnings() {
        let dir = tempfile::tempdir().unwrap();
        let env = environment(dir.path(), "me:100000:65536\n", "1000:100000:65536\n");
        let plan = preflight(&env).unwrap();
        assert_eq!(plan.warnings, []);
        assert_eq!(plan.ids.limits(), (65537, 65537));
        assert!(plan.tools.is_some());
    }

    #[test]
    fn missing_ids_or_tools_mean_single_id_mode_and_say_how_to_mend_it() {
        let dir = tempfile::tempdir().unwrap();
        let env = environment(dir.path(), "you:100000:65536\n", "me:100000:65536\n");
        let plan = preflight(&env).unwrap();
        assert!(plan.ids.is_single() && plan.tools.is_none());
        let said = plan.warnings[0].to_string();
        assert!(said.contains("No subuid ranges found for user 1000 (\"me\")"), "{said}");
        assert!(said.contains("echo \"me:165536:65536\" | sudo tee -a"), "{said}");

        let nothing = Environment { path: vec![dir.path().join("none")], ..env };
        let plan = preflight(&nothing).unwrap();
        assert!(plan.ids.is_single());
        assert!(plan.warnings[0].cause.contains("newuidmap binary not found"));
    }

    #[test]
    fn few_ids_are_used_and_complained_about() {
        let dir = tempfile::tempdir().unwrap();
        let env = environment(dir.path(), "me:100000:1000\n", "me:100000:65536\n");
        let plan = preflight(&env).unwrap();
        assert_eq!(plan.ids.limits().0, 1001);
        assert!(plan.warnings[0].mend.contains("me:101000:64536"), "{}", plan.warnings[0]);
    }

    #[test]
    fn the_runtime_folder_must_be_set_absolute_and_there() {
        let none = runtime_dir(None, 1000, Some("me")).unwrap_err();
        assert_eq!(none.cause, "XDG_RUNTIME_DIR needs to be set and writable");
        assert!(none.mend.contains("enable-linger me"));
        let missing = runtime_dir(Some("/nonexistent/run".into()), 1000, None).unwrap_err();
        assert!(missing.seen.contains("No such file"), "{missing}");
        assert!(runtime_dir(Some("run".into()), 1000, None).is_err());
    }
}
