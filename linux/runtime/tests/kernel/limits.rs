//! Limits that need no cgroup.

use crate::Case;
use crate::stage::{Stage, create_with, end, options, shell};
use bryo_runtime::{Limits, create, family};

pub const CASES: &[Case] = &[
    ("processes_are_counted_for_each_container", processes_are_counted_for_each_container),
    ("all_capabilities_do_not_lift_the_limit", all_capabilities_do_not_lift_the_limit),
    ("cpus_bind_the_program_and_its_children", cpus_bind_the_program_and_its_children),
    ("limits_change_while_it_runs", limits_change_while_it_runs),
];

fn processes(most: u64) -> Limits {
    Limits { processes: Some(most), ..Limits::default() }
}

fn counted(limits: Limits, capabilities: bool) -> usize {
    let stage = Stage::new();
    // A shell that cannot fork ends; what it printed before tells how far it came.
    let mut spec = shell("i=1; while [ $i -lt 60 ]; do sleep 100 & echo x; i=$((i+1)); done");
    if capabilities {
        let all = ["CAP_SYS_ADMIN", "CAP_SYS_RESOURCE", "CAP_SETUID", "CAP_SETGID"];
        spec["process"]["capabilities"] =
            serde_json::json!({"bounding": all, "effective": all, "permitted": all});
    }
    let outcome = create_with(&stage, &spec, |o| o.limits = limits.clone());
    outcome.out.lines().filter(|l| *l == "x").count()
}

fn processes_are_counted_for_each_container() {
    // The shell itself is one. Two containers of one user, one after the other, each have their own count.
    assert_eq!(counted(processes(20), false), 19);
    assert_eq!(counted(processes(20), false), 19);
    assert_eq!(counted(Limits::default(), false), 59);
}

fn all_capabilities_do_not_lift_the_limit() {
    assert_eq!(counted(processes(20), true), 19);
}

fn cpus_bind_the_program_and_its_children() {
    let stage = Stage::new();
    let script = "grep Cpus_allowed_list /proc/self/status; sh -c 'grep Cpus_allowed_list /proc/self/status'";
    let outcome = create_with(&stage, &shell(script), |o| o.limits.cpus = vec![0]);
    assert_eq!(outcome.out, "Cpus_allowed_list:\t0\nCpus_allowed_list:\t0\n");
}

fn limits_change_while_it_runs() {
    let stage = Stage::new();
    let (options, _output) = options(stage.overlay());
    let before = options.limits.clone();
    let spec = shell("sleep 1000 & wait");
    let parsed = serde_json::from_value(spec).unwrap();
    let running = create(&parsed, options).unwrap().start().unwrap();
    while family(&[running.pid]).len() < 2 {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    assert!(processes(4).apply(&before, &[running.pid]).unwrap());
    let shell = std::fs::read_to_string(format!("/proc/{}/limits", running.pid)).unwrap();
    let line = shell.lines().find(|l| l.starts_with("Max processes")).unwrap();
    assert_eq!(line.split_ascii_whitespace().nth(2), Some("4"), "{line}");
    // Nobody but the host's root raises a hard limit.
    assert!(!processes(40).apply(&processes(4), &[running.pid]).unwrap());
    end(&running);
}
