//! The compiled filters, run by an interpreter of classic BPF and compared with the rules as they are written.

use super::*;
use crate::seccomp::rules::tables;
use crate::seccomp::{compile, default_profile};
use oci_spec::runtime::{Capability, LinuxSeccomp};

const ALLOW: u32 = 0x7fff_0000;
const EPERM: u32 = 0x0005_0001;
const ENOSYS: u32 = 0x0005_0026;
const X86: u32 = 0x4000_0003;

/// What the filter returns, and the steps it took.
fn interpret(code: &[Instruction], arch: u32, number: u32, args: [u64; 6]) -> (u32, usize) {
    let mut input = Vec::new();
    input.extend(number.to_le_bytes());
    input.extend(arch.to_le_bytes());
    input.extend(0u64.to_le_bytes());
    args.iter().for_each(|a| input.extend(a.to_le_bytes()));
    let (mut at, mut a, mut steps) = (0usize, 0u32, 0);
    loop {
        let i = code[at];
        steps += 1;
        at += 1;
        let jump = |yes: bool| usize::from(if yes { i.jt } else { i.jf });
        match i.code {
            LOAD => {
                let k = i.k as usize;
                a = u32::from_le_bytes(input[k..k + 4].try_into().unwrap());
            }
            AND => a &= i.k,
            JUMP => at += i.k as usize,
            JUMP_EQ => at += jump(a == i.k),
            JUMP_GT => at += jump(a > i.k),
            JUMP_GE => at += jump(a >= i.k),
            RETURN => return (i.k, steps),
            other => panic!("operation {other:#x}"),
        }
    }
}

fn run(profile: &LinuxSeccomp, number: u32, args: [u64; 6]) -> u32 {
    interpret(&compile(profile).unwrap().code, X86_64, number, args).0
}

fn one_argument(op: &str, value: u64, two: u64) -> LinuxSeccomp {
    serde_json::from_value(serde_json::json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [{"names": ["close"], "action": "SCMP_ACT_ALLOW", "args": [
            {"index": 1, "value": value, "valueTwo": two, "op": op}]}]
    }))
    .unwrap()
}

#[cfg(target_arch = "x86_64")]
#[test]
fn every_operator_compares_64_bits() {
    let samples = [0, 1, 5, 0xffff_ffff, 0x1_0000_0000, 0x1_0000_0005, 0x2_0000_0000, u64::MAX];
    type Operator = (&'static str, fn(u64, u64) -> bool);
    let operators: [Operator; 6] = [
        ("SCMP_CMP_EQ", |a, v| a == v),
        ("SCMP_CMP_NE", |a, v| a != v),
        ("SCMP_CMP_LT", |a, v| a < v),
        ("SCMP_CMP_LE", |a, v| a <= v),
        ("SCMP_CMP_GT", |a, v| a > v),
        ("SCMP_CMP_GE", |a, v| a >= v),
    ];
    for (name, holds) in operators {
        for value in samples {
            let profile = one_argument(name, value, 0);
            for argument in samples {
                let wanted = if holds(argument, value) { ALLOW } else { EPERM };
                let got = run(&profile, 3, [0, argument, 0, 0, 0, 0]);
                assert_eq!(got, wanted, "{argument:#x} {name} {value:#x}");
            }
        }
    }
    let profile = one_argument("SCMP_CMP_MASKED_EQ", 0xf0_0000_00f0, 0x10_0000_0020);
    assert_eq!(run(&profile, 3, [0, 0x10_0000_002f, 0, 0, 0, 0]), ALLOW);
    assert_eq!(run(&profile, 3, [0, 0x10_0000_003f, 0, 0, 0, 0]), EPERM);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn the_default_profile_decides_as_docker_s() {
    let profile = default_profile(&[Capability::Chown, Capability::Kill]);
    let code = compile(&profile).unwrap().code;
    let get = |number, first| interpret(&code, X86_64, number, [first, 0, 0, 0, 0, 0]).0;
    assert_eq!(get(0, 0), ALLOW, "read");
    assert_eq!(get(165, 0), EPERM, "mount");
    assert_eq!(get(425, 0), EPERM, "io_uring_setup");
    assert_eq!(get(435, 0), ENOSYS, "clone3");
    assert_eq!(get(56, 0x0120_0000), ALLOW, "clone of a process");
    assert_eq!(get(56, 0x1000_0000), EPERM, "clone with CLONE_NEWUSER");
    assert_eq!(get(41, 1), ALLOW, "socket(AF_UNIX)");
    assert_eq!(get(41, 16), ALLOW, "socket(AF_NETLINK)");
    assert_eq!(get(41, 38), EPERM, "socket(AF_ALG)");
    assert_eq!(get(41, 40), EPERM, "socket(AF_VSOCK)");
    assert_eq!(get(135, 0xffff_ffff), ALLOW, "personality(query)");
    assert_eq!(get(135, 0x40000), EPERM, "personality(ADDR_NO_RANDOMIZE)");
    assert_eq!(get(1000, 0), ENOSYS, "a syscall of the future");
    assert_eq!(get(X32, 0), ALLOW, "read by the x32 ABI");
    assert_eq!(get(X32 | 165, 0), EPERM, "mount by the x32 ABI");
    let get = |number| interpret(&code, X86, number, [0; 6]).0;
    assert_eq!(get(102), ALLOW, "i386 socketcall");
    assert_eq!(get(21), EPERM, "i386 mount");
    assert_eq!(interpret(&code, 0xc000_00b7, 0, [0; 6]).0, OTHER_ARCHITECTURE);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn capabilities_open_what_they_are_for() {
    let profile = default_profile(&[Capability::SysAdmin, Capability::SysChroot]);
    assert_eq!(run(&profile, 165, [0; 6]), ALLOW, "mount");
    assert_eq!(run(&profile, 435, [0; 6]), ALLOW, "clone3");
    assert_eq!(run(&profile, 161, [0; 6]), ALLOW, "chroot");
    assert_eq!(run(&profile, 169, [0; 6]), EPERM, "reboot");
}

#[cfg(target_arch = "x86_64")]
#[test]
fn the_search_agrees_with_the_table_and_is_short() {
    let profile = default_profile(&[]);
    let code = compile(&profile).unwrap().code;
    assert!(code.len() < 600, "{} instructions", code.len());
    for table in tables(&profile).unwrap() {
        let mut longest = 0;
        for number in 0..600 {
            let (_, decision) = table.ranges.iter().rev().find(|(n, _)| *n <= number).unwrap();
            if decision.conditional.is_empty() {
                let (got, steps) = interpret(&code, table.audit, number, [0; 6]);
                assert_eq!(got, decision.otherwise, "syscall {number}");
                longest = longest.max(steps);
            }
        }
        assert!(longest < 24, "{longest} steps");
    }
}

#[test]
fn long_tables_jump_far() {
    // Every second syscall: several hundred ranges, so jumps of more than 255.
    let names: Vec<String> =
        syscalls::Sysno::iter().filter(|s| s.id() % 2 == 0).map(|s| s.name().to_owned()).collect();
    let profile: LinuxSeccomp = serde_json::from_value(serde_json::json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [{"names": names, "action": "SCMP_ACT_ALLOW"}]
    }))
    .unwrap();
    let code = compile(&profile).unwrap().code;
    let table = &tables(&profile).unwrap()[0];
    for number in 0..400 {
        let wanted = if number % 2 == 0 && syscalls::Sysno::new(number as usize).is_some() {
            ALLOW
        } else {
            EPERM
        };
        assert_eq!(interpret(&code, table.audit, number, [0; 6]).0, wanted, "syscall {number}");
    }
}
