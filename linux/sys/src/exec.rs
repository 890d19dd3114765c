//! The last steps before a program runs: execution domain, descriptors, execve.

use std::convert::Infallible;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Argument or environment strings with the terminated pointer array that execve wants, made before it is needed.
#[derive(Debug)]
pub struct Strings {
    strings: Vec<CString>,
}

impl Strings {
    /// Fails if a string holds a zero byte.
    pub fn new<S: Into<Vec<u8>>>(list: impl IntoIterator<Item = S>) -> io::Result<Strings> {
        let strings = list.into_iter().map(CString::new).collect::<Result<Vec<_>, _>>();
        Ok(Strings { strings: strings.map_err(io::Error::other)? })
    }

    /// The strings.
    pub fn iter(&self) -> impl Iterator<Item = &CStr> {
        self.strings.iter().map(CString::as_c_str)
    }

    fn pointers(&self) -> Vec<*const libc::c_char> {
        let mut pointers: Vec<_> = self.strings.iter().map(|s| s.as_ptr()).collect();
        pointers.push(std::ptr::null());
        pointers
    }
}

/// Replaces this process by the program at `path`. Returns only on failure.
pub fn execve(path: &CStr, arguments: &Strings, environment: &Strings) -> io::Result<Infallible> {
    let arguments = arguments.pointers();
    let environment = environment.pointers();
    // SAFETY: path and both arrays are terminated and live through the call.
    unsafe { libc::execve(path.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    Err(io::Error::last_os_error())
}

/// Closes every descriptor from `first` up but `keep`. For a new process that goes on with `keep` alone: whatever else it
/// inherited must not be dropped or used afterwards.
pub fn close_others(first: u32, keep: BorrowedFd<'_>) -> io::Result<()> {
    let keep = u32::try_from(keep.as_raw_fd()).map_err(io::Error::other)?;
    if keep > first {
        close_range(first, keep - 1)?;
    }
    close_range(first.max(keep + 1), u32::MAX)
}

fn close_range(first: u32, last: u32) -> io::Result<()> {
    // SAFETY: the only caller is documented to run in a new process that uses none of these any more.
    let r = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    if r == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Sets the execution domain (personality(2)); 0 is Linux, 8 is Linux with a 32-bit machine name.
pub fn set_personality(persona: u32) -> io::Result<()> {
    // SAFETY: only this process' own syscall behaviour changes.
    let r = unsafe { libc::personality(libc::c_ulong::from(persona)) };
    if r < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_gets_its_arguments_and_environment() {
        let ended = crate::fork::in_child(|| {
            let arguments = Strings::new(["sh", "-c", "exit $N"]);
            let environment = Strings::new(["N=9"]);
            match (arguments, environment) {
                (Ok(a), Ok(e)) => execve(c"/bin/sh", &a, &e).map_or(1, |_| 2),
                _ => 3,
            }
        });
        assert_eq!(ended.unwrap().code(), 9);
    }

    #[test]
    fn a_zero_byte_is_refused() {
        assert!(Strings::new(["a\0b"]).is_err());
    }
}
