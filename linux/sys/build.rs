//! Compiles `hello/main.rs`, the program of the embedded image, for the target.

use std::env;
use std::path::PathBuf;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=hello/main.rs");
    println!("cargo:rerun-if-changed=build.rs");
    let var = |name: &str| env::var(name).unwrap_or_default();
    let out = PathBuf::from(var("OUT_DIR")).join("hello");
    let mut command = Command::new(var("RUSTC"));
    command
        .args(["--crate-name", "hello", "--crate-type", "bin", "--edition", "2024"])
        .args(["--target", &var("TARGET")])
        .args(["-C", "panic=abort", "-C", "opt-level=s", "-C", "strip=symbols"])
        .args(["-C", "relocation-model=static", "-C", "overflow-checks=off"])
        .args(["-C", "target-feature=+crt-static"])
        .args([
            "-C",
            "link-arg=-nostartfiles",
            "-C",
            "link-arg=-nostdlib",
            "-C",
            "link-arg=-static",
        ])
        .args(["-C", "link-arg=-Wl,--build-id=none,-z,noseparate-code,-z,norelro"])
        .arg("-o")
        .arg(&out)
        .arg("hello/main.rs");
    if var("TARGET").ends_with("-musl") {
        // Rust's own start files would bring a second `_start`.
        command.args(["-C", "link-self-contained=no"]);
    }
    if let Ok(linker) = env::var("RUSTC_LINKER") {
        command.arg("-C").arg(format!("linker={linker}"));
    }
    let done = command.status().is_ok_and(|status| status.success());
    if !done {
        println!("cargo:error=the embedded image's program, hello/main.rs, could not be compiled");
    }
}
