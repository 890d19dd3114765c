//! What can be asked of volumes.

use crate::Result;
use crate::engine::Engine;
use crate::model::{Filters, VolumeSpec, VolumeView};
use crate::requests::{Pruned, not_yet};

impl Engine {
    /// Makes a volume; one of the same name and driver is no error.
    pub async fn volume_create(&self, spec: VolumeSpec) -> Result<VolumeView> {
        let _ = spec;
        not_yet("volume create")
    }

    /// Volumes by name.
    pub async fn volume_list(&self, filters: &Filters) -> Result<Vec<VolumeView>> {
        let _ = filters;
        not_yet("volume list")
    }

    /// Everything about one.
    pub async fn volume_inspect(&self, name: &str) -> Result<VolumeView> {
        let _ = name;
        not_yet("volume inspect")
    }

    /// Removes one that no container uses; `force`: a missing one is no error.
    pub async fn volume_remove(&self, name: &str, force: bool) -> Result<()> {
        let _ = (name, force);
        not_yet("volume remove")
    }

    /// Removes those that no container uses.
    pub async fn prune_volumes(&self, filters: &Filters) -> Result<Pruned> {
        let _ = filters;
        not_yet("volume prune")
    }
}
