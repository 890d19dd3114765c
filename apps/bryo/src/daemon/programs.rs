//! What the holder's children run: the monitor and the gate, each in a process of its own.

use std::path::Path;

use bryo_rootless::Programs;
use bryo_sys::channel::Channel;

/// Handed to the holder as it is born.
pub const PROGRAMS: Programs = Programs { monitor, gate };

fn monitor(channel: Channel, bundle: &Path) -> i32 {
    bryo_monitor::run(channel, bundle)
}

fn gate(channel: Channel, config: &str) -> i32 {
    match serde_json::from_str(config) {
        Ok(config) => bryo_net::run_gate(channel, config),
        Err(e) => {
            eprintln!("bryo: gate: settings that this version does not know: {e}");
            2
        }
    }
}
