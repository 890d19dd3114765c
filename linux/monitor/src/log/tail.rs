//! Where the last records of a file begin, found from its end.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use super::chain::{Entry, Input};
use super::{Format, local};

/// Bytes read at once, going backwards.
const STEP: u64 = 64 * 1024;

/// A place in a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Start {
    /// Records from here to the end; never more than asked for.
    pub(super) records: u64,
    /// Byte to start at.
    pub(super) offset: u64,
    /// Records to leave out from there on.
    pub(super) skip: u64,
}

/// Where the last `wanted` records of this file begin. A compressed file is read as a whole (and opened anew).
pub(super) fn find(format: Format, entry: &mut Entry, wanted: u64) -> io::Result<Start> {
    match (&mut entry.input, format) {
        (Input::Plain(file), Format::Json) => lines(file, wanted),
        (Input::Plain(file), Format::Local) => blocks(file, wanted),
        (Input::Gzip(_), _) => {
            let mut decoder = flate2::read::MultiGzDecoder::new(File::open(&entry.path)?);
            let total = count(format, &mut decoder)?;
            let records = total.min(wanted);
            Ok(Start { records, offset: 0, skip: total - records })
        }
    }
}

/// json-file: counts line breaks backwards.
fn lines(file: &File, wanted: u64) -> io::Result<Start> {
    let size = file.metadata()?.len();
    let mut buffer = vec![0; usize::try_from(STEP).unwrap_or(0)];
    let mut breaks = 0;
    let mut end = size;
    // A last line without a break (torn, or being written) is not counted: it is no record yet.
    while end > 0 && wanted > 0 {
        let start = end.saturating_sub(STEP);
        let chunk = &mut buffer[..usize::try_from(end - start).unwrap_or(0)];
        file.read_exact_at(chunk, start)?;
        for at in memchr::memrchr_iter(b'\n', chunk) {
            if breaks == wanted {
                let at = u64::try_from(at).unwrap_or(0);
                return Ok(Start { records: wanted, offset: start + at + 1, skip: 0 });
            }
            breaks += 1;
        }
        end = start;
    }
    let offset = if wanted == 0 { size } else { 0 };
    Ok(Start { records: breaks, offset, skip: 0 })
}

/// local: steps from block to block by the lengths at their ends.
fn blocks(file: &File, wanted: u64) -> io::Result<Start> {
    let size = file.metadata()?.len();
    let mut head = [0; 12];
    if file.read_at(&mut head, 0)? < head.len() || !head.starts_with(local::MAGIC) {
        return Ok(Start { offset: size, ..Start::default() });
    }
    let attrs = u32::from_le_bytes([head[8], head[9], head[10], head[11]]);
    let first = 12 + u64::from(attrs);
    let mut found = 0;
    let mut end = size;
    let mut block = Vec::new();
    while found < wanted && end > first {
        let Some(length) = block_before(file, first, end)? else {
            // A torn end: the whole file has to be walked from its start.
            return walk(file, first, size, wanted);
        };
        end -= length;
        block.resize(usize::try_from(length).unwrap_or(0), 0);
        file.read_exact_at(&mut block, end)?;
        let local::Parsed::Whole(parsed) = local::parse_block(&block) else {
            return walk(file, first, size, wanted);
        };
        found += local::count_records(parsed.text);
    }
    Ok(Start { records: found.min(wanted), offset: end, skip: found.saturating_sub(wanted) })
}

/// The size of the block that ends at `end`, by its last four bytes.
fn block_before(file: &File, first: u64, end: u64) -> io::Result<Option<u64>> {
    let mut trailer = [0; 4];
    if end < first + 8 {
        return Ok(None);
    }
    file.read_exact_at(&mut trailer, end - 4)?;
    let size = u64::from(u32::from_le_bytes(trailer)) + 8;
    let largest = u64::try_from(local::MAX_BLOCK).unwrap_or(0) + 8;
    Ok((size <= largest && size <= end - first).then_some(size))
}

/// The same as [`blocks`], forwards.
fn walk(file: &File, first: u64, size: u64, wanted: u64) -> io::Result<Start> {
    let mut rest = vec![0; usize::try_from(size - first.min(size)).unwrap_or(0)];
    file.read_exact_at(&mut rest, first)?;
    let total = count_blocks(&rest).0;
    let records = total.min(wanted);
    Ok(Start { records, offset: first, skip: total - records })
}

/// The records in whole blocks at the start of `bytes`, and where these end.
pub(super) fn count_blocks(bytes: &[u8]) -> (u64, usize) {
    let (mut records, mut at) = (0, 0);
    while let local::Parsed::Whole(block) = local::parse_block(&bytes[at..]) {
        records += local::count_records(block.text);
        at += block.size;
    }
    (records, at)
}

/// All records of a stream of bytes.
fn count(format: Format, input: &mut impl Read) -> io::Result<u64> {
    if format == Format::Local {
        let mut all = Vec::new();
        input.read_to_end(&mut all)?;
        let first = local::parse_header(&all).map_or(all.len(), |(n, _)| n);
        return Ok(count_blocks(&all[first..]).0);
    }
    let mut buffer = vec![0; usize::try_from(STEP).unwrap_or(0)];
    let mut breaks = 0;
    loop {
        match input.read(&mut buffer)? {
            0 => return Ok(breaks),
            n => {
                let here = memchr::memchr_iter(b'\n', &buffer[..n]).count();
                breaks += u64::try_from(here).unwrap_or(0);
            }
        }
    }
}
