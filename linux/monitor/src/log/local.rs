//! Bryo's compact log format (log driver `local`). All numbers are little-endian.
//!
//! ```text
//! file   = header block*
//! header = "BRYOLOG1"  u32 n  n bytes: the attributes, a JSON object of strings
//! block  = u32 n  u8 stream (1 stdout, 2 stderr)  u8 flags (0)  i64 nanoseconds since the epoch  bytes  u32 n
//!          n counts stream, flags, time and bytes
//! ```
//!
//! A block holds what one read of the program's output brought, cut so that it ends with a whole line or with a
//! piece of a line longer than 16 KiB; its lines share one time. `n` stands at both ends so that the file can
//! be read backwards. A block costs 18 bytes, a line in it nothing.
//!
//! A torn block can only be the last one (the monitor was killed while it wrote); the next writer cuts it off.

use std::collections::BTreeMap;

use super::details;
use super::time;
use super::{ReadOptions, Stream};

/// The first bytes of a file.
pub const MAGIC: &[u8; 8] = b"BRYOLOG1";

/// Stream, flags and time.
const FIXED: usize = 10;

/// Bytes that a block adds to its lines.
pub const OVERHEAD: usize = 4 + FIXED + 4;

/// The longest block that a reader accepts; a writer's blocks are far smaller.
pub const MAX_BLOCK: usize = 16 << 20;

/// The header of a file with these attributes.
pub fn header(attrs: &BTreeMap<String, String>) -> Vec<u8> {
    let attrs = serde_json::to_vec(attrs).unwrap_or_default();
    let length = u32::try_from(attrs.len()).unwrap_or(0).to_le_bytes();
    [&MAGIC[..], &length, &attrs].concat()
}

/// Reads a header; `None` if it is not one, or not whole yet. Gives its length too.
pub fn parse_header(bytes: &[u8]) -> Option<(usize, BTreeMap<String, String>)> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let length = usize::try_from(u32_at(rest, 0)?).ok()?;
    let attrs = rest.get(4..4 + length)?;
    Some((MAGIC.len() + 4 + length, serde_json::from_slice(attrs).ok()?))
}

/// Appends a block with these lines.
pub fn block(stream: Stream, time: i128, lines: &[&[u8]], out: &mut Vec<u8>) {
    let length = block_length(lines.iter().map(|l| l.len()).sum());
    out.extend_from_slice(&length);
    out.extend_from_slice(&[stream.number(), 0]);
    out.extend_from_slice(&i64::try_from(time).unwrap_or(i64::MAX).to_le_bytes());
    for line in lines {
        out.extend_from_slice(line);
    }
    out.extend_from_slice(&length);
}

/// The length field of a block with `text` bytes of lines.
pub fn block_length(text: usize) -> [u8; 4] {
    u32::try_from(FIXED + text).unwrap_or(u32::MAX).to_le_bytes()
}

/// A block in a reader's buffer.
#[derive(Debug, Clone, Copy)]
pub struct Block<'a> {
    /// Its stream.
    pub stream: Stream,
    /// Nanoseconds since the epoch.
    pub time: i128,
    /// Its lines.
    pub text: &'a [u8],
    /// Bytes that it takes in the file.
    pub size: usize,
}

/// The outcome of looking for a block.
#[derive(Debug, Clone, Copy)]
pub enum Parsed<'a> {
    /// A block.
    Whole(Block<'a>),
    /// More bytes are needed.
    Short,
    /// These bytes are no block.
    Bad,
}

/// The block at the start of `bytes`.
pub fn parse_block(bytes: &[u8]) -> Parsed<'_> {
    let Some(length) = u32_at(bytes, 0).and_then(|n| usize::try_from(n).ok()) else {
        return Parsed::Short;
    };
    if !(FIXED..=MAX_BLOCK).contains(&length) {
        return Parsed::Bad;
    }
    let Some(body) = bytes.get(4..4 + length) else { return Parsed::Short };
    let Some(again) = u32_at(bytes, 4 + length) else { return Parsed::Short };
    let stream = match body[0] {
        1 => Stream::Stdout,
        2 => Stream::Stderr,
        _ => return Parsed::Bad,
    };
    let time = body[2..FIXED].try_into().map(i64::from_le_bytes).unwrap_or(0);
    if usize::try_from(again) != Ok(length) {
        return Parsed::Bad;
    }
    Parsed::Whole(Block { stream, time: i128::from(time), text: &body[FIXED..], size: length + 8 })
}

/// The records in a block: its line breaks, and one more if it ends inside a line.
pub fn count_records(text: &[u8]) -> u64 {
    let breaks = memchr::memchr_iter(b'\n', text).count();
    let open = usize::from(text.last().is_some_and(|&b| b != b'\n'));
    u64::try_from(breaks + open).unwrap_or(u64::MAX)
}

/// Appends a block's records but the first `skip`, with all that the options ask for in front of each.
/// False if the block is younger than asked for.
pub(super) fn decode(
    block: &Block<'_>,
    skip: u64,
    attrs: &BTreeMap<String, String>,
    options: &ReadOptions,
    batch: &mut super::Batch,
) -> bool {
    if options.until.is_some_and(|until| block.time > until) {
        return false;
    }
    let asked = match block.stream {
        Stream::Stdout => options.stdout,
        Stream::Stderr => options.stderr,
    };
    if !asked || options.since.is_some_and(|since| block.time < since) {
        return true;
    }
    let mut prefix = Vec::new();
    if options.timestamps {
        prefix.extend_from_slice(&time::format_fixed(block.time));
        prefix.push(b' ');
    }
    if options.details {
        details::put(attrs, &mut prefix);
    }
    let mut rest = block.text;
    let mut skip = skip;
    while !rest.is_empty() {
        let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |p| p + 1);
        let (line, after) = rest.split_at(end);
        rest = after;
        if skip > 0 {
            skip -= 1;
            continue;
        }
        if options.framed {
            let header = block.stream.frame_header(prefix.len() + line.len());
            batch.bytes.extend_from_slice(&header);
        }
        batch.bytes.extend_from_slice(&prefix);
        batch.bytes.extend_from_slice(line);
        batch.ends.push((block.stream, batch.bytes.len()));
    }
    true
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_reads_back_and_a_torn_one_is_short() {
        let mut out = Vec::new();
        block(Stream::Stderr, 42, &[b"one\n", b"two"], &mut out);
        assert_eq!(out.len(), OVERHEAD + 7);
        let Parsed::Whole(b) = parse_block(&out) else { panic!() };
        assert_eq!((b.stream, b.time, b.text, b.size), (Stream::Stderr, 42, &b"one\ntwo"[..], 25));
        assert_eq!(count_records(b.text), 2);
        for n in 0..out.len() {
            assert!(matches!(parse_block(&out[..n]), Parsed::Short));
        }
        out[21] ^= 1;
        assert!(matches!(parse_block(&out), Parsed::Bad));
    }

    #[test]
    fn the_header_carries_the_attributes() {
        let attrs: BTreeMap<_, _> = [("a".to_owned(), "b".to_owned())].into();
        let bytes = header(&attrs);
        assert_eq!(parse_header(&bytes), Some((bytes.len(), attrs)));
        assert_eq!(parse_header(&bytes[..10]), None);
    }
}
