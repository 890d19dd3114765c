//! How much of what was sent the other side has not read yet.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Bytes sent on a stream socket that the peer has not taken: for unix sockets not read by it (in the kernel's own measure, which
/// counts whole buffers), for TCP not acknowledged by its kernel. 0 means all of it has arrived.
pub fn unread(socket: impl AsFd) -> io::Result<u32> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: SIOCOUTQ (the same number as TIOCOUTQ) writes one int to the pointer, which is live and of that type.
    let result =
        unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), libc::TIOCOUTQ as _, &raw mut bytes) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(u32::try_from(bytes).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::unread;

    #[test]
    fn bytes_count_until_they_are_read() {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        assert_eq!(unread(&ours).unwrap(), 0);
        ours.write_all(b"head").unwrap();
        assert!(unread(&ours).unwrap() > 0);
        theirs.read_exact(&mut [0u8; 4]).unwrap();
        assert_eq!(unread(&ours).unwrap(), 0);
    }
}
