//! Which namespaces a spec wants: new ones, joined ones, or the caller's.
//!
//! A namespace is owned by the user namespace in which it was made, and only capabilities there count for it. So a
//! container that joins the network (or pid, or ipc) namespace of another must be in that one's user namespace too:
//! in a sibling it could not even bind port 80. [`Plan::of_spec`] therefore looks up the owner of what is
//! joined (NS_GET_USERNS, Linux 4.9) and joins it in place of making a new user namespace.

use std::os::fd::{AsFd, OwnedFd};

use bryo_sys::ns::{self, Kind};
use oci_spec::runtime::{LinuxNamespaceType, Spec};

use crate::error::{Error, Result, plain};
use crate::handles::same;

/// The namespaces of a container to be.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Made by clone.
    pub(crate) new: Vec<Kind>,
    /// Joined before the clone, in this order.
    pub(crate) joined: Vec<(Kind, OwnedFd)>,
}

impl Plan {
    /// Reads the spec's list and opens what is joined.
    pub(crate) fn of_spec(spec: &Spec) -> Result<Plan> {
        let list = spec.linux().as_ref().and_then(|l| l.namespaces().as_ref());
        let mut plan = Plan { new: Vec::new(), joined: Vec::new() };
        for namespace in list.into_iter().flatten() {
            let kind = kind(namespace.typ())?;
            if plan.new.contains(&kind) || plan.joined.iter().any(|(k, _)| *k == kind) {
                return Err(Error::bad(format!("the {} namespace is listed twice", kind.file())));
            }
            match namespace.path() {
                None => plan.new.push(kind),
                Some(path) if kind == Kind::Mount => {
                    return Err(Error::bad(format!(
                        "joining the mount namespace {} is not possible: a container always has its own",
                        path.display()
                    )));
                }
                Some(path) => {
                    let fd = ns::open(path).map_err(|e| {
                        Error::other(format!(
                            "joining the {} namespace {}: {} (is that container still running?)",
                            kind.file(),
                            path.display(),
                            plain(&e)
                        ))
                    })?;
                    plan.joined.push((kind, fd));
                }
            }
        }
        if !plan.new.contains(&Kind::Mount) {
            return Err(Error::bad(
                "the spec has no mount namespace; a container always has its own",
            ));
        }
        plan.follow_owner()?;
        // The user namespace last: with it the rights over the others are gone.
        plan.joined.sort_by_key(|(kind, _)| *kind == Kind::User);
        Ok(plan)
    }

    /// Whether a new namespace of `kind` is made.
    pub(crate) fn makes(&self, kind: Kind) -> bool {
        self.new.contains(&kind)
    }

    /// Whether a namespace of `kind` is joined.
    pub(crate) fn joins(&self, kind: Kind) -> bool {
        self.joined.iter().any(|(k, _)| *k == kind)
    }

    /// Joins the user namespace that owns the first joined one, if it is not the caller's.
    fn follow_owner(&mut self) -> Result<()> {
        if self.joins(Kind::User) || !self.makes(Kind::User) {
            return Ok(());
        }
        let own = ns::current(Kind::User)
            .map_err(|e| Error::other(format!("opening my user namespace: {}", plain(&e))))?;
        for index in 0..self.joined.len() {
            let Some((kind, fd)) = self.joined.get(index) else { break };
            // EPERM: the owner is out of our sight, an ancestor (the host's network, say).
            let Ok(owner) = ns::owner(fd) else { continue };
            if *kind != Kind::User && !same(owner.as_fd(), own.as_fd())? {
                self.new.retain(|k| *k != Kind::User);
                self.joined.push((Kind::User, owner));
                return Ok(());
            }
        }
        Ok(())
    }
}

fn kind(typ: LinuxNamespaceType) -> Result<Kind> {
    Ok(match typ {
        LinuxNamespaceType::User => Kind::User,
        LinuxNamespaceType::Mount => Kind::Mount,
        LinuxNamespaceType::Network => Kind::Net,
        LinuxNamespaceType::Pid => Kind::Pid,
        LinuxNamespaceType::Ipc => Kind::Ipc,
        LinuxNamespaceType::Uts => Kind::Uts,
        LinuxNamespaceType::Cgroup => Kind::Cgroup,
        LinuxNamespaceType::Time => {
            return Err(Error::bad(
                "time namespaces are not supported; leave them out of the spec",
            ));
        }
    })
}
