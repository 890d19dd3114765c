//! Images where containers or events matter; everything else is asked of the image store itself.

use crate::Result;
use crate::engine::Engine;
use crate::model::{Filters, ImageView};
use crate::requests::{Auth, ByteStream, ImportOptions, ProgressStream, Removed, not_yet};

impl Engine {
    /// Pulls `name[:tag|@digest]`, or `name` with a separate tag or digest. What fails before the first line is this call's error.
    pub async fn pull(
        &self,
        reference: &str,
        tag: Option<&str>,
        platform: Option<&str>,
        auth: Option<Auth>,
    ) -> Result<ProgressStream> {
        let _ = (reference, tag, platform, auth);
        not_yet("pull")
    }

    /// Removes a reference, and the image with its last one.
    pub async fn image_remove(&self, r: &str, force: bool, no_prune: bool) -> Result<Vec<Removed>> {
        let _ = (r, force, no_prune);
        not_yet("image remove")
    }

    /// Removes images that nothing uses; the result also tells the bytes.
    pub async fn prune_images(&self, filters: &Filters) -> Result<(Vec<Removed>, u64)> {
        let _ = filters;
        not_yet("image prune")
    }

    /// Images, newest first.
    pub async fn image_list(&self, all: bool, filters: &Filters) -> Result<Vec<ImageView>> {
        let _ = (all, filters);
        not_yet("image list")
    }

    /// Makes an image of a filesystem archive.
    pub async fn import(&self, options: ImportOptions, body: ByteStream) -> Result<ProgressStream> {
        let _ = (options, body);
        not_yet("import")
    }

    /// Reads images from an archive of docker-archive or OCI layout form.
    pub async fn load(&self, body: ByteStream) -> Result<ProgressStream> {
        let _ = body;
        not_yet("load")
    }

    /// Writes images as an archive of both forms.
    pub async fn save(&self, names: &[String]) -> Result<ByteStream> {
        let _ = names;
        not_yet("save")
    }

    /// Gives an image a further reference (empty tag: latest).
    pub async fn image_tag(&self, r: &str, repo: &str, tag: &str) -> Result<()> {
        let _ = (r, repo, tag);
        not_yet("tag")
    }
}
