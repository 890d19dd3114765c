//! A tree becomes a tar archive.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use bryo_sys::rooted::Root;
use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::copy::{open_data, read_xattrs};
use super::walk::{Visitor, walk};
use crate::error::{At, Error, Result};
use crate::merged::read_link;
use crate::tar::{Entry, Kind, Writer};
use crate::unpack::attributes::{is_opaque, wanted};
use crate::unpack::entry::{OPAQUE_ENTRY, WHITEOUT, is_whiteout};
use crate::unpack::folders::name_of;

/// Writes a whole root filesystem; names are relative, the root itself has no entry.
pub fn export(root: &Root, out: impl Write) -> Result<()> {
    let mut archiver = Archiver::new(out, Vec::new(), false);
    let folder = root.open_dir("/").at("open", "/")?;
    walk(folder.as_fd(), &mut archiver)?;
    archiver.finish()
}

/// Writes the upper folder of an overlay as a layer: whiteouts as `.wh.` entries.
pub(crate) fn layer(upper: BorrowedFd<'_>, out: impl Write) -> Result<()> {
    let mut archiver = Archiver::new(out, Vec::new(), true);
    walk(upper, &mut archiver)?;
    archiver.finish()
}

/// Writes `path` for `docker cp`. Names begin with the path's last name (`/` for the root; `.` for a
/// path that ends in `/.`). A final symlink is archived itself, unless the path ends in a slash or
/// `/.`.
pub fn write_tar(root: &Root, path: &str, out: impl Write) -> Result<()> {
    let opened = super::open_as_named(root, path)?;
    let stat = rustix::fs::fstat(&opened).at("look at", path)?;
    let base = super::base_name(path);
    let mut archiver = Archiver::new(out, Vec::new(), false);
    archiver.add(base.as_bytes(), &opened, &stat)?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        archiver.prefix = base.into_bytes();
        walk(opened.as_fd(), &mut archiver)?;
    }
    archiver.finish()
}

struct Archiver<W: Write> {
    out: Writer<W>,
    /// Goes in front of every name.
    prefix: Vec<u8>,
    /// Whiteouts and opaque folders are written as a layer's.
    as_layer: bool,
    /// Files with several names that have been written: under which.
    links: HashMap<(u64, u64), Vec<u8>>,
}

impl<W: Write> Archiver<W> {
    fn new(out: W, prefix: Vec<u8>, as_layer: bool) -> Archiver<W> {
        Archiver { out: Writer::new(out), prefix, as_layer, links: HashMap::new() }
    }

    fn finish(self) -> Result<()> {
        self.out.finish().map(drop)
    }

    /// Writes one thing, held by an `O_PATH` descriptor. Sockets are left out.
    fn add(&mut self, name: &[u8], fd: &OwnedFd, stat: &Stat) -> Result<()> {
        let kind = FileType::from_raw_mode(stat.st_mode);
        let mut entry = Entry::new(name.to_vec(), Kind::File);
        entry.mode = stat.st_mode & 0o7777;
        (entry.uid, entry.gid) = (stat.st_uid.into(), stat.st_gid.into());
        entry.mtime = (stat.st_mtime, 0);
        entry.kind = match kind {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Folder,
            FileType::Symlink => Kind::Symlink,
            FileType::Fifo => Kind::Fifo,
            FileType::CharacterDevice => Kind::CharDevice,
            FileType::BlockDevice => Kind::BlockDevice,
            _ => return Ok(()),
        };
        match entry.kind {
            Kind::Folder if !entry.path.ends_with(b"/") => entry.path.push(b'/'),
            Kind::Symlink => entry.link = read_link(fd)?,
            Kind::CharDevice | Kind::BlockDevice => {
                entry.device = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
            }
            _ => {}
        }
        if entry.kind == Kind::File && stat.st_nlink > 1 {
            if let Some(first) = self.links.get(&(stat.st_dev, stat.st_ino)) {
                entry.kind = Kind::HardLink;
                entry.link.clone_from(first);
                return self.out.entry(&entry);
            }
            self.links.insert((stat.st_dev, stat.st_ino), entry.path.clone());
        }
        if matches!(entry.kind, Kind::File | Kind::Folder) {
            entry.xattrs = read_xattrs(fd.as_fd(), wanted)?;
        }
        if entry.kind != Kind::File {
            return self.out.entry(&entry);
        }
        let file = File::from(open_data(fd, name)?);
        entry.size = u64::try_from(stat.st_size).unwrap_or(0);
        self.out.entry(&entry)?;
        self.out.data_from(file)
    }

    /// `.wh.NAME` in the folder of `path`.
    fn whiteout(&mut self, path: &[u8], name: &[u8]) -> Result<()> {
        let folder = path.get(..path.len() - name.len()).unwrap_or_default();
        let mut entry = Entry::new([folder, WHITEOUT, name].concat(), Kind::File);
        entry.mode = 0o600;
        self.out.entry(&entry)
    }

    fn full_name(&self, path: &[u8]) -> Vec<u8> {
        match self.prefix.as_slice() {
            b"" => path.to_vec(),
            prefix if prefix.ends_with(b"/") => [prefix, path].concat(),
            prefix => [prefix, b"/", path].concat(),
        }
    }
}

impl<W: Write> Visitor for Archiver<W> {
    fn visit(
        &mut self,
        path: &[u8],
        folder: BorrowedFd<'_>,
        name: &[u8],
        stat: &Stat,
    ) -> Result<bool> {
        let full = self.full_name(path);
        if self.as_layer && is_whiteout(stat) {
            return self.whiteout(&full, name).map(|()| false);
        }
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = match rustix::fs::openat(folder, name, flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(false),
            other => other.at("open", name_of(path))?,
        };
        // The stat of what was opened, which may not be what the name was a moment ago.
        let stat = rustix::fs::fstat(&fd).at("look at", name_of(path))?;
        self.add(&full, &fd, &stat)?;
        let is_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        if self.as_layer && is_folder && is_opaque(fd.as_fd()) {
            let mut entry = Entry::new([&full, &b"/"[..], OPAQUE_ENTRY].concat(), Kind::File);
            entry.mode = 0o600;
            self.out.entry(&entry)?;
        }
        Ok(true)
    }
}

/// The error of a path that is not there, in Docker's words.
pub(crate) fn not_found(path: &str) -> Error {
    Error::new(
        crate::ErrorKind::NotFound,
        format!("Could not find the file {path} in the container"),
    )
}
