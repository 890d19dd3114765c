//! The program of the embedded image, as bytes; its source is `hello/main.rs`.

/// A static executable that needs nothing but the kernel.
pub const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hello"));

#[cfg(test)]
mod tests {
    use super::PROGRAM;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn it_runs_and_says_who_it_is() {
        assert!(PROGRAM.len() < 64 << 10, "{} bytes", PROGRAM.len());
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hello");
        std::fs::write(&path, PROGRAM).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let output = std::process::Command::new(&path)
            .env("BRYO_HOST_USER", "someone")
            .env("BRYO_HOST_UID", "1234")
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success());
        assert!(text.contains("I am uid") && text.contains("someone (uid 1234)"), "{text}");
    }
}
