//! An archive is unpacked into a tree that exists: `docker cp` into a container.
//!
//! Unlike a layer's folder, the tree has symlinks that mean something (`/var/run` → `/run`), so
//! parents are resolved by `openat2` inside the root. An archive cannot reach out of the root even if
//! it brings its own symlinks, and may not climb out of the destination by name.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;

use std::path::PathBuf;

use bryo_sys::rooted::Root;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::ExtractOptions;
use crate::error::{At, Error, ErrorKind, Result};
use crate::merged::stat_at;
use crate::tar::{Entry, Kind, Reader};
use crate::unpack::attributes::{Fresh, Owners, set_at, set_on_fd, set_times};
use crate::unpack::entry::write_data;
use crate::unpack::folders::{name_of, split};

/// Unpacks an archive (compressed or not) into the folder `path`.
pub fn extract(
    tar: impl Read + Send,
    root: &Root,
    path: &str,
    options: &ExtractOptions,
) -> Result<()> {
    let folder = root.open_dir(path).at("open", path)?;
    let stat = rustix::fs::fstat(&folder).at("look at", path)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        return Err(Error::new(ErrorKind::InvalidRequest, "extraction point is not a directory"));
    }
    let work = |chunks: &mut crate::unpack::inflate::Chunks| {
        let mut extraction = Extraction {
            root,
            base: path.trim_end_matches('/').as_bytes().to_vec(),
            options,
            owners: Owners::new(&options.ids),
            folder_times: Vec::new(),
        };
        let mut reader = Reader::new(chunks);
        while let Some(entry) = reader.next()? {
            extraction.entry(&mut reader, &entry)?;
        }
        reader.finish()?;
        extraction.finish()
    };
    crate::unpack::inflate::pipeline(tar, work).map(drop)
}

struct Extraction<'a> {
    root: &'a Root,
    /// Where it goes, inside the root.
    base: Vec<u8>,
    options: &'a ExtractOptions,
    owners: Owners<'a>,
    folder_times: Vec<(Vec<u8>, (i64, u32))>,
}

impl Extraction<'_> {
    fn entry(&mut self, reader: &mut Reader<impl BufRead>, entry: &Entry) -> Result<()> {
        let names = split(&entry.path)?;
        // The destination itself stays as it is.
        let Some((name, parents)) = names.split_last() else { return Ok(()) };
        let owner = match self.options.owner {
            // In single-id mode there is only one owner to have.
            Some(owner) if !self.options.ids.single => owner,
            _ => self.owners.of(entry)?,
        };
        let parent = self.parent(entry, parents)?;
        let parent = parent.as_fd();
        if !self.make_room(parent, name, entry)? {
            // A folder is there already: it keeps its content and takes the entry's attributes.
            return self.folder_attributes(parent, name, entry, owner, &names);
        }
        let what = || name_of(&entry.path);
        match entry.kind {
            Kind::Folder => {
                rustix::fs::mkdirat(parent, *name, Mode::RWXU).at("make the folder", what())?;
                self.folder_attributes(parent, name, entry, owner, &names)
            }
            Kind::File => file(reader, parent, name, entry, owner),
            Kind::Symlink => {
                rustix::fs::symlinkat(entry.link.as_slice(), parent, *name)
                    .at("make the symlink", what())?;
                set_at(parent, name, entry, owner)
            }
            Kind::Fifo => {
                let mode = Mode::from(entry.mode);
                rustix::fs::mknodat(parent, *name, FileType::Fifo, mode, 0)
                    .at("make the pipe", what())?;
                set_at(parent, name, entry, owner)
            }
            Kind::HardLink => self.hard_link(parent, name, entry),
            Kind::CharDevice | Kind::BlockDevice => Err(Error::bad_entry(
                &entry.path,
                "it is a device, which only the host's root may make",
            )),
            Kind::Unknown(_) => Ok(()),
        }
    }

    /// The parent folder, made if it is missing.
    fn parent(&self, entry: &Entry, parents: &[&[u8]]) -> Result<OwnedFd> {
        let path = self.below(parents);
        self.root.mkdir_p(path, Mode::from(0o755)).at("make the parent of", name_of(&entry.path))
    }

    fn below(&self, names: &[&[u8]]) -> PathBuf {
        let path = [self.base.as_slice(), b"/", &names.join(&b'/')].concat();
        OsString::from_vec(path).into()
    }

    /// Removes what is in the way; `false` if a folder is to stay.
    fn make_room(&self, parent: BorrowedFd<'_>, name: &[u8], entry: &Entry) -> Result<bool> {
        let Some(stat) = stat_at(parent, name).at("look at", name_of(&entry.path))? else {
            return Ok(true);
        };
        let there = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        let comes = entry.kind == Kind::Folder;
        if there && comes {
            return Ok(false);
        }
        if there != comes && self.options.no_overwrite_dir_non_dir {
            let (old, new) =
                if there { ("directory", "non-directory") } else { ("non-directory", "directory") };
            let text = name_of(&entry.path);
            return Err(Error::new(
                ErrorKind::InvalidRequest,
                format!("cannot overwrite {old} {text:?} with {new} {text:?}"),
            ));
        }
        super::remove_at(parent, name).at("replace", name_of(&entry.path))?;
        Ok(true)
    }

    fn folder_attributes(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &[u8],
        entry: &Entry,
        owner: (u32, u32),
        names: &[&[u8]],
    ) -> Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(parent, name, flags, Mode::empty())
            .at("open the folder", name_of(&entry.path))?;
        set_on_fd(fd.as_fd(), entry, owner, Fresh::default(), &mut Vec::new())?;
        self.folder_times.push((names.join(&b'/'), entry.mtime));
        Ok(())
    }

    /// The target is a name in the archive, thus below the destination.
    fn hard_link(&self, parent: BorrowedFd<'_>, name: &[u8], entry: &Entry) -> Result<()> {
        let target = split(&entry.link)
            .map_err(|_| Error::bad_entry(&entry.path, "it is a hard link out of the archive"))?;
        let (folder, target) = self
            .root
            .parent(self.below(&target))
            .at("find the target of the hard link", name_of(&entry.path))?;
        rustix::fs::linkat(&folder, target, parent, name, AtFlags::empty())
            .at("make the hard link", name_of(&entry.path))
    }

    fn finish(self) -> Result<()> {
        for (path, mtime) in &self.folder_times {
            let names = split(path)?;
            match self.root.open_dir(self.below(&names)) {
                Ok(fd) => set_times(fd.as_fd(), path, *mtime)?,
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => return Err(Error::io("open", name_of(path), e)),
            }
        }
        Ok(())
    }
}

fn file(
    reader: &mut Reader<impl BufRead>,
    parent: BorrowedFd<'_>,
    name: &[u8],
    entry: &Entry,
    owner: (u32, u32),
) -> Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = match rustix::fs::openat(parent, name, flags, Mode::RUSR | Mode::WUSR) {
        Err(Errno::ROFS) => {
            return Err(Error::new(ErrorKind::Conflict, "container rootfs is marked read-only"));
        }
        other => other.at("make the file", name_of(&entry.path))?,
    };
    let mut file = File::from(fd);
    write_data(reader, entry, &mut file)?;
    set_on_fd(file.as_fd(), entry, owner, Fresh::default(), &mut Vec::new())?;
    set_times(file.as_fd(), &entry.path, entry.mtime)
}
