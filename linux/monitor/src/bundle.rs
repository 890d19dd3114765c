//! The bundle folder: what the engine wrote for this monitor, and the monitor's record of how things stand.

use std::io;
use std::path::{Path, PathBuf};

use bryo_runtime::seccomp::Filter;
use bryo_sys::channel::Listener;
use oci_spec::runtime::Spec;

use crate::messages::{MonitorConfig, MonitorState, SECCOMP_FILTER, VERSION};

/// A file in the bundle that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}: {source}", path.display())]
pub(crate) struct BundleError {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// The folder and the settings in it.
#[derive(Debug)]
pub(crate) struct Bundle {
    pub(crate) folder: PathBuf,
    pub(crate) config: MonitorConfig,
}

impl Bundle {
    /// Reads `monitor.json`.
    pub(crate) fn open(folder: &Path) -> Result<Bundle, BundleError> {
        let path = folder.join("monitor.json");
        let config: MonitorConfig = read_json(&path)?;
        if config.version > VERSION {
            let source = io::Error::other(format!(
                "it was written by an engine that speaks version {} and this monitor speaks {VERSION}; \
                 restart Bryo so that both are of one version",
                config.version
            ));
            return Err(BundleError { action: "use", path, source });
        }
        Ok(Bundle { folder: folder.to_owned(), config })
    }

    /// Reads `config.json`. It is not kept: it is the largest thing a monitor would hold.
    pub(crate) fn spec(&self) -> Result<Spec, BundleError> {
        read_json(&self.folder.join("config.json"))
    }

    /// Reads the compiled seccomp profile, if there is one.
    pub(crate) fn seccomp(&self) -> Result<Option<Filter>, BundleError> {
        let path = self.folder.join(SECCOMP_FILTER);
        let failed = |source| BundleError { action: "read", path: path.clone(), source };
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(failed(e)),
        };
        let filter = Filter::from_bytes(&bytes);
        filter.map(Some).ok_or_else(|| failed(io::Error::other("it is not a whole filter")))
    }

    /// Replaces `state.json`. A reader sees the old or the new one, whole.
    pub(crate) fn write_state(&self, state: &MonitorState) -> Result<(), BundleError> {
        let path = crate::client::state_path(&self.folder);
        let temporary = self.folder.join("state.json.tmp");
        let failed = |source| BundleError { action: "write", path: path.clone(), source };
        let bytes = serde_json::to_vec(state).map_err(|e| failed(e.into()))?;
        std::fs::write(&temporary, bytes).map_err(failed)?;
        std::fs::rename(&temporary, &path).map_err(failed)
    }

    /// Listens on `monitor.sock`.
    pub(crate) fn listen(&self) -> Result<Listener, BundleError> {
        let path = crate::client::socket_path(&self.folder);
        let failed = |source| BundleError { action: "listen on", path: path.clone(), source };
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(failed(e)),
            _ => {}
        }
        let listener = Listener::bind(&path).map_err(failed)?;
        rustix::io::ioctl_fionbio(&listener, true).map_err(|e| failed(e.into()))?;
        Ok(listener)
    }

    /// Takes `monitor.sock` away.
    pub(crate) fn stop_listening(&self) {
        let _ = std::fs::remove_file(crate::client::socket_path(&self.folder));
    }
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, BundleError> {
    let failed = |source| BundleError { action: "read", path: path.to_owned(), source };
    let bytes = std::fs::read(path).map_err(failed)?;
    serde_json::from_slice(&bytes).map_err(|e| failed(e.into()))
}
