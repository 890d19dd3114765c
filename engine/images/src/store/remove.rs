//! Names and images go away.

use super::names::same;
use super::records::State;
use super::{ImageFilter, Removed, Store};
use crate::digest::Digest;
use crate::error::{At, Error, ErrorKind, Result};
use crate::image::Image;
use crate::reference::Reference;

/// What removing a name would do.
struct Plan {
    id: Digest,
    /// Names that go.
    names: Vec<Reference>,
    /// The image goes.
    delete: bool,
}

impl Store {
    /// See [`Store::removal`].
    pub(super) fn would_remove(&self, name: &str, force: bool) -> Result<(Image, bool)> {
        let state = self.state();
        let plan = state.plan(name, force)?;
        Ok((state.image(plan.id)?, plan.delete))
    }

    /// See [`Store::remove`].
    pub(super) fn remove_name(&self, name: &str, force: bool) -> Result<Vec<Removed>> {
        let plan = self.state().plan(name, force)?;
        self.carry_out(&plan)
    }

    /// See [`Store::prune`].
    pub(super) fn prune_images(
        &self,
        filter: &ImageFilter,
        all: bool,
        in_use: &dyn Fn(Digest) -> bool,
    ) -> Result<(Vec<Removed>, u64)> {
        // Here `all` says whether names protect an image, whatever the filter says of dangling.
        let filter = ImageFilter { dangling: None, ..filter.clone() };
        let candidates = self.select(&filter)?;
        let mut removed = Vec::new();
        let mut freed = 0;
        for image in candidates {
            if in_use(image.id) || !all && !image.repo_tags.is_empty() {
                continue;
            }
            let names = self.state().names_of(image.id);
            removed.extend(self.carry_out(&Plan { id: image.id, names, delete: true })?);
            freed += image.size;
        }
        // The caller is told of the layers' files; archives and downloads come on top.
        freed = freed.max(self.sweep()?.1);
        Ok((removed, freed))
    }

    fn carry_out(&self, plan: &Plan) -> Result<Vec<Removed>> {
        let mut removed = Vec::new();
        {
            let mut state = self.state_mut();
            for name in &plan.names {
                state.names.remove(name);
                removed.push(Removed::Untagged(name.familiar()));
            }
            if !plan.names.is_empty() {
                self.write_names(&state)?;
            }
            if plan.delete {
                let path = self.layout().image(plan.id);
                std::fs::remove_file(&path).at("remove", &path)?;
                state.images.remove(&plan.id);
                removed.push(Removed::Deleted(plan.id.to_string()));
            }
        }
        if plan.delete {
            let (layers, _) = self.sweep()?;
            removed.extend(layers.into_iter().map(|id| Removed::Deleted(id.to_string())));
        }
        Ok(removed)
    }
}

impl State {
    /// Names of an image, tags first.
    fn names_of(&self, id: Digest) -> Vec<Reference> {
        let named = self.names.iter().filter(|(_, named)| **named == id);
        let mut names: Vec<Reference> = named.map(|(name, _)| name.clone()).collect();
        names.sort_by_key(|name| name.digest().is_some());
        names
    }

    fn plan(&self, name: &str, force: bool) -> Result<Plan> {
        let id = self.find(name)?;
        let names = self.names_of(id);
        let reference = Reference::parse(name).ok().filter(|r| {
            self.names.get(r) == Some(&id)
                || r.digest().is_some_and(|d| self.names.get(&r.at_digest(d)) == Some(&id))
        });
        match reference {
            Some(reference) => Ok(by_name(id, &reference, names)),
            None => by_id(id, names, force),
        }
    }
}

/// A name goes. With a repository's last tag its digests go, too, and with the last name the image.
fn by_name(id: Digest, reference: &Reference, names: Vec<Reference>) -> Plan {
    let reference = match (reference.tag(), reference.digest()) {
        (Some(_), Some(digest)) => reference.at_digest(digest),
        _ => reference.clone(),
    };
    let (mut gone, mut kept): (Vec<_>, Vec<_>) =
        names.into_iter().partition(|name| *name == reference);
    let tags_left = kept.iter().any(|n| n.digest().is_none() && same(n, &reference));
    if !tags_left && reference.digest().is_none() {
        let digests: Vec<Reference>;
        (digests, kept) = kept.into_iter().partition(|n| same(n, &reference));
        gone.extend(digests);
    }
    Plan { id, names: gone, delete: kept.is_empty() }
}

/// An image goes, whatever it is called; several names need force.
fn by_id(id: Digest, names: Vec<Reference>, force: bool) -> Result<Plan> {
    let tags: Vec<&Reference> = names.iter().filter(|n| n.digest().is_none()).collect();
    let one_repository = names.first().is_none_or(|first| names.iter().all(|n| same(n, first)));
    let single = tags.len() <= 1 && one_repository;
    if !single && !force {
        return Err(Error::new(
            ErrorKind::Conflict,
            format!(
                "conflict: unable to delete {} (must be forced) - image is referenced in multiple repositories",
                id.short()
            ),
        ));
    }
    Ok(Plan { id, names, delete: true })
}
