//! Every syscall and every `unsafe` of Bryo, in three floors: raw ABI (what the kernel's headers
//! say), safe handles (owned descriptors, checked arguments) and policy (how Bryo uses them).
//!
//! What belongs here: anything that needs `unsafe`, a kernel structure, or a retry rule that a man
//! page demands. What does not: decisions about containers, Docker's vocabulary, JSON.

pub mod channel;
pub mod clone;
pub mod datagram;
pub mod exec;
pub mod fork;
pub mod hello;
pub mod keyring;
pub mod layers;
pub mod listening;
pub mod localtime;
pub mod loopback;
pub mod memory;
pub mod mount;
pub mod netlink;
pub mod ns;
pub mod outq;
pub mod pidfd;
pub mod process;
pub mod pty;
pub mod rooted;
pub mod seccomp;
pub mod signal;
pub mod sockopt;
pub mod tun;
pub mod user;
