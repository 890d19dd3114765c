//! Looking at containers.

use std::sync::Arc;

use super::filters::Wanted;
use super::record::Snapshot;
use crate::Result;
use crate::engine::Engine;
use crate::model::{ContainerView, Status};
use crate::requests::ListOptions;

impl Engine {
    /// Everything about it.
    pub async fn inspect(&self, r: &str, size: bool) -> Result<ContainerView> {
        let handle = self.inner().registry.find(r)?;
        let snapshot = handle.snapshot();
        let mut view = snapshot.view(&self.inner().paths);
        view.limits =
            self.inner().limits.of(&snapshot.record).told(&snapshot.record.spec.resources);
        let mut views = vec![view];
        if size {
            self.measure(&mut views).await?;
        }
        views.pop().ok_or_else(|| super::registry::no_such(r))
    }

    /// Containers, newest first.
    pub async fn list(&self, options: ListOptions) -> Result<Vec<ContainerView>> {
        let wanted = Wanted::new(self, &options.filters)?;
        let all = options.all || options.limit.is_some() || wanted.asks_for_state();
        let shown = |s: &Arc<Snapshot>| {
            (all || matches!(s.status(), Status::Running | Status::Paused | Status::Restarting))
                && wanted.matches(s)
        };
        let mut found: Vec<Arc<Snapshot>> =
            self.inner().registry.all().iter().map(|h| h.snapshot()).filter(shown).collect();
        found.sort_by_key(|s| std::cmp::Reverse(s.record.created));
        if let Some(limit) = options.limit {
            found.truncate(limit);
        }
        let mut views: Vec<ContainerView> =
            found.iter().map(|s| s.view(&self.inner().paths)).collect();
        if options.size {
            self.measure(&mut views).await?;
        }
        Ok(views)
    }

    /// Fills in what containers wrote, and that with their images.
    pub(crate) async fn measure(&self, views: &mut [ContainerView]) -> Result<()> {
        let images = self.images().clone();
        let asked: Vec<(String, String)> =
            views.iter().map(|v| (v.id.clone(), v.image_id.clone())).collect();
        let measured = tokio::task::spawn_blocking(move || {
            let sizes = asked.iter().map(|(id, image)| {
                let own = images.writable_usage(id).map(|u| u.bytes).unwrap_or(0);
                let below = images.resolve(image, None).map(|i| i.size).unwrap_or(0);
                (own, own + below)
            });
            sizes.collect::<Vec<_>>()
        });
        let sizes = measured.await.map_err(|e| crate::Error::internal(format!("measure: {e}")))?;
        for (view, size) in views.iter_mut().zip(sizes) {
            view.size = Some(size);
        }
        Ok(())
    }
}
