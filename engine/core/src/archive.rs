//! Files of containers from outside: copy in and out, export, changes, and images made from them.

use crate::Result;
use crate::engine::Engine;
use crate::requests::{ByteStream, Change, CommitOptions, PathStat, PutOptions, not_yet};

impl Engine {
    /// What differs from the image.
    pub async fn changes(&self, r: &str) -> Result<Vec<Change>> {
        let _ = r;
        not_yet("changes")
    }

    /// The whole filesystem as a tar.
    pub async fn export(&self, r: &str) -> Result<ByteStream> {
        let _ = r;
        not_yet("export")
    }

    /// About a path in it.
    pub async fn archive_stat(&self, r: &str, path: &str) -> Result<PathStat> {
        let _ = (r, path);
        not_yet("archive")
    }

    /// A path in it as a tar.
    pub async fn archive_get(&self, r: &str, path: &str) -> Result<(PathStat, ByteStream)> {
        let _ = (r, path);
        not_yet("archive")
    }

    /// Unpacks a tar (plain or compressed) into a folder in it.
    pub async fn archive_put(
        &self,
        r: &str,
        path: &str,
        options: PutOptions,
        body: ByteStream,
    ) -> Result<()> {
        let _ = (r, path, options, body);
        not_yet("archive")
    }

    /// Makes an image of it; the result is the image's id.
    pub async fn commit(&self, r: &str, options: CommitOptions) -> Result<String> {
        let _ = (r, options);
        not_yet("commit")
    }
}
