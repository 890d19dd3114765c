//! The gate on the real kernel, in namespaces of the tests' own, as a plain user. Each case is a process with its own
//! [`world::World`]; `cargo test --test gate NAME` runs the cases whose name contains NAME.

// The lints' exemption for tests looks for #[test], which a test with its own main does not have.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod attack;
mod homes;
mod lesser;
mod outbound;
mod policy;
mod published;
mod world;

use std::time::Instant;

use world::{SKIPPED, World};

type Case = (&'static str, fn(&mut World));

const CASES: &[&[Case]] =
    &[outbound::CASES, published::CASES, homes::CASES, attack::CASES, policy::CASES, lesser::CASES];

fn main() {
    let filter = std::env::args().skip(1).find(|a| !a.starts_with('-')).unwrap_or_default();
    let (mut failed, mut skipped) = (Vec::new(), 0);
    for (name, case) in CASES.iter().copied().flatten().filter(|(n, _)| n.contains(&filter)) {
        let start = Instant::now();
        let ended = bryo_sys::fork::in_child(|| run(*case)).expect("fork");
        let verdict = match ended.code() {
            0 => "ok",
            SKIPPED => {
                skipped += 1;
                "SKIPPED: user namespaces are forbidden here"
            }
            _ => {
                failed.push(*name);
                "FAILED"
            }
        };
        println!("test {name} ... {verdict} ({} ms)", start.elapsed().as_millis());
    }
    println!("{} failed, {skipped} skipped", failed.len());
    if !failed.is_empty() {
        println!("failed: {}", failed.join(", "));
        std::process::exit(1);
    }
}

fn run(case: fn(&mut World)) -> i32 {
    let Some(mut world) = World::new() else { return SKIPPED };
    // A case that hangs ends with a message instead of holding everything up.
    std::thread::spawn(|| {
        std::thread::sleep(std::time::Duration::from_secs(60));
        eprintln!("the case takes more than 60 s");
        std::process::exit(3);
    });
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| case(&mut world)));
    i32::from(result.is_err())
}
