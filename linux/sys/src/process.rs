//! What a process says of itself and keeps to itself: its name, its descriptors, its orphans.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};

/// Names the process: the kernel's short name (15 bytes, `ps -o comm`) and, as far as there is room, the command line
/// that `ps` shows. Only for a process whose arguments nobody reads any more.
pub fn set_title(title: &str) -> io::Result<()> {
    let name = CString::new(title).map_err(io::Error::other)?;
    rustix::thread::set_name(&name)?;
    if let Some((start, end)) = argument_area() {
        overwrite(start, end, title.as_bytes());
    }
    Ok(())
}

/// Where the kernel put the command line: fields 48 and 49 of /proc/self/stat (since Linux 3.5).
fn argument_area() -> Option<(usize, usize)> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let start = fields.nth(45)?.parse().ok()?;
    let end = fields.next()?.parse().ok()?;
    (start != 0 && end > start).then_some((start, end))
}

/// Writes `text` over the argument area and fills the rest, the last byte included, with zeros: the strings that libc
/// and std point to stay inside the area and stay terminated.
fn overwrite(start: usize, end: usize, text: &[u8]) {
    let room = end - start - 1;
    let used = text.len().min(room);
    let area = std::ptr::with_exposed_provenance_mut::<u8>(start);
    // SAFETY: [start, end) is the stack area that the kernel reports for this process' arguments: mapped, writable,
    // never freed, and never borrowed as a Rust reference (std reads it through C strings anew at each call).
    unsafe { std::ptr::write_bytes(area, 0, end - start) };
    // SAFETY: the same area; `used` is less than its length.
    unsafe { std::ptr::copy_nonoverlapping(text.as_ptr(), area, used) };
}

/// Closes every descriptor from `first` up (close_range, Linux 5.9; else one by one). For a fresh child that has put
/// what it needs below `first`.
pub fn close_from(first: u32) {
    // SAFETY: the caller is a forked child about to start anew; descriptors at and above `first` are not used again.
    let r = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
    if r == 0 {
        return;
    }
    let Ok(first) = i32::try_from(first) else { return };
    for fd in first..65536 {
        // SAFETY: as above.
        unsafe { libc::close(fd) };
    }
}

/// Closes every descriptor but the standard streams and `fd`, which is returned under its new number. For a child that
/// was just forked and shall own nothing of its parent's; the parent's owners of those descriptors never run in it.
pub fn keep_only(fd: OwnedFd) -> io::Result<OwnedFd> {
    const SLOT: i32 = 3;
    let raw = fd.into_raw_fd();
    if raw != SLOT {
        // SAFETY: whatever had number 3 belongs to the parent's code, which does not run in this process any more.
        if unsafe { libc::dup3(raw, SLOT, libc::O_CLOEXEC) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    close_from(4);
    // SAFETY: number 3 is `fd` or its duplicate, and its former owner was consumed above.
    Ok(unsafe { OwnedFd::from_raw_fd(SLOT) })
}

/// Puts `fd` on number `to`, which is not close-on-exec there.
pub fn duplicate_to(fd: impl AsFd, to: i32) -> io::Result<()> {
    let from = fd.as_fd().as_raw_fd();
    if from == to {
        let flags = rustix::io::fcntl_getfd(fd.as_fd())?;
        return Ok(rustix::io::fcntl_setfd(fd, flags - rustix::io::FdFlags::CLOEXEC)?);
    }
    // SAFETY: dup2 replaces `to`; the caller names a standard stream or a number it set aside.
    if unsafe { libc::dup2(from, to) } < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Makes this process the parent of its descendants' orphans (PR_SET_CHILD_SUBREAPER).
pub fn become_subreaper() -> io::Result<()> {
    Ok(rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?)
}

/// The number of threads of this process.
pub fn thread_count() -> io::Result<usize> {
    Ok(std::fs::read_dir("/proc/self/task")?.count())
}

/// Ids of this process' children (needs CONFIG_PROC_CHILDREN, which distributions set).
pub fn children() -> io::Result<Vec<u32>> {
    let list = std::fs::read_to_string("/proc/thread-self/children")?;
    Ok(list.split_ascii_whitespace().filter_map(|p| p.parse().ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_title_shows_in_comm_and_cmdline() {
        let ended = crate::fork::in_child(|| {
            if set_title("bryo: holder").is_err() {
                return 1;
            }
            let comm = std::fs::read_to_string("/proc/self/comm").unwrap_or_default();
            let cmdline = std::fs::read_to_string("/proc/self/cmdline").unwrap_or_default();
            i32::from(comm.trim() != "bryo: holder" || !cmdline.starts_with("bryo: holder"))
        });
        assert_eq!(ended.unwrap().code(), 0);
    }
}
