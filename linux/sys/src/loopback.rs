//! The loopback interface of a new network namespace, which is born down.

use std::io;
use std::os::fd::AsRawFd;

use rustix::net::{AddressFamily, SocketFlags, SocketType};

/// Brings `lo` up in the calling thread's network namespace; the kernel then gives it 127.0.0.1 and ::1.
pub fn up() -> io::Result<()> {
    let socket = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    // SAFETY: all zeros is a valid ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(c"lo".to_bytes_with_nul()) {
        *to = libc::c_char::try_from(*from).map_err(io::Error::other)?;
    }
    // A fresh loopback has only IFF_LOOPBACK, which cannot be changed; so the flags need not be read first.
    request.ifr_ifru.ifru_flags =
        libc::c_short::try_from(libc::IFF_UP).map_err(io::Error::other)?;
    // SAFETY: SIOCSIFFLAGS reads an ifreq with a terminated name, which lives through the call.
    let r = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw mut request) };
    if r == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use crate::ns::{Kind, unshare};

    #[test]
    fn loopback_comes_up() {
        let ended = crate::fork::in_child(|| {
            if unshare(&[Kind::User, Kind::Net]).is_err() {
                return 77;
            }
            let Ok(server) = super::up().and_then(|()| std::net::UdpSocket::bind("127.0.0.1:0"))
            else {
                return 1;
            };
            let sent = server.local_addr().and_then(|a| server.send_to(b"x", a));
            i32::from(sent.is_err())
        });
        match ended.unwrap().code() {
            77 => println!("SKIPPED: user namespaces are forbidden here"),
            code => assert_eq!(code, 0),
        }
    }
}
