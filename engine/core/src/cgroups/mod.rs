//! Which cgroups containers get: a driver is chosen once, when the engine opens.
//!
//! ```text
//! exec-opt ── none ──────────────────────────────────────────────▶ no cgroup
//!        ├─── auto, systemd ─ the holder is in a scope already ──┐
//!        │                    or systemd gives one ──────────────┼─▶ Subtree::prepare ─▶ controllers
//!        └─── auto, cgroupfs ─ --cgroup-parent, or a folder ─────┘
//!                             that this user may write
//! ```
//!
//! On a host without unified cgroup v2, or where nobody delegates anything, there is none, and `why` says so.

mod systemd;

use std::path::{Component, Path, PathBuf};

use bryo_cgroup::{Place, Subtree};

use crate::containers::record::ContainerRecord;
use crate::settings::{CgroupDriver, Settings};
use crate::{Error, Result};

/// The outcome.
#[derive(Debug, Default)]
pub(crate) struct Cgroups {
    /// `systemd`, `cgroupfs` or `none`.
    pub driver: &'static str,
    /// Where containers' cgroups are.
    pub subtree: Option<Subtree>,
    /// Why there is none.
    pub why: Option<String>,
    /// Controllers that systemd could delegate and does not.
    pub missing: Vec<&'static str>,
}

/// What containers can be limited by.
const CONTROLLERS: [&str; 5] = ["cpu", "cpuset", "io", "memory", "pids"];

impl Cgroups {
    /// Chooses the driver and makes its place ready.
    pub(crate) async fn open(settings: &Settings) -> Cgroups {
        let none =
            |why: &str| Cgroups { driver: "none", why: Some(why.to_owned()), ..Cgroups::default() };
        if settings.cgroup_driver == CgroupDriver::None {
            return none("native.cgroupdriver=none");
        }
        if !bryo_cgroup::is_unified() {
            return none("the host does not have cgroup v2 alone");
        }
        let mut reasons = Vec::new();
        for attempt in [CgroupDriver::Systemd, CgroupDriver::Cgroupfs] {
            if ![CgroupDriver::Auto, attempt].contains(&settings.cgroup_driver) {
                continue;
            }
            let outcome = match attempt {
                CgroupDriver::Systemd => by_systemd(settings).await.map(|s| ("systemd", s)),
                _ => by_folder(settings).map(|s| ("cgroupfs", s)),
            };
            match outcome {
                Ok((driver, subtree)) => {
                    tracing::info!(driver, base = %subtree.base.display(), "containers get cgroups with {}", subtree.controllers.join(" "));
                    let missing = CONTROLLERS.into_iter().filter(|c| !subtree.has(c)).collect();
                    return Cgroups { driver, subtree: Some(subtree), why: None, missing };
                }
                Err(why) => reasons.push(why),
            }
        }
        let why = reasons.join("; ");
        tracing::warn!("containers get no cgroups: {why}");
        none(&why)
    }

    /// Whether containers have this controller (`memory`) or this file of one (`memory.swap.max`).
    pub(crate) fn has(&self, what: &str) -> bool {
        let has = |s: &Subtree| if what.contains('.') { s.has_file(what) } else { s.has(what) };
        self.subtree.as_ref().is_some_and(has)
    }

    /// The cgroup of a container, if it gets one.
    pub(crate) fn folder(&self, record: &ContainerRecord) -> Option<PathBuf> {
        let base = &self.subtree.as_ref()?.base;
        let parent = inside(&record.spec.resources.cgroup_parent);
        Some(base.join(parent).join(&record.id))
    }

    /// Refuses a container's `--cgroup-parent` that this driver does not know.
    pub(crate) fn check_parent(&self, parent: &str) -> Result<()> {
        let slice = parent.len() > ".slice".len() && parent.ends_with(".slice");
        if self.driver == "systemd" && !parent.is_empty() && (!slice || parent.contains('/')) {
            return Err(Error::invalid(
                "cgroup-parent for systemd cgroup should be a valid slice named as \"xxx.slice\"",
            ));
        }
        Ok(())
    }

    /// What would delegate the controllers that are missing.
    pub(crate) fn remedy(&self, controllers: &[&str]) -> Option<String> {
        let lost: Vec<&str> =
            controllers.iter().filter(|c| self.missing.contains(c)).copied().collect();
        if self.driver != "systemd" || lost.is_empty() {
            return None;
        }
        Some(format!(
            "The controller {} is not delegated to this user; the administrator can do it with: sudo mkdir -p \
             /etc/systemd/system/user@.service.d && printf '[Service]\\nDelegate={}\\n' | sudo tee \
             /etc/systemd/system/user@.service.d/delegate.conf && sudo systemctl daemon-reload (it takes effect at the user's next login)",
            lost.join(" and "),
            CONTROLLERS.join(" ")
        ))
    }
}

/// The components of a container's parent, below our own base whatever it says.
fn inside(parent: &str) -> PathBuf {
    Path::new(parent).components().filter(|c| matches!(c, Component::Normal(_))).collect()
}

/// Bryo's own long-lived processes: the holder, and the gate and monitors that it made.
fn helpers(settings: &Settings) -> Vec<u32> {
    let holder = settings.holder.pid();
    let children = std::fs::read_to_string(format!("/proc/{holder}/task/{holder}/children"));
    let children = children.unwrap_or_default();
    let children = children.split_ascii_whitespace().filter_map(|p| p.parse().ok());
    std::iter::once(holder).chain(children).collect()
}

async fn by_systemd(settings: &Settings) -> std::result::Result<Subtree, String> {
    let own = helpers(settings);
    let prepare = |base: &Path| Subtree::prepare(base, &own).map_err(|e| e.to_string());
    let is_ours = |base: &Path| {
        let name = base.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        name.starts_with("bryo-") && name.ends_with(".scope")
    };
    if let Place::Delegated(base) = bryo_cgroup::survey(settings.holder.pid(), &own) {
        if is_ours(&base) {
            return prepare(&base);
        }
    }
    let Some(runtime_dir) = &settings.runtime_dir else {
        return Err("there is no XDG_RUNTIME_DIR, so no systemd of this user".into());
    };
    let bus =
        systemd::Bus { address: settings.bus.as_deref(), runtime_dir, uid: settings.host_uid };
    if !bus.is_there() {
        return Err(format!(
            "this user has no systemd ({}/systemd/private)",
            runtime_dir.display()
        ));
    }
    let slice = Some(settings.cgroup_parent.as_str()).filter(|p| p.ends_with(".slice"));
    systemd::scope(&bus, &own, slice.unwrap_or_default()).await?;
    match bryo_cgroup::of_process(settings.holder.pid()) {
        Some(base) => prepare(&base),
        None => Err("the holder's cgroup cannot be read".into()),
    }
}

fn by_folder(settings: &Settings) -> std::result::Result<Subtree, String> {
    let mut own = helpers(settings);
    own.push(std::process::id());
    let parent = settings.cgroup_parent.as_str();
    let base = if parent.is_empty() || parent.ends_with(".slice") {
        match bryo_cgroup::survey(settings.holder.pid(), &own) {
            Place::Delegated(base) => base,
            Place::NotDelegated(here) => {
                return Err(format!("{} is not delegated to this user", here.display()));
            }
            Place::NotUnified => return Err("the host does not have cgroup v2 alone".into()),
        }
    } else {
        let below = inside(parent.strip_prefix(bryo_cgroup::ROOT).unwrap_or(parent));
        Path::new(bryo_cgroup::ROOT).join(below)
    };
    // The engine itself stays where it is, unless that is where containers go.
    let own = if bryo_cgroup::of_process(std::process::id()).as_ref() == Some(&base) {
        own
    } else {
        helpers(settings)
    };
    Subtree::prepare(&base, &own).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_never_leads_out_of_the_base() {
        assert_eq!(inside("/docker/buildx"), Path::new("docker/buildx"));
        assert_eq!(inside("../../x"), Path::new("x"));
        assert_eq!(inside(""), Path::new(""));
    }

    #[test]
    fn systemd_wants_slices() {
        let systemd = Cgroups { driver: "systemd", ..Cgroups::default() };
        assert!(systemd.check_parent("/docker/buildx").is_err());
        assert!(systemd.check_parent(".slice").is_err());
        assert!(systemd.check_parent("x.slice").is_ok() && systemd.check_parent("").is_ok());
        assert!(Cgroups { driver: "cgroupfs", ..Cgroups::default() }.check_parent("/a/b").is_ok());
    }

    #[test]
    fn the_remedy_names_the_drop_in() {
        let missing = vec!["cpuset", "io"];
        let c = Cgroups { driver: "systemd", missing, ..Cgroups::default() };
        let text = c.remedy(&["cpuset"]).unwrap();
        assert!(
            text.contains("Delegate=cpu cpuset io memory pids") && text.contains("user@.service.d")
        );
        assert_eq!(c.remedy(&["memory"]), None);
    }
}
