//! Users, capabilities, seccomp, limits, and what must not leak.

use crate::Case;
use crate::stage::{self, Stage, create_with, many_ids, shell, spec};
use bryo_runtime::ErrorKind;
use bryo_runtime::seccomp;
use oci_spec::runtime::Capability;
use serde_json::json;

pub const CASES: &[Case] = &[
    ("docker_s_capabilities", docker_s_capabilities),
    ("an_ordinary_user", an_ordinary_user),
    ("ambient_capabilities", ambient_capabilities),
    ("no_new_privileges", no_new_privileges),
    ("seccomp_denies", seccomp_denies),
    ("nothing_leaks", nothing_leaks),
    ("a_leaked_working_folder_is_refused", a_leaked_working_folder_is_refused),
    ("limits", limits),
    ("sysctls", sysctls),
    ("single_id_mode", single_id_mode),
    ("unsupported_parts_are_refused", unsupported_parts_are_refused),
];

const STATUS: &str = "grep -E '^(Cap|NoNew|Seccomp:)' /proc/self/status";

fn field(out: &str, name: &str) -> String {
    let line = out.lines().find(|l| l.starts_with(name)).unwrap_or_default();
    line.split(':').nth(1).unwrap_or_default().trim().to_owned()
}

fn docker_s_capabilities() {
    let out = Stage::new().run(&shell(STATUS)).out;
    for set in ["CapPrm", "CapEff", "CapBnd"] {
        assert_eq!(field(&out, set), "00000000a80425fb", "{set}");
    }
    assert_eq!(field(&out, "CapInh"), "0000000000000000");
    assert_eq!(field(&out, "CapAmb"), "0000000000000000");
    assert_eq!(field(&out, "NoNewPrivs"), "0");
    assert_eq!(field(&out, "Seccomp"), "0");
}

fn an_ordinary_user() {
    if !many_ids() {
        println!("SKIPPED: only one id is mapped");
        return;
    }
    let mut spec =
        shell(&format!("id -u; id -g; id -G; umask; echo $HOME; {STATUS}; echo x >/dev/stderr"));
    spec["process"]["user"] =
        json!({"uid": 33, "gid": 34, "additionalGids": [50, 60], "umask": 0o77});
    let out = Stage::new().run(&spec).out;
    assert!(out.starts_with("33\n34\n34 50 60\n0077\n/var/www\n"), "{out}");
    assert_eq!(field(&out, "CapEff"), "0000000000000000");
    assert_eq!(field(&out, "CapPrm"), "0000000000000000");
    assert_eq!(field(&out, "CapBnd"), "00000000a80425fb");
    assert!(out.ends_with("x\n"), "its own stderr must be open to it: {out}");
    spec["process"]["user"] = json!({"uid": 3_000_000, "gid": 0});
    let e = Stage::new().try_run(&spec).unwrap_err();
    assert!(e.message().contains("not mapped"), "{e}");
    assert_eq!(e.kind(), ErrorKind::BadRequest);
}

fn ambient_capabilities() {
    if !many_ids() {
        println!("SKIPPED: only one id is mapped");
        return;
    }
    let mut spec = shell(STATUS);
    spec["process"]["user"] = json!({"uid": 33, "gid": 33});
    let one = json!(["CAP_NET_BIND_SERVICE"]);
    spec["process"]["capabilities"] = json!({"bounding": one, "effective": one, "permitted": one, "inheritable": one, "ambient": one});
    let out = Stage::new().run(&spec).out;
    for set in ["CapPrm", "CapEff", "CapBnd", "CapInh", "CapAmb"] {
        assert_eq!(field(&out, set), "0000000000000400", "{set}");
    }
}

fn no_new_privileges() {
    let mut spec = shell(STATUS);
    spec["process"]["noNewPrivileges"] = json!(true);
    spec["linux"]["seccomp"] = serde_json::to_value(seccomp::default_profile(&[])).unwrap();
    let out = Stage::new().run(&spec).out;
    assert_eq!(field(&out, "NoNewPrivs"), "1");
    assert_eq!(field(&out, "Seccomp"), "2");
}

fn seccomp_denies() {
    let stage = Stage::new();
    let mut spec = shell(&format!("{STATUS}; unshare -U true; mount -t tmpfs x /tmp; echo ok"));
    let profile = seccomp::default_profile(&[Capability::Chown]);
    spec["linux"]["seccomp"] = serde_json::to_value(profile).unwrap();
    let outcome = stage.run(&spec);
    assert_eq!(field(&outcome.out, "Seccomp"), "2");
    assert!(outcome.out.contains("unshare: unshare(0x10000000): Operation not permitted"));
    assert!(outcome.out.ends_with("ok\n"), "{}", outcome.out);
    // A profile of the user's own, by number of the error.
    let json = br#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[
        {"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":28}]}"#;
    let profile = seccomp::parse_profile(json, &[]).unwrap();
    let mut spec = shell("mkdir /x");
    spec["linux"]["seccomp"] = serde_json::to_value(profile).unwrap();
    let outcome = stage.run(&spec);
    assert!(outcome.out.contains("No space left on device"), "{}", outcome.out);
    // A killed program.
    let json = br#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[
        {"names":["mkdir","mkdirat"],"action":"SCMP_ACT_KILL_PROCESS"}]}"#;
    let profile = seccomp::parse_profile(json, &[]).unwrap();
    spec["linux"]["seccomp"] = serde_json::to_value(profile).unwrap();
    spec["process"]["args"] = json!(["mkdir", "/x"]);
    assert_eq!(stage.run(&spec).code, 128 + 31);
}

/// Only the standard descriptors, nothing of the host in the environment, no way to our executable.
fn nothing_leaks() {
    // A descriptor of the caller that somebody forgot to mark.
    let forgotten = std::fs::File::open("/").unwrap();
    rustix::io::fcntl_setfd(&forgotten, rustix::io::FdFlags::empty()).unwrap();
    let stage = Stage::new();
    // ls itself has the folder open as 3.
    let outcome = stage.run(&spec(&["ls", "/proc/self/fd"]));
    assert_eq!(outcome.out, "0\n1\n2\n3\n");
    assert_eq!(stage.run(&spec(&["env"])).out.lines().count(), 2);
    let mut with_init =
        shell("readlink /proc/1/exe; cat /proc/1/environ; ls /proc/1/fd; ls /proc/1/root; echo $$");
    with_init["process"]["capabilities"] = stage::all_capabilities();
    let outcome = create_with(&stage, &with_init, |o| o.init = true);
    assert!(outcome.out.ends_with("2\n"), "{}", outcome.out);
    let refused = outcome.out.matches("ermission denied").count();
    assert!(refused >= 3, "process 1 is open to the container: {}", outcome.out);
    assert!(!outcome.out.contains("kernel-"), "our executable is visible: {}", outcome.out);
}

fn a_leaked_working_folder_is_refused() {
    let stage = Stage::new();
    let _folder = std::fs::File::open("/").unwrap();
    for fd in 0..40 {
        let mut spec = shell("ls ..; pwd");
        spec["process"]["cwd"] = json!(format!("/proc/self/fd/{fd}"));
        if let Ok(outcome) = stage.try_run(&spec) {
            panic!("descriptor {fd} is a way out: {}", outcome.out);
        }
    }
}

fn limits() {
    let stage = Stage::new();
    let mut spec = shell("ulimit -n; ulimit -Hn; ulimit -c; cat /proc/self/oom_score_adj");
    spec["process"]["rlimits"] = json!([
        {"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}, {"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]);
    spec["process"]["oomScoreAdj"] = json!(300);
    assert_eq!(stage.run(&spec).out, "100\n200\n0\n300\n");
    spec["process"]["oomScoreAdj"] = json!(-1000);
    assert!(stage.run(&spec).out.starts_with("100\n"), "a score that cannot be had is clamped");
    spec["process"]["rlimits"] = json!([{"type": "RLIMIT_NOFILE", "soft": 1, "hard": 1u64 << 40}]);
    let e = stage.try_run(&spec).unwrap_err();
    assert!(e.message().contains("ulimit nofile"), "{e}");
    assert!(e.message().contains("hard limit"), "{e}");
}

fn sysctls() {
    let stage = Stage::new();
    let mut spec = shell("cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmni");
    spec["linux"]["sysctl"] = json!({"net.ipv4.ip_forward": "1", "kernel.shmmni": "123"});
    assert_eq!(stage.run(&spec).out, "1\n123\n");
    spec["linux"]["sysctl"] = json!({"vm.swappiness": "1"});
    let e = stage.try_run(&spec).unwrap_err();
    assert_eq!(e.message(), "sysctl \"vm.swappiness\" is not in a separate kernel namespace");
    spec["linux"]["sysctl"] = json!({"net.ipv4.nosuch": "1"});
    let e = stage.try_run(&spec).unwrap_err();
    assert!(e.message().contains("setting sysctl net.ipv4.nosuch=1"), "{e}");
}

fn single_id_mode() {
    stage::enter_single();
    let stage = Stage::new();
    let mut spec = shell(
        "id -u; cat /proc/self/uid_map; ls -n / | grep -c ' 0        0 '; touch /x && echo ok",
    );
    spec["process"]["user"]["additionalGids"] = json!([1, 2, 3]);
    let outcome = stage.run(&spec);
    assert!(outcome.out.starts_with("0\n         0          0          1\n"), "{}", outcome.out);
    assert!(outcome.out.ends_with("ok\n"), "{}", outcome.out);
    spec["process"]["user"]["uid"] = json!(1000);
    let e = stage.try_run(&spec).unwrap_err();
    assert!(e.message().contains("single-id mode"), "{e}");
}

fn unsupported_parts_are_refused() {
    let stage = Stage::new();
    let mut spec = shell("true");
    spec["hooks"] = json!({"prestart": [{"path": "/bin/true"}]});
    assert!(stage.try_run(&spec).unwrap_err().message().contains("hooks"));
    let mut spec = shell("true");
    spec["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "time"}));
    assert!(stage.try_run(&spec).unwrap_err().message().contains("time namespaces"));
    let mut spec = shell("true");
    spec["process"]["args"] = json!([]);
    assert_eq!(stage.try_run(&spec).unwrap_err().message(), "no command specified");
}
