//! The lines of a pull, in Docker's words and order.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::job::{Job, Stage};
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::manifest::Descriptor;
use crate::reference::Reference;
use crate::settings::Progress;

/// Pause between two lines about the same layer's bytes.
const INTERVAL: Duration = Duration::from_millis(100);

/// Where lines go. A reader that went away or is too slow never stops a pull.
#[derive(Debug)]
pub(super) struct Lines {
    out: mpsc::Sender<Progress>,
}

impl Lines {
    pub fn new(out: mpsc::Sender<Progress>) -> Lines {
        Lines { out }
    }

    /// `latest: Pulling from library/alpine`.
    pub async fn first(&self, reference: &Reference) {
        let id = match (reference.digest(), reference.tag()) {
            (Some(digest), _) => digest.to_string(),
            (None, tag) => tag.unwrap_or("latest").to_owned(),
        };
        self.send(Progress::layer(&id, &format!("Pulling from {}", reference.path()))).await;
    }

    /// The layer was there.
    pub async fn exists(&self, blob: &Descriptor) {
        self.send(Progress::layer(&blob.digest.short(), "Already exists")).await;
    }

    /// The layer is to be fetched.
    pub async fn begun(&self, blob: &Descriptor) {
        self.send(Progress::layer(&blob.digest.short(), "Pulling fs layer")).await;
    }

    /// Tells of a layer's way until it is there.
    pub async fn follow(&self, job: &Job, blob: &Descriptor) -> Result<()> {
        let id = blob.digest.short();
        let mut stages = job.stages();
        let (mut downloading, mut downloaded) = (false, false);
        let mut last_bytes = Instant::now() - INTERVAL;
        let mut due = || {
            let due = last_bytes.elapsed() >= INTERVAL;
            if due {
                last_bytes = Instant::now();
            }
            due
        };
        loop {
            let stage = stages.borrow_and_update().clone();
            match &stage {
                Stage::Waiting => {
                    // Only a layer that waits noticeably is said to.
                    if tokio::time::timeout(INTERVAL, stages.changed()).await.is_ok() {
                        continue;
                    }
                    self.send(Progress::layer(&id, "Waiting")).await;
                }
                Stage::Downloading(bytes) => {
                    if !std::mem::replace(&mut downloading, true) || due() {
                        self.offer(bytes_line(&id, "Downloading", *bytes, blob.size));
                    }
                }
                Stage::Downloaded(bytes) => {
                    if !std::mem::replace(&mut downloaded, true) && downloading {
                        self.downloaded(&id).await;
                    }
                    if due() {
                        self.offer(bytes_line(&id, "Extracting", *bytes, blob.size));
                    }
                }
                Stage::Done(outcome) => {
                    outcome.clone()?;
                    if !downloaded && downloading {
                        self.downloaded(&id).await;
                    }
                    self.send(Progress::layer(&id, "Pull complete")).await;
                    return Ok(());
                }
            }
            if stages.changed().await.is_err() && !matches!(&*stages.borrow(), Stage::Done(_)) {
                return Err(Error::cancelled());
            }
        }
    }

    async fn downloaded(&self, id: &str) {
        self.send(Progress::layer(id, "Verifying Checksum")).await;
        self.send(Progress::layer(id, "Download complete")).await;
    }

    /// `Digest:` and `Status:`.
    pub async fn last(&self, reference: &Reference, digest: Digest, new: bool) {
        self.send(Progress::line(format!("Digest: {digest}"))).await;
        let what = if new { "Downloaded newer image" } else { "Image is up to date" };
        self.send(Progress::line(format!("Status: {what} for {}", reference.familiar()))).await;
    }

    /// A line that must not be lost.
    async fn send(&self, line: Progress) {
        drop(self.out.send(line).await);
    }

    /// A line of which there will be more.
    fn offer(&self, line: Progress) {
        drop(self.out.try_send(line));
    }
}

fn bytes_line(id: &str, status: &str, current: u64, total: u64) -> Progress {
    Progress { current: Some(current), total: Some(total), ..Progress::layer(id, status) }
}
