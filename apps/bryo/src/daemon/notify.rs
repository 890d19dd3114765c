//! sd_notify(3): tells a service manager when the daemon is ready, reloads or stops.
//!
//! With no `NOTIFY_SOCKET` nothing happens; a manager that went away is no reason to fail.

use std::ffi::OsString;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// A service manager, perhaps.
#[derive(Debug)]
pub struct Notify(Option<(UnixDatagram, SocketAddr)>);

impl Notify {
    /// From the value of $NOTIFY_SOCKET: a path, or `@name` in the abstract namespace.
    pub fn new(socket: Option<OsString>) -> Notify {
        let Some(name) = socket.filter(|s| !s.is_empty()) else { return Notify(None) };
        let address = match name.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
            path => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(path)),
        };
        Notify(address.ok().and_then(|a| Some((UnixDatagram::unbound().ok()?, a))))
    }

    /// The API answers.
    pub fn ready(&self) {
        self.send(&format!("READY=1\nMAINPID={}\nSTATUS=Serving\n", std::process::id()));
    }

    /// SIGHUP arrived; [`Notify::ready`] follows.
    pub fn reloading(&self) {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let micros = now.tv_sec * 1_000_000 + now.tv_nsec / 1000;
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={micros}\n"));
    }

    /// A stop has begun.
    pub fn stopping(&self) {
        self.send("STOPPING=1\nSTATUS=Stopping\n");
    }

    fn send(&self, text: &str) {
        if let Some((socket, address)) = &self.0 {
            let _ = socket.send_to_addr(text.as_bytes(), address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manager_hears_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let notify = Notify::new(Some(path.into()));
        notify.ready();
        notify.reloading();
        let mut buffer = [0u8; 256];
        let n = manager.recv(&mut buffer).unwrap();
        assert!(buffer[..n].starts_with(b"READY=1\n"));
        let n = manager.recv(&mut buffer).unwrap();
        assert!(buffer[..n].starts_with(b"RELOADING=1\nMONOTONIC_USEC="));
        Notify::new(None).stopping();
    }
}
