//! What a process says of itself and keeps to itself: its name, its descriptors, its orphans.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};

/// Names the process: `name` is the kernel's short name (15 bytes, `ps -o comm`), and with `detail` behind it the command
/// line that `ps` shows. Only for a process whose arguments nobody reads any more.
pub fn set_title(name: &str, detail: &str) -> io::Result<()> {
    let short = CString::new(name).map_err(io::Error::other)?;
    rustix::thread::set_name(&short)?;
    let mut title = name.as_bytes().to_vec();
    if !detail.is_empty() {
        title.push(b' ');
        title.extend_from_slice(detail.as_bytes());
    }
    title.push(0);
    let Some(fields) = stat_fields() else { return Ok(()) };
    if point_arguments_to(&fields, title.clone()).is_err() {
        // The kernel was built without CHECKPOINT_RESTORE: as much of it as there is room for.
        overwrite_arguments(&fields, &title);
    }
    Ok(())
}

/// The numbers of /proc/self/stat; field 3 is the first (proc_pid_stat(5)).
fn stat_fields() -> Option<Vec<u64>> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let numbers = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    Some(numbers.map(|n| n.parse().unwrap_or(0)).collect())
}

fn field(fields: &[u64], number: usize) -> u64 {
    fields.get(number - 3).copied().unwrap_or(0)
}

/// `struct prctl_mm_map` of linux/prctl.h.
#[repr(C)]
struct MemoryMap {
    start_code: u64,
    end_code: u64,
    start_data: u64,
    end_data: u64,
    start_brk: u64,
    brk: u64,
    start_stack: u64,
    arg_start: u64,
    arg_end: u64,
    env_start: u64,
    env_end: u64,
    auxv: *const u64,
    auxv_size: u32,
    exe_fd: u32,
}

/// Tells the kernel that the command line is `title` (PR_SET_MM_MAP, Linux 3.18; needs no privilege). The text is never
/// freed: it is the process' name to its end.
fn point_arguments_to(fields: &[u64], title: Vec<u8>) -> io::Result<()> {
    let title: &'static [u8] = title.leak();
    let start = u64::try_from(title.as_ptr().expose_provenance()).map_err(io::Error::other)?;
    // SAFETY: sbrk(0) moves nothing; it reports the end of the heap segment.
    let brk = unsafe { libc::sbrk(0) };
    let map = MemoryMap {
        start_code: field(fields, 26),
        end_code: field(fields, 27),
        start_data: field(fields, 45),
        end_data: field(fields, 46),
        start_brk: field(fields, 47),
        brk: u64::try_from(brk.expose_provenance()).map_err(io::Error::other)?,
        start_stack: field(fields, 28),
        arg_start: start,
        arg_end: start + u64::try_from(title.len()).map_err(io::Error::other)?,
        env_start: field(fields, 50),
        env_end: field(fields, 51),
        auxv: std::ptr::null(),
        auxv_size: 0,
        exe_fd: u32::MAX,
    };
    // SAFETY: the structure has the layout and the size that are passed; the kernel only notes the addresses, for /proc.
    let r = unsafe {
        libc::prctl(libc::PR_SET_MM, libc::PR_SET_MM_MAP, &raw const map, size_of::<MemoryMap>(), 0)
    };
    if r == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Writes `text` over the argument area and fills the rest, the last byte included, with zeros: the strings that libc
/// and std point to stay inside the area and stay terminated.
fn overwrite_arguments(fields: &[u64], text: &[u8]) {
    let bounds = (usize::try_from(field(fields, 48)), usize::try_from(field(fields, 49)));
    let (Ok(start), Ok(end)) = bounds else { return };
    if start == 0 || end <= start {
        return;
    }
    let used = text.len().min(end - start - 1);
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
    fn the_title_shows_in_comm_and_cmdline_however_long() {
        let ended = crate::fork::in_child(|| {
            let detail = "/run/user/1000/".repeat(200);
            if set_title("bryo: holder", &detail).is_err() {
                return 1;
            }
            let comm = std::fs::read_to_string("/proc/self/comm").unwrap_or_default();
            let cmdline = std::fs::read_to_string("/proc/self/cmdline").unwrap_or_default();
            let whole = cmdline == format!("bryo: holder {detail}\0");
            // Arguments and environment can still be read.
            let args = std::env::args().count();
            i32::from(comm.trim() != "bryo: holder" || !whole || args == 0)
        });
        assert_eq!(ended.unwrap().code(), 0);
    }

    #[test]
    fn the_old_way_uses_the_room_there_is() {
        let ended = crate::fork::in_child(|| {
            let Some(fields) = stat_fields() else { return 1 };
            overwrite_arguments(&fields, b"bryo: holder");
            let cmdline = std::fs::read_to_string("/proc/self/cmdline").unwrap_or_default();
            i32::from(!cmdline.starts_with("bryo: holder"))
        });
        assert_eq!(ended.unwrap().code(), 0);
    }
}
