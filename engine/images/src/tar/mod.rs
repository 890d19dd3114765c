//! Tar archives, read and written: ustar, GNU (long names, base-256 numbers, sparse files) and pax
//! (long names and numbers, fractional times, extended attributes, sparse 0.0, 0.1 and 1.0).
//!
//! The reader works on a [`std::io::BufRead`] and hands file data out as slices of its buffer, so
//! that a layer's bytes are copied once, by `write(2)`. Archives are hostile: every length is bounded
//! before memory is taken for it, and nothing here touches the filesystem.

pub(crate) mod header;
mod pax;
pub(crate) mod reader;
mod sparse;
pub(crate) mod writer;

pub(crate) use reader::Reader;
pub(crate) use writer::Writer;

/// Size of headers, and what data is padded to.
pub(crate) const BLOCK: usize = 512;

/// What an entry makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A regular file.
    File,
    /// A further name for an earlier file.
    HardLink,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A folder.
    Folder,
    /// A named pipe.
    Fifo,
    /// A type that no standard names, with its letter: its data is to be skipped.
    Unknown(u8),
}

/// A part of a sparse file that has data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Where in the file.
    pub offset: u64,
    /// How many bytes.
    pub length: u64,
}

/// One entry, extensions already merged in.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// As written; may end in a slash, may be hostile.
    pub path: Vec<u8>,
    /// What it makes.
    pub kind: Kind,
    /// Permission bits (07777).
    pub mode: u32,
    /// Owner.
    pub uid: u64,
    /// Group.
    pub gid: u64,
    /// Bytes of data in the archive.
    pub size: u64,
    /// Bytes of the file; differs from `size` for sparse files.
    pub real_size: u64,
    /// Seconds since the epoch, nanoseconds.
    pub mtime: (i64, u32),
    /// Target of a link, as written.
    pub link: Vec<u8>,
    /// Device numbers.
    pub device: (u32, u32),
    /// Extended attributes: name, value.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Where the data goes in a sparse file; none: all of it.
    pub sparse: Option<Vec<Extent>>,
}

impl Entry {
    /// An entry of a kind, everything else zero; for writing.
    pub fn new(path: Vec<u8>, kind: Kind) -> Entry {
        Entry {
            path,
            kind,
            mode: 0,
            uid: 0,
            gid: 0,
            size: 0,
            real_size: 0,
            mtime: (0, 0),
            link: Vec::new(),
            device: (0, 0),
            xattrs: Vec::new(),
            sparse: None,
        }
    }
}
