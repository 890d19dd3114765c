//! Networks: the predefined `bridge`, `host` and `none`, and the user's bridges.

use crate::Result;
use crate::engine::Engine;
use crate::model::{EndpointSettings, Filters, NetworkSpec, NetworkView};
use crate::requests::not_yet;

impl Engine {
    /// Makes a network; the result is its id and a warning (empty: none).
    pub async fn network_create(&self, spec: NetworkSpec) -> Result<(String, String)> {
        let _ = spec;
        not_yet("network create")
    }

    /// Networks, without their containers.
    pub async fn network_list(&self, filters: &Filters) -> Result<Vec<NetworkView>> {
        let _ = filters;
        not_yet("network list")
    }

    /// One by name, id or the unique beginning of an id.
    pub async fn network_inspect(&self, r: &str) -> Result<NetworkView> {
        let _ = r;
        not_yet("network inspect")
    }

    /// Removes one that no container is on.
    pub async fn network_remove(&self, r: &str) -> Result<()> {
        let _ = r;
        not_yet("network remove")
    }

    /// Joins a container to it.
    pub async fn network_connect(
        &self,
        network: &str,
        container: &str,
        settings: EndpointSettings,
    ) -> Result<()> {
        let _ = (network, container, settings);
        not_yet("network connect")
    }

    /// Takes a container off it.
    pub async fn network_disconnect(
        &self,
        network: &str,
        container: &str,
        force: bool,
    ) -> Result<()> {
        let _ = (network, container, force);
        not_yet("network disconnect")
    }

    /// Removes those that no container is on; the result is their names.
    pub async fn prune_networks(&self, filters: &Filters) -> Result<Vec<String>> {
        let _ = filters;
        not_yet("network prune")
    }
}
