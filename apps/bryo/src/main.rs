//! The one program: `bryo daemon` is the engine, everything else its command line.
//!
//! Called under another name (`docker`, by a link) it is the command line too, and under the name of rootless Docker's
//! set-up tool it is `bryo setup`. The holder, the gate and the monitors are
//! forks of `bryo daemon`, never started from here: see `daemon` and bryo-rootless.

mod cli;
mod contexts;
mod daemon;
mod setup;

use std::ffi::OsString;
use std::process::ExitCode;

#[cfg(target_env = "musl")]
#[global_allocator]
static HEAP: bryo_sys::memory::Allocator = bryo_sys::memory::Allocator;

fn main() -> ExitCode {
    bryo_sys::memory::survive_forks();
    let args: Vec<OsString> = std::env::args_os().collect();
    if args.first().is_some_and(|name| setup::is_tool(name)) {
        return setup::main(&args, 1);
    }
    match args.get(1) {
        Some(first) if first == "daemon" => daemon::main(args.get(2..).unwrap_or_default()),
        Some(first) if first == "setup" || first == "doctor" => setup::main(&args, 2),
        _ => cli::main(&args),
    }
}
