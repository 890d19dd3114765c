//! From a profile to one table per architecture: ranges of syscall numbers, each with what happens.

use std::collections::{BTreeMap, HashMap};

use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompOperator, LinuxSyscall,
};

use super::bad;
use crate::error::Result;

/// What the kernel calls an architecture in a filter's input (AUDIT_ARCH_…).
pub(super) const X86_64: u32 = 0xc000_003e;
const X86: u32 = 0x4000_0003;
const AARCH64: u32 = 0xc000_00b7;
const ARM: u32 = 0x4000_0028;

/// ENOSYS.
const NO_SYSCALL: u32 = 38;

/// Actions of linux/seccomp.h.
const RET_KILL_PROCESS: u32 = 0x8000_0000;
const RET_KILL_THREAD: u32 = 0;
const RET_TRAP: u32 = 0x0003_0000;
const RET_ERRNO: u32 = 0x0005_0000;
const RET_TRACE: u32 = 0x7ff0_0000;
const RET_LOG: u32 = 0x7ffc_0000;
const RET_ALLOW: u32 = 0x7fff_0000;

/// The table of one architecture.
#[derive(Debug)]
pub(super) struct Table {
    /// Its AUDIT_ARCH value.
    pub(super) audit: u32,
    /// x86_64 only: numbers with bit 30 (the x32 ABI) mean the same as without it; else they are refused.
    pub(super) x32: bool,
    /// First number of each range and what happens up to the next; begins at 0 and neighbours differ.
    pub(super) ranges: Vec<(u32, Decision)>,
}

/// What happens with a syscall.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Decision {
    /// Tried in order: all of a rule's conditions hold, then its action.
    pub(super) conditional: Vec<(Vec<Condition>, u32)>,
    /// The action otherwise.
    pub(super) otherwise: u32,
}

/// A test of one argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) index: u32,
    pub(super) operator: LinuxSeccompOperator,
    pub(super) value: u64,
    /// The second value: what `value` as a mask must leave.
    pub(super) datum: u64,
}

/// What happens on any other architecture.
pub(super) const OTHER_ARCHITECTURE: u32 = RET_KILL_PROCESS;

/// One table per architecture that the profile lists and this machine can run, its own first.
pub(super) fn tables(profile: &LinuxSeccomp) -> Result<Vec<Table>> {
    let listed = profile.architectures().as_deref().unwrap_or_default();
    let own: &[(u32, Arch)] = if cfg!(target_arch = "x86_64") {
        &[(X86_64, Arch::ScmpArchX86_64), (X86, Arch::ScmpArchX86)]
    } else if cfg!(target_arch = "aarch64") {
        &[(AARCH64, Arch::ScmpArchAarch64), (ARM, Arch::ScmpArchArm)]
    } else {
        return Err(bad(
            "seccomp is not supported on this architecture; run with seccomp=unconfined",
        ));
    };
    let mut tables = Vec::new();
    for (position, (audit, arch)) in own.iter().enumerate() {
        if position == 0 || listed.contains(arch) {
            let x32 = *audit == X86_64 && listed.contains(&Arch::ScmpArchX32);
            tables.push(Table { audit: *audit, x32, ranges: ranges(profile, *audit)? });
        }
    }
    Ok(tables)
}

fn ranges(profile: &LinuxSeccomp, audit: u32) -> Result<Vec<(u32, Decision)>> {
    let default = action(profile.default_action(), profile.default_errno_ret())?;
    let mut decisions: BTreeMap<u32, Decision> = BTreeMap::new();
    let mut settled = std::collections::BTreeSet::new();
    let numbers = numbers(audit);
    for rule in profile.syscalls().iter().flatten() {
        let ret = action(rule.action(), rule.errno_ret())?;
        let conditions = conditions(rule)?;
        for number in rule.names().iter().filter_map(|name| numbers.get(name.as_str()).copied()) {
            // The first rule without conditions settles a syscall.
            if settled.contains(&number) {
                continue;
            }
            let decision = decisions
                .entry(number)
                .or_insert_with(|| Decision { conditional: Vec::new(), otherwise: default });
            if conditions.is_empty() {
                decision.otherwise = ret;
                settled.insert(number);
            } else {
                decision.conditional.extend(conditions.iter().map(|c| (c.clone(), ret)));
            }
        }
    }
    Ok(merge(decisions, default))
}

/// Fills the gaps and merges equal neighbours.
///
/// Numbers above the last one that the profile names are newer than the profile: programs probe for them and expect
/// ENOSYS, not a refusal.
fn merge(decisions: BTreeMap<u32, Decision>, default: u32) -> Vec<(u32, Decision)> {
    let plain = |otherwise| Decision { conditional: Vec::new(), otherwise };
    let mut ranges: Vec<(u32, Decision)> = Vec::new();
    let mut add = |first: u32, decision: Decision| match ranges.last() {
        Some((_, last)) if *last == decision => {}
        _ => ranges.push((first, decision)),
    };
    let mut next = 0;
    for (number, decision) in decisions {
        if number > next {
            add(next, plain(default));
        }
        add(number, decision);
        next = number + 1;
    }
    let permissive = matches!(default, RET_ALLOW | RET_LOG) || default & 0xffff_0000 == RET_TRACE;
    add(next, plain(if permissive || next == 0 { default } else { RET_ERRNO | NO_SYSCALL }));
    ranges
}

/// A rule's conditions as alternatives: usually one list, all of which must hold. Several conditions on one argument
/// are alternatives of each other, which is what other runtimes made of them.
fn conditions(rule: &LinuxSyscall) -> Result<Vec<Vec<Condition>>> {
    let list: Vec<Condition> =
        rule.args().iter().flatten().map(condition).collect::<Result<_>>()?;
    let repeated = list
        .iter()
        .enumerate()
        .any(|(i, c)| list.iter().take(i).any(|earlier| earlier.index == c.index));
    Ok(match (list.is_empty(), repeated) {
        (true, _) => Vec::new(),
        (false, true) => list.into_iter().map(|c| vec![c]).collect(),
        (false, false) => vec![list],
    })
}

fn condition(arg: &LinuxSeccompArg) -> Result<Condition> {
    let index = u32::try_from(arg.index()).unwrap_or(u32::MAX);
    if index > 5 {
        return Err(bad(format!("argument {} of a syscall: there are six, from 0", arg.index())));
    }
    Ok(Condition {
        index,
        operator: arg.op(),
        value: arg.value(),
        datum: arg.value_two().unwrap_or(0),
    })
}

fn action(action: LinuxSeccompAction, errno: Option<u32>) -> Result<u32> {
    /// EPERM, when nothing is said.
    const DEFAULT: u32 = 1;
    let data = errno.unwrap_or(DEFAULT) & 0xffff;
    Ok(match action {
        LinuxSeccompAction::ScmpActKill | LinuxSeccompAction::ScmpActKillThread => RET_KILL_THREAD,
        LinuxSeccompAction::ScmpActKillProcess => RET_KILL_PROCESS,
        LinuxSeccompAction::ScmpActTrap => RET_TRAP,
        LinuxSeccompAction::ScmpActErrno => RET_ERRNO | data,
        LinuxSeccompAction::ScmpActTrace => RET_TRACE | data,
        LinuxSeccompAction::ScmpActLog => RET_LOG,
        LinuxSeccompAction::ScmpActAllow => RET_ALLOW,
        LinuxSeccompAction::ScmpActNotify => {
            return Err(bad("the action SCMP_ACT_NOTIFY needs a listener, which is not supported"));
        }
    })
}

/// The numbers of an architecture's system calls by their names. A profile names the calls of all architectures, some 450,
/// so they are looked up in a table that is made once a compilation.
fn numbers(audit: u32) -> HashMap<&'static str, u32> {
    use syscalls::{aarch64, arm, x86, x86_64};
    match audit {
        X86_64 => table(x86_64::Sysno::last().id(), |n| Some(x86_64::Sysno::new(n)?.name())),
        X86 => table(x86::Sysno::last().id(), |n| Some(x86::Sysno::new(n)?.name())),
        AARCH64 => {
            let mut all =
                table(aarch64::Sysno::last().id(), |n| Some(aarch64::Sysno::new(n)?.name()));
            // The kernel's header names it differently there.
            if let Some(number) = all.get("fstatat").copied() {
                all.insert("newfstatat", number);
            }
            all
        }
        ARM => {
            let mut all = table(arm::Sysno::last().id(), |n| Some(arm::Sysno::new(n)?.name()));
            // Private numbers (asm/unistd.h, __ARM_NR_BASE).
            all.extend([("breakpoint", 0xf_0001), ("cacheflush", 0xf_0002), ("set_tls", 0xf_0005)]);
            all
        }
        _ => HashMap::new(),
    }
}

fn table(last: i32, name: impl Fn(usize) -> Option<&'static str>) -> HashMap<&'static str, u32> {
    let last = u32::try_from(last).unwrap_or_default();
    (0..=last).filter_map(|n| Some((name(usize::try_from(n).ok()?)?, n))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_kernel_s_numbers() {
        let number = |audit, name| numbers(audit).get(name).copied();
        assert_eq!(number(X86_64, "read"), Some(0));
        assert_eq!(number(X86_64, "clone3"), Some(435));
        assert_eq!(number(X86, "socketcall"), Some(102));
        assert_eq!(number(AARCH64, "newfstatat"), Some(79));
        assert_eq!(number(ARM, "set_tls"), Some(0xf0005));
        assert_eq!(number(X86_64, "set_tls"), None);
        // The last one of a table is in it, too.
        let last = syscalls::x86_64::Sysno::last();
        assert!(numbers(X86_64).values().any(|n| i32::try_from(*n) == Ok(last.id())));
    }

    #[test]
    fn gaps_are_filled_and_neighbours_merged() {
        let allow = Decision { conditional: Vec::new(), otherwise: RET_ALLOW };
        let decisions = [1, 2, 3, 7].into_iter().map(|n| (n, allow.clone())).collect();
        let ranges: Vec<_> =
            merge(decisions, RET_ERRNO | 1).into_iter().map(|(n, d)| (n, d.otherwise)).collect();
        let no = RET_ERRNO | 1;
        let new = RET_ERRNO | NO_SYSCALL;
        assert_eq!(ranges, [(0, no), (1, RET_ALLOW), (4, no), (7, RET_ALLOW), (8, new)]);
    }

    #[test]
    fn repeated_arguments_are_alternatives() {
        let profile: LinuxSeccomp = serde_json::from_value(serde_json::json!({
            "defaultAction": "SCMP_ACT_ERRNO",
            "syscalls": [{"names": ["personality"], "action": "SCMP_ACT_ALLOW", "args": [
                {"index": 0, "value": 0, "op": "SCMP_CMP_EQ"},
                {"index": 0, "value": 8, "op": "SCMP_CMP_EQ"}]}]
        }))
        .unwrap();
        let ranges = ranges(&profile, X86_64).unwrap();
        let (_, decision) = ranges.iter().find(|(n, _)| *n == 135).unwrap();
        assert_eq!(decision.conditional.len(), 2);
    }
}
