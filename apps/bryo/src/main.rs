//! The one program: `bryo daemon` is the engine, everything else its command line.
//!
//! Called under another name (`docker`, by a link) it is the command line too. The holder, the gate and the monitors are
//! forks of `bryo daemon`, never started from here: see `daemon` and bryo-rootless.

mod cli;
mod daemon;

use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    match args.get(1) {
        Some(first) if first == "daemon" => daemon::main(args.get(2..).unwrap_or_default()),
        _ => cli::main(&args),
    }
}
