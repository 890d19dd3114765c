//! The heap.
//!
//! musl's allocator asks the kernel for nearly every block of a few kilobytes and gives it back at once: a start of a container
//! made 300 such calls. So static builds have another one, which is as small and keeps what it has for a moment.

/// The allocator of static builds, to be named `#[global_allocator]` by the program.
#[cfg(target_env = "musl")]
pub use dlmalloc::GlobalDlmalloc as Allocator;

/// Makes the heap usable in children that a process with threads forks; to be called once, before there are threads. libc's
/// own allocator is by itself.
pub fn survive_forks() {
    #[cfg(target_env = "musl")]
    // SAFETY: what it registers takes the allocator's lock before a fork and releases it on both sides afterwards; no thread
    // exists yet that could be inside the allocator while it is registered.
    unsafe {
        dlmalloc::enable_alloc_after_fork()
    }
}

/// Gives freed heap memory back to the kernel. For small processes that worked for a moment and now wait for hours.
/// Does nothing with an allocator that cannot.
pub fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim only returns memory that no allocation is in.
    let _ = unsafe { libc::malloc_trim(0) };
}
