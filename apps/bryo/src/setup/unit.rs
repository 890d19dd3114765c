//! systemd's user units: `bryo.service`, and `bryo.socket` where socket activation is wanted.
//!
//! The keys are those of rootless Docker's unit, with two differences that let containers outlive the engine:
//! `KillMode=process` (mixed would kill every process of the cgroup) and `--live-restore`. `ExecStop` makes the exception:
//! when the whole user manager stops, at the shutdown of the machine or the last logout, the engine is told by SIGQUIT
//! to stop the containers in order, before systemd kills what is left. `docker.service` is an alias, unless rootless
//! Docker's own unit is there.

use std::path::Path;
use std::process::{Command, Stdio};

use super::place::{Place, file_error, write_file};
use super::{Setup, user_manager};
use bryo_rootless::SetupError;

/// The service's name.
pub const SERVICE: &str = "bryo.service";
/// The socket's name.
pub const SOCKET: &str = "bryo.socket";
/// The name that scripts made for rootless Docker use.
pub const ALIAS: &str = "docker.service";

/// The first line of what we wrote, and may write again.
const MARK: &str = "# Written by `bryo setup install`, which may write it again; keep changes of your own in a drop-in:";

/// Where the command line of the engine comes from.
pub struct Unit<'a> {
    setup: &'a Setup,
    place: &'a Place,
    alias: bool,
}

impl<'a> Unit<'a> {
    /// For this installation.
    pub fn new(setup: &'a Setup, place: &'a Place) -> Unit<'a> {
        let foreign = [place.units.join(ALIAS), Path::new("/usr/lib/systemd/user").join(ALIAS)];
        let alias = !foreign.iter().any(|file| file.is_file() && !leads_to_ours(file));
        Unit { setup, place, alias }
    }

    /// The name to speak of it.
    pub fn name(&self) -> &'static str {
        if self.alias && self.setup.as_docker() { ALIAS } else { SERVICE }
    }

    /// The units' texts by name.
    pub fn files(&self) -> Vec<(&'static str, String)> {
        let mut files = vec![(SERVICE, self.service())];
        if self.setup.options.socket_activation {
            files.push((SOCKET, self.socket()));
        }
        files
    }

    fn service(&self) -> String {
        let program = &self.setup.user.program;
        let activated = self.setup.options.socket_activation;
        let mut command =
            format!("{} daemon", quoted(&program.display().to_string().replace('$', "$$")));
        if !self.place.live_restore {
            command += " --live-restore";
        }
        if activated {
            command += " --host fd://";
        }
        let folder = program.parent().unwrap_or(Path::new("/usr/bin")).display();
        let path =
            format!("{folder}:/sbin:/usr/sbin:{}", std::env::var("PATH").unwrap_or_default());
        let mut environment = format!("Environment={}\n", quoted(&format!("PATH={path}")));
        for name in ["XDG_CONFIG_HOME", "XDG_DATA_HOME"] {
            if let Ok(value) = std::env::var(name) {
                environment += &format!("Environment={}\n", quoted(&format!("{name}={value}")));
            }
        }
        let bus = if user_manager(&["cat", "dbus.socket"]) { "Requires=dbus.socket\n" } else { "" };
        let socket =
            if activated { format!("Requires={SOCKET}\nAfter={SOCKET}\n") } else { String::new() };
        let alias = if self.alias { format!("Alias={ALIAS}\n") } else { String::new() };
        format!(
            "{MARK}\n\
             # systemctl --user edit {SERVICE}\n\
             [Unit]\n\
             Description=Bryo Container Engine (Rootless)\n\
             Documentation=https://docs.docker.com/go/rootless/\n\
             {bus}{socket}\n\
             [Service]\n\
             {environment}\
             ExecStart={command}\n\
             ExecReload=/bin/kill -s HUP $MAINPID\n\
             # The session or the machine ends: so do the containers, in order.\n\
             ExecStop=-/bin/sh -c '[ \"$$(systemctl --user is-system-running)\" != stopping ] || kill -s QUIT \"$$MAINPID\"'\n\
             TimeoutSec=0\n\
             RestartSec=2\n\
             Restart=always\n\
             StartLimitBurst=3\n\
             StartLimitInterval=60s\n\
             LimitNOFILE=infinity\n\
             LimitNPROC=infinity\n\
             LimitCORE=infinity\n\
             TasksMax=infinity\n\
             Delegate=yes\n\
             Type=notify\n\
             NotifyAccess=all\n\
             # Containers outlive the engine: they are not killed with it.\n\
             KillMode=process\n\
             \n\
             [Install]\n\
             WantedBy=default.target\n\
             {alias}"
        )
    }

    fn socket(&self) -> String {
        format!(
            "{MARK}\n\
             # systemctl --user edit {SOCKET}\n\
             [Unit]\n\
             Description=Bryo API Socket (Rootless)\n\
             \n\
             [Socket]\n\
             ListenStream={}\n\
             SocketMode=0660\n\
             \n\
             [Install]\n\
             WantedBy=sockets.target\n",
            self.place.socket.display().to_string().replace('%', "%%")
        )
    }

    /// Writes the units that are missing or another version's; whether anything was written.
    pub fn write(&self) -> Result<bool, SetupError> {
        let mut changed = false;
        for (name, text) in self.files() {
            let file = self.place.units.join(name);
            match std::fs::read_to_string(&file) {
                Ok(old) if old == text => {
                    self.setup
                        .out
                        .info(&format!("File already exists, skipping: {}", file.display()));
                }
                Ok(old) if !old.starts_with(MARK) && !self.setup.options.force => {
                    return Err(SetupError::new(
                        format!("{name} is there and not of this tool's making"),
                        format!("{} does not begin with its mark", file.display()),
                        format!("mv {0} {0}.old\nor set --force to write over it", file.display()),
                    ));
                }
                old => {
                    write_file(&file, &text)?;
                    let verb = if old.is_ok() { "Replaced" } else { "Creating" };
                    self.setup.out.info(&format!("{verb} {}", file.display()));
                    changed = true;
                }
            }
        }
        Ok(changed)
    }
}

/// Removes the units; their paths.
pub fn remove(place: &Place) -> Result<Vec<&'static str>, SetupError> {
    let mut removed = Vec::new();
    for name in [SERVICE, SOCKET, ALIAS] {
        let file = place.units.join(name);
        if name == ALIAS && !leads_to_ours(&file) {
            continue;
        }
        match std::fs::remove_file(&file) {
            Ok(()) => removed.push(name),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(file_error("remove", &file, &e)),
        }
    }
    // Links that `systemctl enable` made, where systemctl cannot be asked to take them away.
    for (target, name) in [("default.target.wants", SERVICE), ("sockets.target.wants", SOCKET)] {
        let _ = std::fs::remove_file(place.units.join(target).join(name));
        let _ = std::fs::remove_dir(place.units.join(target));
    }
    Ok(removed)
}

/// Whether an alias is a link to our unit.
fn leads_to_ours(file: &Path) -> bool {
    std::fs::read_link(file).is_ok_and(|to| to.ends_with(SERVICE))
}

/// Runs `systemctl --user` with its words on our streams; whether it succeeded.
pub fn systemctl(args: &[&str]) -> bool {
    let mut command = Command::new("systemctl");
    command.arg("--user").args(args).stdin(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// A word for a unit file: `%` is a specifier there, `"` and `\` are syntax (systemd.syntax(7)).
fn quoted(word: &str) -> String {
    let text = word.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%");
    if text.contains(char::is_whitespace) || text != word { format!("\"{text}\"") } else { text }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn words_of_unit_files_are_quoted_where_they_need_it() {
        assert_eq!(quoted("/usr/bin/bryo"), "/usr/bin/bryo");
        assert_eq!(quoted("/my folder/100%"), "\"/my folder/100%%\"");
    }
}
