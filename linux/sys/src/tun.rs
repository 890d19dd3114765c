//! A tun device: a network interface whose packets a process reads and writes.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::fs::{Mode, OFlags};

/// `TUNSETIFF`, `_IOW('T', 202, int)` of linux/if_tun.h.
const TUNSETIFF: libc::c_ulong = 0x4004_54ca;
const IFF_TUN: u16 = 0x0001;
const IFF_NO_PI: u16 = 0x1000;

/// `struct ifreq`: the name, then a union of which the flags are the first two bytes.
#[repr(C)]
struct Request {
    name: [u8; 16],
    flags: u16,
    rest: [u8; 22],
}

/// Makes the tun device `name` in the calling thread's network namespace. Each read and write of the returned
/// non-blocking descriptor is one IP packet without any header; closing it takes the device away.
///
/// EBUSY: a device of this name is there and somebody holds it.
pub fn open(name: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let fd = rustix::fs::open("/dev/net/tun", flags, Mode::empty())?;
    let mut request = Request { name: [0; 16], flags: IFF_TUN | IFF_NO_PI, rest: [0; 22] };
    let room =
        request.name.get_mut(..name.len()).filter(|room| room.len() < 16).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "interface name too long")
        })?;
    room.copy_from_slice(name.as_bytes());
    // SAFETY: TUNSETIFF reads and writes one `struct ifreq`, which `Request` is (40 bytes), and keeps no pointer.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), TUNSETIFF as _, &raw mut request) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(fd) }
}

const _: () = assert!(size_of::<Request>() == 40);
