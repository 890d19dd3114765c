//! Loading a seccomp filter into the calling thread.

use std::io;

/// One instruction of classic BPF: the kernel's `struct sock_filter`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Instruction {
    /// Operation.
    pub code: u16,
    /// Instructions to skip if the test holds.
    pub jt: u8,
    /// Instructions to skip if it does not.
    pub jf: u8,
    /// Operand.
    pub k: u32,
}

const _: () = assert!(size_of::<Instruction>() == 8);

/// The longest filter the kernel takes, in instructions.
pub const MAX_INSTRUCTIONS: usize = 4096;

/// `SECCOMP_FILTER_FLAG_LOG`: log every action but allow.
pub const FLAG_LOG: u32 = 2;

/// `SECCOMP_FILTER_FLAG_SPEC_ALLOW`: leave the store-bypass mitigation off.
pub const FLAG_SPEC_ALLOW: u32 = 4;

/// Installs a filter for the calling thread and its future children. Needs no-new-privileges or CAP_SYS_ADMIN in the
/// thread's user namespace; cannot be undone.
pub fn load(filter: &[Instruction], flags: u32) -> io::Result<()> {
    let length = u16::try_from(filter.len())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "the filter is too long"))?;
    let program = libc::sock_fprog {
        len: length,
        // The kernel only reads; the field is not const for historical reasons.
        filter: filter.as_ptr().cast_mut().cast(),
    };
    // SAFETY: the program points to `length` instructions of the kernel's layout, which live through the call.
    let r = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program)
    };
    if r == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
