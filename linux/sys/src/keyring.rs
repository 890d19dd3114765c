//! Kernel keyrings.

use std::io;

/// Gives the process a new, empty session keyring, so that it does not hold its parent's (which may be that of the
/// user's login session).
pub fn new_session() -> io::Result<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_int = 1;
    let name: *const libc::c_char = std::ptr::null();
    // SAFETY: a null name asks for an anonymous keyring; nothing else is passed.
    let r = unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name) };
    if r < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
