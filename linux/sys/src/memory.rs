//! Memory that a process does not need any more.

/// Gives freed heap memory back to the kernel. For small processes that worked for a moment and now wait for hours.
/// Does nothing with an allocator that cannot (musl's gives back by itself).
pub fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim only returns memory that no allocation is in.
    let _ = unsafe { libc::malloc_trim(0) };
}
