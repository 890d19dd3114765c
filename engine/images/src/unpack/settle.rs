//! A layer unpacked on its own takes its place on top of the layers below it.
//!
//! Two kinds of loose ends are tied up here, when the lower layers are there:
//! * a folder that the archive did not mention takes owner, mode, time and attributes of the folder
//!   below it, because overlayfs shows the upper folder's. If there is a symlink below instead (as
//!   `/lib` on merged-usr systems), what the layer has in it moves to where the symlink leads;
//! * a hard link to a file of a lower layer copies that file up first, as overlayfs would.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Stat, Uid};
use rustix::io::Errno;

use super::Applied;
use super::attributes::{OPAQUE, wanted};
use super::folders::{name_of, split};
use crate::error::{At, Error, Result};
use crate::merged::{Found, Merged, is_symlink, names_in, open_root, stat_at};
use crate::tree::copy;

/// Ties up the loose ends of the layer in `dir`. `lowers` has the topmost layer first.
pub(crate) fn settle(dir: &Path, applied: &Applied, lowers: &[PathBuf]) -> Result<()> {
    if !applied.needs_lower() || lowers.is_empty() && applied.links_below.is_empty() {
        return Ok(());
    }
    let layer = Layer { root: open_root(dir)?, below: Merged::open(lowers)? };
    let mut implicit: BTreeSet<Vec<u8>> = applied.implicit.clone();
    // Parents sort before their children, so a moved parent is moved when its children come up.
    while let Some(path) = implicit.pop_first() {
        let names = split(&path)?;
        match layer.below.lookup(&names)? {
            Some(Found::Folder(folders)) => {
                if let Some(below) = folders.first() {
                    layer.adopt(&names, below)?;
                }
            }
            Some(Found::Other(_, stat)) if is_symlink(&stat) => {
                if let Some(target) = layer.below.resolve_folder(&names)? {
                    layer.move_to(&names, &target)?;
                    rename_prefix(&mut implicit, &path, &target.join(&b'/'));
                }
            }
            _ => {}
        }
    }
    for (name, target) in &applied.links_below {
        layer.link_below(name, target)?;
    }
    Ok(())
}

/// Paths below a moved folder go with it.
fn rename_prefix(paths: &mut BTreeSet<Vec<u8>>, from: &[u8], to: &[u8]) {
    let prefix = [from, b"/"].concat();
    let moved: Vec<Vec<u8>> = paths.iter().filter(|p| p.starts_with(&prefix)).cloned().collect();
    for path in moved {
        paths.remove(&path);
        let rest = path.get(prefix.len()..).unwrap_or_default();
        paths.insert([to, b"/", rest].concat());
    }
}

struct Layer {
    root: OwnedFd,
    below: Merged,
}

impl Layer {
    /// A folder of this layer; none if it is not there (any more).
    fn folder(&self, names: &[&[u8]]) -> Result<Option<OwnedFd>> {
        let mut fd = self.root.try_clone().at("open", "the layer")?;
        for name in names {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            fd = match rustix::fs::openat(&fd, *name, flags, Mode::empty()) {
                Ok(fd) => fd,
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
                Err(e) => return Err(Error::io("open", name_of(name), e)),
            };
        }
        Ok(Some(fd))
    }

    /// Gives a folder of this layer the attributes of the one below.
    fn adopt(&self, names: &[&[u8]], below: &OwnedFd) -> Result<()> {
        let Some(folder) = self.folder(names)? else { return Ok(()) };
        copy_folder_attributes(below, &folder, &names.join(&b'/'))
    }

    /// Makes a folder of this layer with all its parents, with the attributes they have below.
    fn make_folder(&self, names: &[Vec<u8>]) -> Result<OwnedFd> {
        let mut fd = self.root.try_clone().at("open", "the layer")?;
        for end in 0..names.len() {
            let path: Vec<&[u8]> =
                names.get(..=end).unwrap_or_default().iter().map(Vec::as_slice).collect();
            let Some(name) = path.last() else { break };
            match rustix::fs::mkdirat(&fd, *name, Mode::from(0o755)) {
                Ok(()) => {
                    let made = open_folder(&fd, name)?;
                    if let Some(Found::Folder(below)) = self.below.lookup(&path)? {
                        if let Some(below) = below.first() {
                            copy_folder_attributes(below, &made, name)?;
                        }
                    }
                    fd = made;
                }
                Err(Errno::EXIST) => fd = open_folder(&fd, name)?,
                Err(e) => return Err(Error::io("make the folder", name_of(name), e)),
            }
        }
        Ok(fd)
    }

    /// Moves what is in folder `from` into folder `to` (which the layers below have).
    fn move_to(&self, from: &[&[u8]], to: &[Vec<u8>]) -> Result<()> {
        let Some((name, parents)) = from.split_last() else { return Ok(()) };
        let (Some(source), Some(parent)) = (self.folder(from)?, self.folder(parents)?) else {
            return Ok(());
        };
        // A link that leads into the folder itself would move a folder into itself.
        if to.len() >= from.len() && to.iter().zip(from).all(|(a, b)| a == b) {
            return Ok(());
        }
        let target = self.make_folder(to)?;
        merge(&source, &target)?;
        rustix::fs::unlinkat(&parent, *name, AtFlags::REMOVEDIR).at("remove", name_of(name))
    }

    /// Makes a hard link to a file of the layers below, which is copied up first.
    fn link_below(&self, name: &[u8], target: &[u8]) -> Result<()> {
        let target_names = split(target)?;
        let missing = || {
            let text = String::from_utf8_lossy(target);
            Error::bad_entry(name, format!("it is a hard link to {text:?}, which does not exist"))
        };
        let (target_name, target_parents) = target_names.split_last().ok_or_else(missing)?;
        let owned: Vec<Vec<u8>> = target_parents.iter().map(|n| n.to_vec()).collect();
        let found = self.below.lookup(&target_names)?;
        let Some(Found::Other(file, stat)) = found else { return Err(missing()) };
        let folder = self.make_folder(&owned)?;
        if stat_at(folder.as_fd(), target_name).at("look at", name_of(target))?.is_none() {
            copy::node(&file, &stat, folder.as_fd(), target_name)?;
        }
        let names = split(name)?;
        let Some((link_name, link_parents)) = names.split_last() else { return Err(missing()) };
        let Some(link_folder) = self.folder(link_parents)? else { return Err(missing()) };
        crate::tree::remove_at(link_folder.as_fd(), link_name).at("replace", name_of(name))?;
        rustix::fs::linkat(&folder, *target_name, &link_folder, *link_name, AtFlags::empty())
            .at("make the hard link", name_of(name))
    }
}

/// Moves every entry of `source` into `target`, folder into folder.
fn merge(source: &OwnedFd, target: &OwnedFd) -> Result<()> {
    for name in names_in(source.as_fd())? {
        let is_folder = |stat: Option<Stat>| {
            stat.is_some_and(|s| FileType::from_raw_mode(s.st_mode) == FileType::Directory)
        };
        let there = is_folder(stat_at(target.as_fd(), &name).at("look at", name_of(&name))?);
        let here = is_folder(stat_at(source.as_fd(), &name).at("look at", name_of(&name))?);
        if here && there {
            merge(&open_folder(source, &name)?, &open_folder(target, &name)?)?;
            rustix::fs::unlinkat(source, name.as_slice(), AtFlags::REMOVEDIR)
                .at("remove", name_of(&name))?;
        } else {
            if there {
                crate::tree::remove_at(target.as_fd(), &name).at("replace", name_of(&name))?;
            }
            rustix::fs::renameat(source, name.as_slice(), target, name.as_slice())
                .at("move", name_of(&name))?;
        }
    }
    Ok(())
}

fn open_folder(parent: &OwnedFd, name: &[u8]) -> Result<OwnedFd> {
    super::folders::open_folder(parent.as_fd(), name).at("open", name_of(name))
}

/// Owner, mode, times and attributes of a folder, but not whether it is opaque.
pub(crate) fn copy_folder_attributes(from: &OwnedFd, to: &OwnedFd, path: &[u8]) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let target = rustix::fs::openat(to, c".", flags, Mode::empty()).at("open", name_of(path))?;
    let stat = rustix::fs::fstat(from).at("look at", name_of(path))?;
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    rustix::fs::fchown(&target, Some(uid), Some(gid)).at("set the owner of", name_of(path))?;
    rustix::fs::fchmod(&target, Mode::from(stat.st_mode & 0o7777))
        .at("set the mode of", name_of(path))?;
    copy::xattrs(from, &target, |name| wanted(name) && name != OPAQUE.as_bytes())?;
    rustix::fs::futimens(&target, &copy::times(&stat)).at("set the time of", name_of(path))
}
