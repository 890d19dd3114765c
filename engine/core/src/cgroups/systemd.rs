//! Asking the user's systemd for a scope: one D-Bus call, no program.
//!
//! The scope takes in the holder (and the gate and monitors, if there are any already), wherever they were: systemd moves them,
//! which the user itself may not do out of a login session's cgroup. It lives as long as a process is in it, whatever becomes of
//! the engine and of its unit.
//!
//! systemd listens in two places: on the session bus, and, for its own tools, on a socket of its own. Where no bus is installed
//! the second still works. Both look at the peer's credentials, which the kernel tells as the *host's* uid.
//!
//! On failure: a sentence; the engine goes on without this driver.

use std::path::{Path, PathBuf};
use std::time::Duration;

use zbus::Connection;
use zbus::Variant as Value;
use zbus::connection::Builder;

/// How long systemd may take to answer, and to move the processes.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where systemd is spoken to.
#[derive(Debug)]
pub(super) struct Bus<'a> {
    /// `$DBUS_SESSION_BUS_ADDRESS`, if it is set.
    pub address: Option<&'a str>,
    /// `$XDG_RUNTIME_DIR`.
    pub runtime_dir: &'a Path,
    /// The user's id on the host.
    pub uid: u32,
}

impl Bus<'_> {
    /// Whether there is anybody to ask; costs two looks at the filesystem.
    pub(super) fn is_there(&self) -> bool {
        self.own_socket().exists()
    }

    fn own_socket(&self) -> PathBuf {
        self.runtime_dir.join("systemd/private")
    }

    async fn connect(&self) -> Result<Connection, String> {
        let usual = format!("unix:path={}", self.runtime_dir.join("bus").display());
        let address = self.address.unwrap_or(&usual);
        let bus = Builder::address(address).user_id(self.uid).method_timeout(PATIENCE);
        let over_bus = match bus.build().await {
            Ok(connection) => return Ok(connection),
            Err(e) => e,
        };
        let own = format!("unix:path={}", self.own_socket().display());
        let direct = Builder::address(own.as_str()).user_id(self.uid).method_timeout(PATIENCE);
        direct.p2p().build().await.map_err(|e| {
            format!("the session bus ({address}) says: {over_bus}; systemd's own socket ({own}) says: {e}")
        })
    }
}

/// Has `pids` moved into a new scope with delegation, below `slice` if that is given, and returns the scope's name.
/// The first of the pids names it.
pub(super) async fn scope(bus: &Bus<'_>, pids: &[u32], slice: &str) -> Result<String, String> {
    let work = ask(bus, pids, slice);
    match tokio::time::timeout(PATIENCE * 2, work).await {
        Ok(outcome) => outcome,
        Err(_) => Err("systemd did not answer in time".into()),
    }
}

async fn ask(bus: &Bus<'_>, pids: &[u32], slice: &str) -> Result<String, String> {
    let connection = bus.connect().await?;
    let name = format!("bryo-{}.scope", pids.first().copied().unwrap_or_default());
    let mut properties = vec![
        ("Description", Value::from("Containers of Bryo")),
        ("PIDs", Value::from(pids.to_vec())),
        ("Delegate", Value::from(true)),
        // The limit of a unit (15 % of the machine's) is not meant for all containers together.
        ("TasksMax", Value::from(u64::MAX)),
        // A scope whose last process was killed is gone and not kept as failed.
        ("CollectMode", Value::from("inactive-or-failed")),
    ];
    if !slice.is_empty() {
        properties.push(("Slice", Value::from(slice)));
    }
    let nothing: Vec<(&str, Vec<(&str, Value<'_>)>)> = Vec::new();
    let body = (name.as_str(), "fail", properties, nothing);
    connection
        .call_method(
            Some("org.freedesktop.systemd1"),
            "/org/freedesktop/systemd1",
            Some("org.freedesktop.systemd1.Manager"),
            "StartTransientUnit",
            &body,
        )
        .await
        .map_err(|e| format!("systemd refused the scope {name}: {e}"))?;
    // The call is answered when the job is queued.
    let first = pids.first().copied().unwrap_or_default();
    loop {
        let place = bryo_cgroup::of_process(first);
        if place.is_some_and(|p| p.ends_with(&name)) {
            return Ok(name);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
