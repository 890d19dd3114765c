//! What is used and what can go: processes, disk, prune.

use crate::Result;
use crate::engine::Engine;
use crate::model::Filters;
use crate::requests::{DiskUsage, Pruned, Top, not_yet};

impl Engine {
    /// Its processes, as `ps` with these arguments shows them (empty: `-ef`).
    pub async fn top(&self, r: &str, ps_args: &str) -> Result<Top> {
        let _ = (r, ps_args);
        not_yet("top")
    }

    /// Removes containers that do not run.
    pub async fn prune_containers(&self, filters: &Filters) -> Result<Pruned> {
        let _ = filters;
        not_yet("container prune")
    }

    /// What takes how much disk.
    pub async fn disk_usage(&self) -> Result<DiskUsage> {
        not_yet("df")
    }
}
