//! The four ways in which GNU tar writes files with holes.
//!
//! * old: the map is in the header of type `S` and in blocks that follow it;
//! * pax 0.0: repeated `GNU.sparse.offset` and `numbytes` records;
//! * pax 0.1: one `GNU.sparse.map` record, `offset,length,…`;
//! * pax 1.0: decimal lines at the beginning of the data, padded to a block.

use super::header::{Header, field, number};
use super::pax::decimal;
use super::{BLOCK, Extent};
use crate::error::{Error, Result};

/// Extents of one file, at most; GNU tar itself writes far fewer.
const MAX_EXTENTS: usize = 1 << 20;

/// What pax records say of sparseness.
#[derive(Debug, Default)]
pub(crate) struct PaxSparse {
    /// The format is 1.0: the map is in front of the data.
    pub map_in_data: bool,
    /// The file's name (the entry's is made up).
    pub name: Option<Vec<u8>>,
    /// The file's size.
    pub real_size: Option<u64>,
    /// The map of formats 0.0 and 0.1.
    pub extents: Vec<Extent>,
    /// A 0.0 offset whose length has not come yet.
    pending: Option<u64>,
    /// Any record at all was there.
    pub present: bool,
}

impl PaxSparse {
    /// Takes one record in; `None` if it is malformed.
    pub fn set(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        self.present = true;
        match key {
            b"GNU.sparse.major" => self.map_in_data = decimal(value)? == 1,
            b"GNU.sparse.name" => self.name = Some(value.to_vec()),
            b"GNU.sparse.realsize" | b"GNU.sparse.size" => self.real_size = Some(decimal(value)?),
            b"GNU.sparse.offset" => self.pending = Some(decimal(value)?),
            b"GNU.sparse.numbytes" => {
                let offset = self.pending.take()?;
                self.push(Extent { offset, length: decimal(value)? })?;
            }
            b"GNU.sparse.map" => {
                self.extents.clear();
                let mut numbers = value.split(|b| *b == b',');
                while let Some(offset) = numbers.next() {
                    let (offset, length) = (decimal(offset)?, decimal(numbers.next()?)?);
                    self.push(Extent { offset, length })?;
                }
            }
            _ => {}
        }
        Some(())
    }

    fn push(&mut self, extent: Extent) -> Option<()> {
        (self.extents.len() < MAX_EXTENTS).then(|| self.extents.push(extent))
    }
}

/// Extents of one block of the old format; `true` if another block follows.
pub(crate) fn old_map(header: &Header, extents: &mut Vec<Extent>) -> Result<bool> {
    old_extents(header.bytes(field::GNU_SPARSE), extents)?;
    Ok(header.0.get(field::GNU_EXTENDED).is_some_and(|b| *b != 0))
}

/// The same for a continuation block: 21 extents, then the mark.
pub(crate) fn old_continuation(block: &[u8; BLOCK], extents: &mut Vec<Extent>) -> Result<bool> {
    old_extents(block.get(..504).unwrap_or_default(), extents)?;
    Ok(block.get(504).is_some_and(|b| *b != 0))
}

fn old_extents(bytes: &[u8], extents: &mut Vec<Extent>) -> Result<()> {
    for pair in bytes.chunks_exact(24) {
        let (offset, length) = pair.split_at(12);
        if offset.first() == Some(&0) {
            break;
        }
        let value = |bytes| number(bytes).and_then(|n| u64::try_from(n).ok());
        match (value(offset), value(length)) {
            (Some(offset), Some(length)) if extents.len() < MAX_EXTENTS => {
                extents.push(Extent { offset, length });
            }
            _ => return Err(Error::bad_archive("the archive has a malformed sparse map")),
        }
    }
    Ok(())
}

/// Reads the map of format 1.0 from the data; `next` gives its blocks. The result tells how many
/// bytes of data the map took.
pub(crate) fn data_map(
    mut next: impl FnMut() -> Result<[u8; BLOCK]>,
) -> Result<(Vec<Extent>, u64)> {
    let malformed = || Error::bad_archive("the archive has a malformed sparse map");
    let (mut block, mut at, mut used) = (next()?, 0, BLOCK as u64);
    let mut line = || -> Result<u64> {
        let mut digits = Vec::new();
        loop {
            if at == BLOCK {
                (block, at) = (next()?, 0);
                used += BLOCK as u64;
            }
            let byte = *block.get(at).ok_or_else(malformed)?;
            at += 1;
            match byte {
                b'\n' => return decimal(&digits).ok_or_else(malformed),
                _ if digits.len() < 20 => digits.push(byte),
                _ => return Err(malformed()),
            }
        }
    };
    let count = usize::try_from(line()?).map_err(|_| malformed())?;
    if count > MAX_EXTENTS {
        return Err(malformed());
    }
    let mut extents = Vec::new();
    for _ in 0..count {
        extents.push(Extent { offset: line()?, length: line()? });
    }
    Ok((extents, used))
}

/// Checks that extents ascend, stay inside the file, and together are the data that is there.
pub(crate) fn check(path: &[u8], extents: &[Extent], data: u64, real_size: u64) -> Result<()> {
    let mut end = 0;
    let mut total: u64 = 0;
    for extent in extents {
        let stop = extent.offset.checked_add(extent.length);
        match stop {
            Some(stop) if extent.offset >= end && stop <= real_size => end = stop,
            _ => return Err(Error::bad_entry(path, "its sparse map does not fit the file")),
        }
        total = total.saturating_add(extent.length);
    }
    if total != data {
        return Err(Error::bad_entry(path, "its sparse map does not fit the data"));
    }
    Ok(())
}
