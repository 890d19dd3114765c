//! Programs, exit codes, namespaces.

use crate::Case;
use crate::stage::{Stage, shell, spec};
use bryo_runtime::ErrorKind;

pub const CASES: &[Case] = &[
    ("true_runs", true_runs),
    ("codes_come_back", codes_come_back),
    ("ids_and_pid_one", ids_and_pid_one),
    ("missing_commands", missing_commands),
];

fn true_runs() {
    let outcome = Stage::new().run(&spec(&["true"]));
    assert_eq!((outcome.code, outcome.out.as_str()), (0, ""));
}

fn codes_come_back() {
    let stage = Stage::new();
    assert_eq!(stage.run(&shell("exit 7")).code, 7);
    assert_eq!(stage.run(&shell("kill -9 $$; exit 3")).code, 3, "process 1 cannot kill itself");
    assert_eq!(stage.run(&shell("sh -c 'kill -9 $$'; exit $?")).code, 137);
}

fn ids_and_pid_one() {
    let outcome = Stage::new().run(&shell("id -u; id -g; echo $$; hostname; echo $HOME; pwd"));
    assert_eq!(outcome.out, "0\n0\n1\nstage\n/root\n/\n");
}

fn missing_commands() {
    let stage = Stage::new();
    let failed = |name: &str| stage.try_run(&spec(&[name])).unwrap_err();
    let e = failed("nosuch");
    assert_eq!(e.message(), "exec: \"nosuch\": executable file not found in $PATH");
    assert_eq!(e.kind(), ErrorKind::CommandNotFound);
    let e = failed("/etc");
    assert_eq!(e.message(), "exec: \"/etc\": is a directory");
    assert_eq!(e.kind(), ErrorKind::CommandNotExecutable);
    assert_eq!(failed("/etc/passwd").message(), "exec: \"/etc/passwd\": permission denied");
    assert_eq!(failed("/no").message(), "exec: \"/no\": stat /no: no such file or directory");
    std::fs::write(stage.path("lower/bin/text"), "no program").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(stage.path("lower/bin/text"), mode).unwrap();
    assert_eq!(failed("text").message(), "exec /bin/text: exec format error");
}
