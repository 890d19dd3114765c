//! Docker's profiles: its default (as data in `default.profile`) and the JSON files that `--security-opt seccomp=FILE` names.
//!
//! Both have rules with conditions (capabilities, architecture, kernel) that are decided here; what is left is an OCI
//! profile.

use std::sync::OnceLock;

use oci_spec::runtime::{
    Arch, Capability, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompArgBuilder,
    LinuxSeccompFilterFlag, LinuxSeccompOperator, LinuxSyscall,
};
use serde::Deserialize;

use super::bad;
use crate::error::Result;

/// The default profile; the format is described at its top.
const DEFAULT: &str = include_str!("default.profile");

/// What a rule's conditions are compared with.
#[derive(Debug, Clone)]
struct Circumstances {
    capabilities: Vec<String>,
    architecture: &'static str,
    kernel: (u32, u32),
}

impl Circumstances {
    fn here(capabilities: &[Capability]) -> Circumstances {
        let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        Circumstances {
            // The spec's name of a capability is its JSON form.
            capabilities: capabilities.iter().filter_map(name_of).collect(),
            architecture,
            kernel: kernel(),
        }
    }
}

fn name_of(capability: &Capability) -> Option<String> {
    match serde_json::to_value(capability) {
        Ok(serde_json::Value::String(name)) => Some(name),
        _ => None,
    }
}

/// The running kernel's first two numbers; of an unreadable version, the oldest that Bryo supports.
fn kernel() -> (u32, u32) {
    static KERNEL: OnceLock<(u32, u32)> = OnceLock::new();
    *KERNEL.get_or_init(|| {
        let name = rustix::system::uname();
        version(&name.release().to_string_lossy()).unwrap_or((5, 11))
    })
}

fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// Docker's default profile for a container with these capabilities (its bounding set), for this machine.
pub fn default_profile(capabilities: &[Capability]) -> LinuxSeccomp {
    let here = Circumstances::here(capabilities);
    let mut profile = LinuxSeccomp::default();
    profile.set_default_action(LinuxSeccompAction::ScmpActErrno);
    profile.set_default_errno_ret(Some(1));
    let architectures = if here.architecture == "arm64" {
        vec![Arch::ScmpArchAarch64, Arch::ScmpArchArm]
    } else {
        vec![Arch::ScmpArchX86_64, Arch::ScmpArchX86, Arch::ScmpArchX32]
    };
    profile.set_architectures(Some(architectures));
    let mut rules = Vec::new();
    let mut section = None;
    for line in DEFAULT.lines().filter(|l| !l.trim().is_empty() && !l.starts_with('#')) {
        if line.starts_with(' ') {
            let names = line.split_ascii_whitespace().map(str::to_owned);
            if let Some(Section { rules: open, .. }) = &mut section {
                for rule in open {
                    let all = rule.names().iter().cloned().chain(names.clone()).collect();
                    rule.set_names(all);
                }
            }
        } else {
            rules.extend(section.take().into_iter().flat_map(Section::finish));
            section = Some(Section::open(line, &here));
        }
    }
    rules.extend(section.into_iter().flat_map(Section::finish));
    profile.set_syscalls(Some(rules));
    profile
}

/// A section of `default.profile`: rules that differ in their argument's value, if it applies.
struct Section {
    applies: bool,
    rules: Vec<LinuxSyscall>,
}

impl Section {
    fn open(header: &str, here: &Circumstances) -> Section {
        let mut applies = true;
        let mut action = LinuxSeccompAction::ScmpActAllow;
        let mut errno = None;
        let mut arguments: Vec<Option<LinuxSeccompArg>> = vec![None];
        for word in header.split_ascii_whitespace() {
            if let Some(name) = word.strip_prefix("cap=") {
                applies &= here.capabilities.iter().any(|c| c == name);
            } else if let Some(name) = word.strip_prefix("nocap=") {
                applies &= !here.capabilities.iter().any(|c| c == name);
            } else if let Some(list) = word.strip_prefix("arch=") {
                applies &= list.split(',').any(|a| a == here.architecture);
            } else if let Some(minimum) = word.strip_prefix("kernel=") {
                applies &= version(minimum).is_some_and(|v| here.kernel >= v);
            } else if let Some(number) = word.strip_prefix("errno=") {
                action = LinuxSeccompAction::ScmpActErrno;
                errno = number.parse().ok();
            } else if let Some(test) = word.strip_prefix("arg") {
                arguments = argument(test).into_iter().map(Some).collect();
            }
        }
        let rule = |argument: Option<LinuxSeccompArg>| {
            let mut rule = LinuxSyscall::default();
            rule.set_action(action);
            rule.set_errno_ret(errno);
            rule.set_args(argument.map(|a| vec![a]));
            rule
        };
        Section { applies, rules: arguments.into_iter().map(rule).collect() }
    }

    fn finish(self) -> Vec<LinuxSyscall> {
        if self.applies { self.rules } else { Vec::new() }
    }
}

/// `I<N`, `I=N|N`, `I&M=0`.
fn argument(test: &str) -> Vec<LinuxSeccompArg> {
    let (index, rest) = test.split_at(1);
    let index = index.parse::<usize>().unwrap_or(0);
    let make = |op, value: &str| {
        let argument = LinuxSeccompArgBuilder::default().index(index).op(op);
        argument.value(value.parse::<u64>().unwrap_or(0)).build().unwrap_or_default()
    };
    if let Some(value) = rest.strip_prefix('<') {
        vec![make(LinuxSeccompOperator::ScmpCmpLt, value)]
    } else if let Some(mask) = rest.strip_prefix('&').and_then(|r| r.strip_suffix("=0")) {
        vec![make(LinuxSeccompOperator::ScmpCmpMaskedEq, mask)]
    } else {
        let values = rest.trim_start_matches('=').split('|');
        values.map(|v| make(LinuxSeccompOperator::ScmpCmpEq, v)).collect()
    }
}

/// Docker's JSON, as far as it goes beyond OCI's.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    default_action: LinuxSeccompAction,
    default_errno_ret: Option<u32>,
    #[serde(default)]
    architectures: Option<Vec<String>>,
    #[serde(default)]
    arch_map: Option<Vec<ArchMap>>,
    flags: Option<Vec<LinuxSeccompFilterFlag>>,
    listener_path: Option<std::path::PathBuf>,
    listener_metadata: Option<String>,
    #[serde(default)]
    syscalls: Option<Vec<Rule>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ArchMap {
    architecture: String,
    #[serde(default)]
    sub_architectures: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    /// The old form with one name.
    #[serde(default)]
    name: String,
    #[serde(default)]
    names: Option<Vec<String>>,
    action: LinuxSeccompAction,
    errno_ret: Option<u32>,
    #[serde(default)]
    args: Option<Vec<LinuxSeccompArg>>,
    #[serde(default)]
    includes: Option<Filter>,
    #[serde(default)]
    excludes: Option<Filter>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Filter {
    #[serde(default)]
    caps: Option<Vec<String>>,
    #[serde(default)]
    arches: Option<Vec<String>>,
    min_kernel: Option<String>,
}

/// A profile in Docker's JSON format (`--security-opt seccomp=FILE`, with `includes`, `excludes`, `archMap`), resolved
/// for these capabilities (the container's bounding set), this architecture and this kernel.
pub fn parse_profile(json: &[u8], capabilities: &[Capability]) -> Result<LinuxSeccomp> {
    let file: File = serde_json::from_slice(json)
        .map_err(|e| bad(format!("decoding seccomp profile failed: {e}")))?;
    let here = Circumstances::here(capabilities);
    let mut profile = LinuxSeccomp::default();
    profile.set_default_action(file.default_action);
    profile.set_default_errno_ret(file.default_errno_ret);
    profile.set_flags(file.flags);
    profile.set_listener_path(file.listener_path);
    profile.set_listener_metadata(file.listener_metadata);
    let listed = file.architectures.filter(|a| !a.is_empty());
    let mapped = file.arch_map.filter(|m| !m.is_empty());
    let architectures = match (listed, mapped) {
        (Some(_), Some(_)) => return Err(both("architectures", "archMap")),
        (Some(listed), None) => listed,
        (None, mapped) => mapped.and_then(|m| sub_architectures(m, &here)).unwrap_or_default(),
    };
    // Names of architectures that this program cannot run on need no filter.
    profile.set_architectures(Some(architectures.iter().filter_map(|a| arch(a)).collect()));
    let mut rules = Vec::new();
    for rule in file.syscalls.unwrap_or_default() {
        rules.extend(decide(rule, &here)?);
    }
    profile.set_syscalls(Some(rules));
    Ok(profile)
}

fn both(one: &str, other: &str) -> crate::Error {
    bad(format!(
        "both '{one}' and '{other}' are specified in the seccomp profile, use either one or the other"
    ))
}

fn sub_architectures(map: Vec<ArchMap>, here: &Circumstances) -> Option<Vec<String>> {
    let own = if here.architecture == "arm64" { "SCMP_ARCH_AARCH64" } else { "SCMP_ARCH_X86_64" };
    let entry = map.into_iter().find(|m| m.architecture == own)?;
    let mut all = vec![entry.architecture];
    all.extend(entry.sub_architectures.unwrap_or_default());
    Some(all)
}

fn arch(name: &str) -> Option<Arch> {
    serde_json::from_value(serde_json::Value::String(name.to_owned())).ok()
}

/// The rule without its conditions, if they hold.
fn decide(rule: Rule, here: &Circumstances) -> Result<Option<LinuxSyscall>> {
    let includes = rule.includes.unwrap_or_default();
    let excludes = rule.excludes.unwrap_or_default();
    let here_is = |list: &[String]| list.iter().any(|a| a == here.architecture);
    let has = |name: &String| here.capabilities.contains(name);
    let excluded = here_is(&excludes.arches.unwrap_or_default())
        || excludes.caps.unwrap_or_default().iter().any(has)
        || newer(excludes.min_kernel.as_deref(), here)?.unwrap_or(false);
    let arches = includes.arches.unwrap_or_default();
    let included = (arches.is_empty() || here_is(&arches))
        && includes.caps.unwrap_or_default().iter().all(has)
        && newer(includes.min_kernel.as_deref(), here)?.unwrap_or(true);
    if excluded || !included {
        return Ok(None);
    }
    let names = match (rule.name.is_empty(), rule.names.unwrap_or_default()) {
        (false, names) if !names.is_empty() => return Err(both("name", "names")),
        (false, _) => vec![rule.name],
        (true, names) => names,
    };
    let mut decided = LinuxSyscall::default();
    decided.set_names(names);
    decided.set_action(rule.action);
    decided.set_errno_ret(rule.errno_ret);
    decided.set_args(rule.args.filter(|a| !a.is_empty()));
    Ok(Some(decided))
}

/// Whether the kernel is at least the one named; none if none is.
fn newer(minimum: Option<&str>, here: &Circumstances) -> Result<Option<bool>> {
    let Some(text) = minimum.filter(|m| !m.is_empty()) else { return Ok(None) };
    let wanted =
        version(text).ok_or_else(|| bad(format!("minKernel {text:?} is no kernel version")))?;
    Ok(Some(here.kernel >= wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_section_of_the_default_is_understood() {
        let profile = default_profile(&[]);
        let rules = profile.syscalls().as_ref().unwrap();
        assert!(rules.iter().all(|r| !r.names().is_empty()));
        let sockets = rules.iter().filter(|r| r.names() == &["socket"]).count();
        assert_eq!(sockets, 26);
        let clone = rules.iter().find(|r| r.names() == &["clone"]).unwrap();
        let argument = clone.args().as_ref().unwrap()[0];
        assert_eq!(argument.value(), 2_114_060_288);
        assert_eq!(argument.op(), LinuxSeccompOperator::ScmpCmpMaskedEq);
    }

    #[test]
    fn capabilities_change_it() {
        let has = |caps: &[Capability], name: &str| {
            let profile = default_profile(caps);
            let rules = profile.syscalls().clone().unwrap();
            rules.iter().any(|r| r.names().iter().any(|n| n == name))
        };
        assert!(!has(&[], "mount"));
        assert!(has(&[Capability::SysAdmin], "mount"));
        assert!(has(&[Capability::DacReadSearch], "open_by_handle_at"));
    }

    #[test]
    fn docker_s_json_with_its_conditions() {
        let json = br#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":1,
            "archMap":[{"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86","SCMP_ARCH_X32"]},
                       {"architecture":"SCMP_ARCH_AARCH64","subArchitectures":["SCMP_ARCH_ARM"]},
                       {"architecture":"SCMP_ARCH_LOONGARCH64","subArchitectures":null}],
            "syscalls":[
              {"names":["read"],"action":"SCMP_ACT_ALLOW"},
              {"name":"write","action":"SCMP_ACT_ALLOW"},
              {"names":["mount"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_SYS_ADMIN"]}},
              {"names":["clone3"],"action":"SCMP_ACT_ERRNO","errnoRet":38,"excludes":{"caps":["CAP_SYS_ADMIN"]}},
              {"names":["ptrace"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"4.8"}},
              {"names":["vhangup"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"99.0"}},
              {"names":["stime"],"action":"SCMP_ACT_ALLOW","includes":{"arches":["s390x"]}}]}"#;
        let names = |caps: &[Capability]| {
            let profile = parse_profile(json, caps).unwrap();
            assert!(profile.architectures().as_ref().unwrap().len() >= 2);
            let rules = profile.syscalls().clone().unwrap();
            rules.iter().flat_map(|r| r.names().clone()).collect::<Vec<_>>()
        };
        assert_eq!(names(&[]), ["read", "write", "clone3", "ptrace"]);
        assert_eq!(names(&[Capability::SysAdmin]), ["read", "write", "mount", "ptrace"]);
    }

    #[test]
    fn broken_profiles_have_docker_s_texts() {
        let e = parse_profile(b"{", &[]).unwrap_err();
        assert!(e.message().starts_with("decoding seccomp profile failed"));
        let json = br#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86"],
            "archMap":[{"architecture":"SCMP_ARCH_X86_64"}]}"#;
        let e = parse_profile(json, &[]).unwrap_err();
        assert!(e.message().contains("both 'architectures' and 'archMap'"));
    }
}
