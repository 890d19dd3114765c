//! Layers reach the disk in the background; until then they carry the boot's id.

use std::path::PathBuf;

use super::Store;
use super::records::SYNCED;

impl Store {
    /// Lets the kernel write everything out, then marks the layers of this moment as durable. Runs in
    /// a thread of its own; a failure only means that a crash of the machine costs these layers.
    pub(crate) fn sync_soon(&self) {
        let fresh: Vec<PathBuf> = {
            let state = self.state();
            state.layers.keys().map(|id| self.layout().layer(*id)).collect()
        };
        let fresh: Vec<PathBuf> = fresh.into_iter().filter(|p| !p.join(SYNCED).exists()).collect();
        if fresh.is_empty() {
            return;
        }
        let root = self.layout().root().to_owned();
        let work = move || -> std::io::Result<()> {
            let folder = std::fs::File::open(&root)?;
            rustix::fs::syncfs(&folder)?;
            for layer in fresh {
                // A layer that was collected meanwhile needs no mark.
                drop(std::fs::File::create(layer.join(SYNCED)));
            }
            Ok(())
        };
        let thread = std::thread::Builder::new().name("sync".to_owned()).spawn(move || {
            if let Err(e) = work() {
                tracing::warn!(error = %e, "layers could not be written out");
            }
        });
        if let Err(e) = thread {
            tracing::warn!(error = %e, "layers are not written out yet");
        }
    }
}
