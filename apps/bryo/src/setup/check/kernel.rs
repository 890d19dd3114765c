//! What only trying can tell. A child process makes the namespaces exactly as the engine will, with the same code, and in them
//! tries overlayfs on the data root's filesystem and the containers' network; it answers with a few lines of JSON and is gone.
//!
//! Where newuidmap refuses, the rest is tried with a single id, so that one missing thing does not hide the others.

use std::path::{Path, PathBuf};

use bryo_images::Snapshotter;
use bryo_rootless::{Plan, SetupError, inside, preflight};
use bryo_sys::ns;
use serde::{Deserialize, Serialize};

use crate::daemon::config;
use crate::setup::Setup;
use crate::setup::finding::{Finding, Level};

use Level::{Information, Recommended, Required};

/// What the child saw.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Seen {
    /// How layers become a root filesystem, and why not better.
    storage: String,
    storage_reason: Option<String>,
    /// The network: why not at all; why only the lesser path.
    network_error: Option<String>,
    network_reason: Option<String>,
}

/// All that the kernel was asked.
pub fn findings(setup: &Setup) -> Vec<Finding> {
    let mut found = vec![version()];
    let Ok(plan) = preflight(&setup.user.environment()) else { return found };
    let data_root = data_root(setup);
    let place = data_root.ancestors().find(|p| p.is_dir()).unwrap_or(Path::new("/")).to_owned();
    let program = &setup.user.program;
    let (seen, refused) = match attempt(&plan, program, &place) {
        Ok(seen) => (Ok(seen), None),
        Err(e) if plan.tools.is_some() => {
            let single = plan.single(setup.user.uid, setup.user.gid, e.clone());
            (attempt(&single, program, &place), Some(e))
        }
        Err(e) => (Err(e), None),
    };
    let seen = match seen {
        Ok(seen) => seen,
        Err(e) => {
            found.push(Finding::from_refusal("user-namespaces", Required, &e));
            return found;
        }
    };
    let (uids, gids) = plan.ids.limits();
    found.push(Finding::good("user-namespaces", Required, "user and mount namespaces can be made"));
    match refused {
        Some(e) => found.push(Finding::from_refusal("id-maps", Required, &e)),
        None if plan.ids.is_single() => {}
        None => found.push(Finding::good(
            "id-maps",
            Required,
            format!("{uids} uids and {gids} gids can be mapped"),
        )),
    }
    found.push(place_finding(&data_root));
    found.push(storage(&seen, &place));
    if !setup.options.skip_iptables {
        found.push(network(&seen));
    }
    found
}

/// For the record: what is missing in an old kernel shows in the trials.
fn version() -> Finding {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    Finding::good("kernel", Information, format!("Linux {release}"))
}

/// Where images and containers will lie.
fn data_root(setup: &Setup) -> PathBuf {
    let surroundings = &setup.user.surroundings;
    let fallback = || surroundings.home.join(".local/share/bryo");
    config::load(&config::Flags::default(), surroundings)
        .map_or_else(|_| fallback(), |(config, _)| config.data_root)
}

/// NFS, noexec, read-only, full.
fn place_finding(data_root: &Path) -> Finding {
    match bryo_rootless::data_root::check_place(data_root) {
        Ok(()) => Finding::good(
            "data-root",
            Required,
            format!("{} can hold images and containers", data_root.display()),
        ),
        Err(e) => Finding::from_refusal("data-root", Required, &e),
    }
}

fn storage(seen: &Seen, place: &Path) -> Finding {
    let Some(reason) = &seen.storage_reason else {
        return Finding::good(
            "overlayfs",
            Recommended,
            format!("overlayfs works below {}", place.display()),
        );
    };
    let text = format!(
        "no overlayfs: images are stored with {}, which is slower and takes more room",
        seen.storage
    );
    let mend = "a kernel of 5.13 or newer and a data root on ext4, xfs, btrfs or tmpfs: bryo daemon --data-root FOLDER";
    Finding::bad("overlayfs", Recommended, text).seen(reason.clone()).user([mend])
}

fn network(seen: &Seen) -> Finding {
    if let Some(e) = &seen.network_error {
        let finding =
            Finding::bad("netfilter", Required, "the containers' network cannot be set up")
                .seen(e.clone());
        return match missing_module(e) {
            Some(module) => {
                finding.root([format!("# Load {module} module"), format!("modprobe {module}")])
            }
            None => finding,
        };
    }
    match &seen.network_reason {
        None => Finding::good(
            "netfilter",
            Required,
            "the containers' network can be set up: tun, nf_tables, tproxy",
        ),
        Some(reason) => {
            let text =
                "the containers' network takes the lesser data path: each connection costs more";
            let lines = [
                "# Load nft_tproxy and nft_socket modules",
                "modprobe nft_tproxy",
                "modprobe nft_socket",
            ];
            Finding::bad("tproxy", Recommended, text).seen(reason.clone()).root(lines)
        }
    }
}

/// The module whose absence the refusal looks like.
fn missing_module(error: &str) -> Option<&'static str> {
    if error.contains("tun") {
        return Some("tun");
    }
    let absent = ["not supported", "No such file", "Invalid argument"]
        .iter()
        .any(|text| error.contains(text));
    (absent && (error.contains("nf_tables") || error.contains("firewall"))).then_some("nf_tables")
}

/// Makes the namespaces and looks around in them.
fn attempt(plan: &Plan, program: &Path, place: &Path) -> Result<Seen, SetupError> {
    let outcome = inside(plan, program, |channel| {
        let seen = look(place);
        let text = serde_json::to_vec(&seen).unwrap_or_default();
        i32::from(channel.send(&text, &[]).is_err())
    })?;
    serde_json::from_slice(&outcome.message).map_err(|e| {
        SetupError::new(
            "the check itself failed",
            format!(
                "its child ended with {} and said {:?}: {e}",
                outcome.code,
                String::from_utf8_lossy(&outcome.message)
            ),
            "please report it",
        )
    })
}

/// The child's part. Overlayfs is tried in a folder of the data root's filesystem that is gone afterwards.
fn look(place: &Path) -> Seen {
    let folder = place.join(format!(".bryo-check-{}", std::process::id()));
    let storage = Snapshotter::probe(&folder, &[]);
    let _ = std::fs::remove_dir_all(&folder);
    let mut seen = Seen {
        storage: storage.name().to_owned(),
        storage_reason: storage.reason,
        ..Seen::default()
    };
    let network = ns::unshare(&[ns::Kind::Net])
        .map_err(|e| format!("make a network namespace: {e}"))
        .and_then(|()| bryo_net::probe().map_err(|e| e.to_string()));
    match network {
        Ok(reason) => seen.network_reason = reason,
        Err(e) => seen.network_error = Some(e),
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_module_is_told_from_other_refusals() {
        assert_eq!(
            missing_module("open an nf_tables socket: Protocol not supported"),
            Some("nf_tables")
        );
        assert_eq!(missing_module("open /dev/net/tun: No such file or directory"), Some("tun"));
        assert_eq!(missing_module("make bridge: Permission denied"), None);
    }

    #[test]
    fn a_network_that_works_less_well_is_a_recommendation() {
        let mut seen =
            Seen { storage: "copy".into(), storage_reason: Some("why".into()), ..Seen::default() };
        assert!(network(&seen).ok);
        assert_eq!(storage(&seen, Path::new("/")).seen, "why");
        seen.network_reason = Some("no nft_tproxy".into());
        assert!(!network(&seen).ok && !network(&seen).is_missing());
        seen.network_error = Some("open an nf_tables socket: Protocol not supported".into());
        assert!(network(&seen).is_missing());
    }
}
