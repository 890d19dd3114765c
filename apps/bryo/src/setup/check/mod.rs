//! The checks: those of rootless Docker's tool in its order and words, then what it does not look at.
//!
//! | where | what |
//! |---|---|
//! | [`tool`] | who calls and from where: root, home, a rootful Docker, the runtime folder, id ranges |
//! | [`kernel`] | what only trying can tell, in a child process: namespaces, id maps, overlayfs, the network |
//! | [`host`] | settings that limit or ease the work: systemd, cgroups, linger, ports, ping, inotify, keyrings |
//!
//! A finding that makes the rest pointless ends the list. Nothing is changed by a check, with one exception that the tool has
//! too: where there is no systemd and no runtime folder, `~/.docker/run` is made and used in its place.

pub mod host;
mod kernel;
mod tool;

use super::Setup;
use super::finding::{Finding, Level};
use super::report;

/// `check`: prints what was found; whether nothing required is missing.
pub fn command(setup: &mut Setup) -> bool {
    let findings = all(setup);
    if setup.options.json {
        println!("{:#}", report::json(&findings));
        return !findings.iter().any(Finding::is_missing);
    }
    let satisfied = print(setup, &findings, true);
    if satisfied {
        setup.out.recommended(&findings);
        setup.out.info("Requirements are satisfied");
        remind(setup);
    }
    satisfied
}

/// All findings, up to the first that makes the rest pointless.
pub fn all(setup: &mut Setup) -> Vec<Finding> {
    let mut findings = tool::caller(setup);
    if findings.iter().any(|f| f.last && !f.ok) {
        return findings;
    }
    let survey = bryo_rootless::survey(&setup.user.environment());
    findings.push(tool::helpers(&survey));
    if !setup.options.skip_iptables {
        findings.push(tool::iptables(setup));
    }
    findings.extend(kernel::findings(setup));
    findings.extend(tool::ids(setup, &survey));
    findings.extend(host::findings(setup));
    findings
}

/// Prints what is not well (and, if asked, what is); whether nothing required is missing.
pub fn print(setup: &Setup, findings: &[Finding], all: bool) -> bool {
    for finding in findings {
        if !finding.ok {
            setup.out.finding(finding);
        } else if all {
            setup.out.info(&format!("ok: {}", finding.text));
        }
    }
    setup.out.required(findings);
    !findings.iter().any(Finding::is_missing)
}

/// A runtime folder of our own making is nobody's to clean up but the user's.
pub fn remind(setup: &Setup) {
    if let Some(folder) = &setup.made_runtime {
        setup
            .out
            .warning(&format!("XDG_RUNTIME_DIR is not set; {} is used instead", folder.display()));
        setup.out.warning("It must be removed on every logout, for nothing else does:");
        setup.out.warning(&format!("  rm -rf {}", folder.display()));
    }
}

/// Without these the engine still works, in single-id mode.
pub fn is_single_id(finding: &Finding) -> bool {
    finding.level == Level::Required
        && ["newuidmap", "id-maps", "subuid", "subgid"].contains(&finding.id)
}
