//! The program of the embedded image: a static executable of a few kilobytes, without libc, so that
//! it runs in a root filesystem that holds nothing else.
//!
//! Compiled by this crate's build script with `rustc` alone and carried by the library as bytes
//! (`bryo_sys::hello`). It says who it is inside, what the kernel's id map says, and who it is
//! outside: the last it is told by the engine in `BRYO_HOST_USER` and `BRYO_HOST_UID`, because a
//! container whose map is the identity cannot see it.

#![no_std]
#![no_main]
#![no_builtins]

use core::arch::{asm, global_asm};

#[cfg(target_arch = "x86_64")]
global_asm!(".globl _start", "_start:", "mov rdi, rsp", "and rsp, -16", "call hello_main", "ud2");

#[cfg(target_arch = "aarch64")]
global_asm!(".globl _start", "_start:", "mov x0, sp", "bl hello_main", "brk 1");

/// Numbers of system calls.
#[cfg(target_arch = "x86_64")]
mod number {
    pub const READ: usize = 0;
    pub const WRITE: usize = 1;
    pub const CLOSE: usize = 3;
    pub const EXIT_GROUP: usize = 231;
    pub const GETUID: usize = 102;
    pub const OPENAT: usize = 257;
}

/// Numbers of system calls.
#[cfg(target_arch = "aarch64")]
mod number {
    pub const READ: usize = 63;
    pub const WRITE: usize = 64;
    pub const CLOSE: usize = 57;
    pub const EXIT_GROUP: usize = 94;
    pub const GETUID: usize = 174;
    pub const OPENAT: usize = 56;
}

/// What the compiler calls for arrays and comparisons; there is no libc to bring it.
mod memory {
    /// `memset(3)`.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn memset(to: *mut u8, byte: i32, length: usize) -> *mut u8 {
        let mut at = 0;
        while at < length {
            // SAFETY: the caller owns `length` bytes at `to`.
            unsafe { *to.add(at) = byte as u8 };
            at += 1;
        }
        to
    }

    /// `memcpy(3)`.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
        let mut at = 0;
        while at < length {
            // SAFETY: the caller owns `length` bytes at both places, which do not overlap.
            unsafe { *to.add(at) = *from.add(at) };
            at += 1;
        }
        to
    }

    /// `bcmp(3)`.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, length: usize) -> i32 {
        let mut at = 0;
        while at < length {
            // SAFETY: the caller owns `length` bytes at both places.
            if unsafe { *a.add(at) != *b.add(at) } {
                return 1;
            }
            at += 1;
        }
        0
    }

    /// `memcmp(3)`, for equality only: nothing here sorts.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, length: usize) -> i32 {
        // SAFETY: the same promise.
        unsafe { bcmp(a, b, length) }
    }
}

/// A system call of at most four arguments.
fn call(number: usize, a: usize, b: usize, c: usize, d: usize) -> isize {
    let result: isize;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the calls made here read memory that outlives them or write into a buffer of the
    // length they are told; the kernel clobbers rcx and r11 only.
    unsafe {
        asm!("syscall", inlateout("rax") number => result, in("rdi") a, in("rsi") b, in("rdx") c,
            in("r10") d, lateout("rcx") _, lateout("r11") _);
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above; the kernel keeps all registers but x0.
    unsafe {
        asm!("svc 0", in("x8") number, inlateout("x0") a => result, in("x1") b, in("x2") c,
            in("x3") d);
    }
    result
}

fn print(text: &[u8]) {
    call(number::WRITE, 1, text.as_ptr() as usize, text.len(), 0);
}

fn print_number(mut value: usize) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        if let Some(digit) = digits.get_mut(at) {
            *digit = b'0' + (value % 10) as u8;
        }
        value /= 10;
        if value == 0 {
            break;
        }
    }
    print(digits.get(at..).unwrap_or_default());
}

/// Prints a small file; `path` ends in NUL.
fn print_file(path: &[u8]) {
    const AT_FDCWD: usize = -100_isize as usize;
    let fd = call(number::OPENAT, AT_FDCWD, path.as_ptr() as usize, 0, 0);
    if fd < 0 {
        print(b"         (not to be read)\n");
        return;
    }
    let mut buffer = [0_u8; 512];
    let length = call(number::READ, fd as usize, buffer.as_mut_ptr() as usize, buffer.len(), 0);
    if length > 0 {
        print(buffer.get(..length as usize).unwrap_or_default());
    }
    call(number::CLOSE, fd as usize, 0, 0, 0);
}

/// The value of an environment variable, if it begins with `name` (which ends in `=`).
fn variable(mut at: *const *const u8, name: &[u8]) -> Option<&'static [u8]> {
    loop {
        // SAFETY: the kernel ends the array of variables with a null pointer, before which we stop.
        let entry = unsafe { *at };
        if entry.is_null() {
            return None;
        }
        let mut length = 0;
        // SAFETY: the kernel ends each variable with a NUL byte, at which we stop.
        while unsafe { *entry.add(length) } != 0 {
            length += 1;
        }
        // SAFETY: the bytes up to the NUL were just read; they live as long as the process.
        let text = unsafe { core::slice::from_raw_parts(entry, length) };
        if let Some(value) = text.strip_prefix(name) {
            return Some(value);
        }
        // SAFETY: this entry was not the closing null pointer, so there is one more.
        at = unsafe { at.add(1) };
    }
}

/// `stack` is what the kernel hands to a new program: argc, argv, null, environment, null.
#[unsafe(no_mangle)]
extern "C" fn hello_main(stack: *const usize) -> ! {
    // SAFETY: the first word is argc.
    let arguments = unsafe { *stack };
    // SAFETY: argc pointers and a null follow it, then the environment.
    let environment = unsafe { stack.add(arguments + 2) } as *const *const u8;
    let uid = call(number::GETUID, 0, 0, 0, 0);
    print(b"\nHello from Bryo!\n\nInside this container I am uid ");
    print_number(uid as usize);
    print(if uid == 0 { b" (root).\n" } else { b".\n" });
    print(b"The ids of this user namespace (inside, one level up, how many):\n");
    print_file(b"/proc/self/uid_map\0");
    match (variable(environment, b"BRYO_HOST_USER="), variable(environment, b"BRYO_HOST_UID=")) {
        (Some(name), Some(uid)) => {
            print(b"Outside, the same process belongs to ");
            print(name);
            print(b" (uid ");
            print(uid);
            print(b"), who is not root:\nnothing here can do more to this machine than that user can.\n");
        }
        _ => print(b"Outside, the same process belongs to the user who started the daemon.\n"),
    }
    print(b"\nNo registry was asked: this image is a part of the bryo program.\n");
    print(b"Next, try:  docker run -it --rm alpine sh\n\n");
    call(number::EXIT_GROUP, 0, 0, 0, 0);
    loop {}
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    call(number::EXIT_GROUP, 1, 0, 0, 0);
    loop {}
}
