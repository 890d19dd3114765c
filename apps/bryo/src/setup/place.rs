//! Where everything of an installation is: the engine's folders and socket, systemd's folder, docker's configuration.

use std::path::{Path, PathBuf};

use bryo_rootless::SetupError;

use super::Setup;
use crate::contexts::Store;
use crate::daemon::config::{self, Host, Surroundings};

/// See above.
#[derive(Debug, Clone)]
pub struct Place {
    /// Images, containers, volumes.
    pub data_root: PathBuf,
    /// Sockets and state of this boot.
    pub exec_root: PathBuf,
    /// The engine's first unix socket.
    pub socket: PathBuf,
    /// daemon.json says where to listen.
    pub hosts_configured: bool,
    /// daemon.json says what happens to the containers when the engine stops.
    pub live_restore: bool,
    /// systemd's folder of the user's units.
    pub units: PathBuf,
    /// docker's CLI configuration and contexts.
    pub contexts: Store,
    /// What an engine started by hand prints.
    pub log: PathBuf,
}

impl Place {
    /// From the configuration that `bryo daemon` would read.
    pub fn find(setup: &Setup) -> Result<Place, SetupError> {
        Place::within(&setup.user.surroundings, &setup.user.surroundings)
    }

    /// As if there were no daemon.json, for one that cannot be read.
    pub fn of_defaults(setup: &Setup) -> Result<Place, SetupError> {
        let nowhere = Some(PathBuf::from("/nonexistent"));
        let surroundings = &setup.user.surroundings;
        Place::within(&Surroundings { config_home: nowhere, ..surroundings.clone() }, surroundings)
    }

    /// `configured`: where daemon.json is looked for.
    fn within(configured: &Surroundings, surroundings: &Surroundings) -> Result<Place, SetupError> {
        let (config, _) = config::load(&config::Flags::default(), configured)?;
        let default = surroundings.runtime_dir.clone()?.join("docker.sock");
        let own = |host: &Host| match host {
            Host::Unix(path) => Some(path.clone()),
            _ => None,
        };
        let socket = config.hosts.iter().find_map(own).unwrap_or_else(|| default.clone());
        let config_home = surroundings.config_home.clone();
        let data_home = surroundings.data_home.clone();
        let docker = std::env::var_os("DOCKER_CONFIG").filter(|v| !v.is_empty()).map(PathBuf::from);
        let home = &surroundings.home;
        Ok(Place {
            hosts_configured: config.hosts != [Host::Unix(default)],
            live_restore: config.live_restore,
            data_root: config.data_root,
            exec_root: config.exec_root,
            socket,
            units: config_home.unwrap_or_else(|| home.join(".config")).join("systemd/user"),
            contexts: Store::new(docker.unwrap_or_else(|| home.join(".docker"))),
            log: data_home.unwrap_or_else(|| home.join(".local/share")).join("bryo-daemon.log"),
        })
    }

    /// The socket as `--host` takes it.
    pub fn host(&self) -> String {
        format!("unix://{}", self.socket.display())
    }
}

/// The error of a file that could not be written, removed or read.
pub fn file_error(what: &str, file: &Path, e: &std::io::Error) -> SetupError {
    let mend = format!("look at {} and its folder: ls -ld {0}", file.display());
    SetupError::new(format!("could not {what} {}", file.display()), e.to_string(), mend)
}

/// Writes a file beside its place and moves it there; makes its folder if need be.
pub fn write_file(file: &Path, text: &str) -> Result<(), SetupError> {
    let temporary = file.with_file_name(format!(".bryo-{}", std::process::id()));
    let folder = file.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(&temporary, text))
        .and_then(|()| std::fs::rename(&temporary, file))
        .map_err(|e| {
            let _ = std::fs::remove_file(&temporary);
            file_error("write", file, &e)
        })
}
