//! Which containers there are, and what they are called.
//!
//! The one place where names are taken and given back. A lookup finds, in this order: a full id, a name, the unique beginning
//! of an id (Docker's order). Owners take themselves out when they are done.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use tokio::sync::{mpsc, watch};

use super::actions::Action;
use super::record::Snapshot;
use crate::util::lock;
use crate::{Error, Result};

/// How others reach a container: its owner's queue, and what it last published.
#[derive(Clone)]
pub(crate) struct Handle {
    pub id: Arc<str>,
    pub queue: mpsc::UnboundedSender<Action>,
    pub view: watch::Receiver<Arc<Snapshot>>,
}

impl Handle {
    /// What its owner last published.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.view.borrow().clone()
    }

    /// Enqueues; an owner that has ended means that the container was removed meanwhile.
    pub(crate) fn send(&self, action: Action) -> Result<()> {
        self.queue.send(action).map_err(|_| no_such(&self.id))
    }
}

/// The error for a container that is not there.
pub(crate) fn no_such(r: &str) -> Error {
    Error::not_found(format!("No such container: {r}"))
}

#[derive(Default)]
struct Tables {
    containers: BTreeMap<Arc<str>, Handle>,
    names: HashMap<String, Arc<str>>,
}

/// The registry.
#[derive(Default)]
pub(crate) struct Registry {
    tables: Mutex<Tables>,
}

impl Registry {
    /// Takes a name for an id, or says who has it.
    pub(crate) fn take_name(&self, name: &str, id: &str) -> Result<()> {
        let mut tables = lock(&self.tables);
        if let Some(holder) = tables.names.get(name) {
            if &**holder == id {
                return Ok(());
            }
            return Err(Error::conflict(format!(
                "Conflict. The container name \"/{name}\" is already in use by container \"{holder}\". You have to remove (or \
                 rename) that container to be able to reuse that name."
            )));
        }
        tables.names.insert(name.to_string(), id.into());
        Ok(())
    }

    /// Gives a name back, if the id has it.
    pub(crate) fn give_name_back(&self, name: &str, id: &str) {
        let mut tables = lock(&self.tables);
        if tables.names.get(name).is_some_and(|holder| &**holder == id) {
            tables.names.remove(name);
        }
    }

    pub(crate) fn add(&self, handle: Handle) {
        lock(&self.tables).containers.insert(handle.id.clone(), handle);
    }

    /// Takes a container and its name out.
    pub(crate) fn remove(&self, id: &str, name: &str) {
        let mut tables = lock(&self.tables);
        tables.containers.remove(id);
        if tables.names.get(name).is_some_and(|holder| &**holder == id) {
            tables.names.remove(name);
        }
    }

    /// All of them, in no particular order.
    pub(crate) fn all(&self) -> Vec<Handle> {
        lock(&self.tables).containers.values().cloned().collect()
    }

    /// By full id, name (with or without slash) or the unique beginning of an id.
    pub(crate) fn find(&self, r: &str) -> Result<Handle> {
        let tables = lock(&self.tables);
        let name = r.strip_prefix('/').unwrap_or(r);
        if let Some(handle) = tables.containers.get(r) {
            return Ok(handle.clone());
        }
        if let Some(handle) = tables.names.get(name).and_then(|id| tables.containers.get(id)) {
            return Ok(handle.clone());
        }
        if r.is_empty() || !r.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(no_such(r));
        }
        let mut matching = tables
            .containers
            .range::<str, _>((std::ops::Bound::Included(r), std::ops::Bound::Unbounded))
            .take_while(|(id, _)| id.starts_with(r));
        match (matching.next(), matching.next()) {
            (Some((_, handle)), None) => Ok(handle.clone()),
            (Some(_), Some(_)) => {
                Err(Error::invalid(format!("Multiple IDs found with provided prefix: {r}")))
            }
            _ => Err(no_such(r)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_holder() {
        let registry = Registry::default();
        registry.take_name("web", "a1").unwrap();
        registry.take_name("web", "a1").unwrap();
        let error = registry.take_name("web", "b2").unwrap_err();
        assert!(error.message().starts_with(
            "Conflict. The container name \"/web\" is already in use by container \"a1\"."
        ));
        registry.give_name_back("web", "b2");
        assert!(registry.take_name("web", "b2").is_err());
        registry.give_name_back("web", "a1");
        registry.take_name("web", "b2").unwrap();
    }

    #[test]
    fn an_unknown_container_is_named_as_it_was_asked_for() {
        let error = Registry::default().find("nosuch").err().unwrap();
        assert_eq!(error.message(), "No such container: nosuch");
    }
}
