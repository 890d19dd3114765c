//! Reads an archive entry by entry.

use std::io::{BufRead, ErrorKind as IoKind};

use super::header::{Header, field};
use super::pax::Pax;
use super::{BLOCK, Entry, Kind, sparse};
use crate::error::{Error, Result};

/// Bytes of one pax header or long name.
const MAX_EXTENSION: u64 = 1 << 20;

/// Extension headers in front of one entry.
const MAX_EXTENSIONS: usize = 64;

/// Bytes after the end of the archive; they count for the digest, so they are read, but not for ever.
const MAX_TRAILER: u64 = 256 << 20;

/// A tar archive being read.
#[derive(Debug)]
pub(crate) struct Reader<R> {
    input: R,
    /// Bytes of the current entry's data not read yet.
    data: u64,
    /// Padding after that data.
    padding: u64,
    /// Path of the current entry, for errors.
    current: Vec<u8>,
}

impl<R: BufRead> Reader<R> {
    /// Starts at the first header.
    pub fn new(input: R) -> Reader<R> {
        Reader { input, data: 0, padding: 0, current: Vec::new() }
    }

    /// The next entry, whatever is left of the last one's data skipped; none at the end.
    pub fn next(&mut self) -> Result<Option<Entry>> {
        self.skip_data()?;
        let mut pax = Pax::default();
        let (mut long_name, mut long_link) = (None, None);
        for _ in 0..MAX_EXTENSIONS {
            let Some(header) = self.header()? else { return Ok(None) };
            match header.type_flag() {
                b'x' | b'X' => {
                    let records = self.extension(&header)?;
                    pax.read(&records)?;
                }
                b'g' | b'V' => drop(self.extension(&header)?),
                b'L' => long_name = Some(self.long_text(&header)?),
                b'K' => long_link = Some(self.long_text(&header)?),
                _ => return self.entry(&header, pax, long_name, long_link).map(Some),
            }
        }
        Err(Error::bad_archive(format!(
            "the archive has more than {MAX_EXTENSIONS} extension headers in front of one entry"
        )))
    }

    /// Data of the current entry, passed on in slices until all is read.
    pub fn copy_data(&mut self, mut sink: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        while self.data > 0 {
            let buffer = fill(&mut self.input)?;
            if buffer.is_empty() {
                return Err(self.truncated());
            }
            let wanted = usize::try_from(self.data).unwrap_or(usize::MAX);
            let part = buffer.get(..wanted.min(buffer.len())).unwrap_or(buffer);
            sink(part)?;
            let length = part.len();
            self.input.consume(length);
            self.data -= length as u64;
        }
        Ok(())
    }

    /// At most `limit` bytes of the current entry's data.
    pub fn read_data(&mut self, limit: u64) -> Result<Vec<u8>> {
        if self.data > limit {
            return Err(Error::bad_entry(
                &self.current,
                format!("it is larger than {limit} bytes"),
            ));
        }
        let mut data = Vec::new();
        self.copy_data(|part| {
            data.extend_from_slice(part);
            Ok(())
        })?;
        Ok(data)
    }

    /// Reads what follows the end of the archive, for the sake of the digest.
    pub fn finish(mut self) -> Result<R> {
        let mut trailer: u64 = 0;
        loop {
            let length = fill(&mut self.input)?.len();
            if length == 0 {
                return Ok(self.input);
            }
            trailer += length as u64;
            if trailer > MAX_TRAILER {
                return Err(Error::bad_archive(format!(
                    "the archive has more than {MAX_TRAILER} bytes after its end"
                )));
            }
            self.input.consume(length);
        }
    }

    /// One entry, from its header and the extensions in front of it.
    fn entry(
        &mut self,
        header: &Header,
        pax: Pax,
        long_name: Option<Vec<u8>>,
        long_link: Option<Vec<u8>>,
    ) -> Result<Entry> {
        let path = pax.path.or(long_name).unwrap_or_else(|| header.name());
        let kind = header.kind(&path);
        self.current.clone_from(&path);
        let mut entry = Entry::new(path, kind);
        entry.link = pax.link.or(long_link).unwrap_or_else(|| header.text(field::LINK).to_vec());
        let mode = header.number(field::MODE)? & 0o7777;
        entry.mode = u32::try_from(mode).unwrap_or(0);
        entry.uid = pax.uid.map_or_else(|| header.unsigned(field::UID), Ok)?;
        entry.gid = pax.gid.map_or_else(|| header.unsigned(field::GID), Ok)?;
        entry.mtime = pax.mtime.map_or_else(|| Ok((header.number(field::MTIME)?, 0)), Ok)?;
        entry.xattrs = pax.xattrs;
        if matches!(kind, Kind::CharDevice | Kind::BlockDevice) {
            entry.device = (
                pax.device.0.map_or_else(|| device(header, field::DEV_MAJOR), Ok)?,
                pax.device.1.map_or_else(|| device(header, field::DEV_MINOR), Ok)?,
            );
        }
        // Links and the like have no data, whatever their size field says.
        if matches!(kind, Kind::File | Kind::Unknown(_)) {
            entry.size = pax.size.map_or_else(|| header.unsigned(field::SIZE), Ok)?;
        }
        entry.real_size = entry.size;
        self.data = entry.size;
        self.padding = padding(entry.size);
        if kind == Kind::File {
            self.sparse(header, pax.sparse, &mut entry)?;
        }
        Ok(entry)
    }

    /// Fills in the sparse map, if the entry has one.
    fn sparse(&mut self, header: &Header, pax: sparse::PaxSparse, entry: &mut Entry) -> Result<()> {
        let extents = if header.type_flag() == b'S' {
            let mut extents = Vec::new();
            let mut more = sparse::old_map(header, &mut extents)?;
            while more {
                more = sparse::old_continuation(&self.block()?, &mut extents)?;
            }
            entry.real_size = header.unsigned(field::GNU_REAL_SIZE)?;
            extents
        } else if pax.present {
            if let Some(name) = pax.name {
                entry.path = name;
            }
            entry.real_size = pax.real_size.unwrap_or(entry.size);
            if pax.map_in_data {
                let (extents, used) = sparse::data_map(|| self.data_block())?;
                entry.size -= used;
                extents
            } else {
                pax.extents
            }
        } else {
            return Ok(());
        };
        sparse::check(&entry.path, &extents, entry.size, entry.real_size)?;
        entry.sparse = Some(extents);
        Ok(())
    }

    /// The next header; none at the end.
    fn header(&mut self) -> Result<Option<Header>> {
        if fill(&mut self.input)?.is_empty() {
            // Some programs leave the closing zero blocks out.
            return Ok(None);
        }
        let header = Header(self.block()?);
        if header.is_zero() {
            return Ok(None);
        }
        if !header.checksum_holds() {
            return Err(Error::bad_archive(
                "not a tar archive, or a damaged one: a header's checksum is wrong",
            ));
        }
        Ok(Some(header))
    }

    /// The data of an extension header.
    fn extension(&mut self, header: &Header) -> Result<Vec<u8>> {
        let size = header.unsigned(field::SIZE)?;
        if size > MAX_EXTENSION {
            return Err(Error::bad_archive(format!(
                "the archive has an extension header of {size} bytes; {MAX_EXTENSION} are allowed"
            )));
        }
        (self.data, self.padding) = (size, padding(size));
        let data = self.read_data(MAX_EXTENSION)?;
        self.skip_data()?;
        Ok(data)
    }

    fn long_text(&mut self, header: &Header) -> Result<Vec<u8>> {
        let mut text = self.extension(header)?;
        let length = super::header::until_nul(&text).len();
        text.truncate(length);
        Ok(text)
    }

    /// One block of the current entry's data.
    fn data_block(&mut self) -> Result<[u8; BLOCK]> {
        self.data = self.data.checked_sub(BLOCK as u64).ok_or_else(|| self.truncated())?;
        self.block()
    }

    /// One block.
    fn block(&mut self) -> Result<[u8; BLOCK]> {
        let mut block = [0; BLOCK];
        self.input.read_exact(&mut block).map_err(|e| match e.kind() {
            IoKind::UnexpectedEof => self.truncated(),
            _ => Error::from_read(e),
        })?;
        Ok(block)
    }

    fn skip_data(&mut self) -> Result<()> {
        self.data += std::mem::take(&mut self.padding);
        self.copy_data(|_| Ok(()))
    }

    fn truncated(&self) -> Error {
        Error::bad_archive(format!(
            "the archive ends in the middle of {:?}",
            String::from_utf8_lossy(&self.current)
        ))
    }
}

/// The buffer, refilled if it was empty; an error of this crate comes out as it was.
fn fill(input: &mut impl BufRead) -> Result<&[u8]> {
    // Asked twice because a buffer returned from a loop would stay borrowed; the second is free.
    loop {
        match input.fill_buf() {
            Ok(_) => break,
            Err(e) if e.kind() == IoKind::Interrupted => {}
            Err(e) => return Err(Error::from_read(e)),
        }
    }
    input.fill_buf().map_err(Error::from_read)
}

fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK as u64
}

fn device(header: &Header, range: std::ops::Range<usize>) -> Result<u32> {
    u32::try_from(header.unsigned(range)?)
        .map_err(|_| Error::bad_entry(header.text(field::NAME), "its device number is too large"))
}
