//! The 512-byte header: fields, numbers, checksum.

use super::{BLOCK, Kind};
use crate::error::{Error, Result};

/// Which family a header belongs to; it decides what the bytes after `magic` mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    /// No magic: names of 100 bytes, no prefix.
    V7,
    /// POSIX: a prefix of 155 bytes.
    Ustar,
    /// GNU: the prefix's place holds times and the sparse map.
    Gnu,
}

/// A header as it was read.
#[derive(Debug)]
pub(crate) struct Header(pub [u8; BLOCK]);

/// Place and length of each field.
pub(crate) mod field {
    use std::ops::Range;

    pub const NAME: Range<usize> = 0..100;
    pub const MODE: Range<usize> = 100..108;
    pub const UID: Range<usize> = 108..116;
    pub const GID: Range<usize> = 116..124;
    pub const SIZE: Range<usize> = 124..136;
    pub const MTIME: Range<usize> = 136..148;
    pub const CHECKSUM: Range<usize> = 148..156;
    pub const TYPE: usize = 156;
    pub const LINK: Range<usize> = 157..257;
    pub const MAGIC: Range<usize> = 257..265;
    pub const DEV_MAJOR: Range<usize> = 329..337;
    pub const DEV_MINOR: Range<usize> = 337..345;
    pub const PREFIX: Range<usize> = 345..500;
    pub const GNU_SPARSE: Range<usize> = 386..482;
    pub const GNU_EXTENDED: usize = 482;
    pub const GNU_REAL_SIZE: Range<usize> = 483..495;
}

impl Header {
    /// A field's bytes.
    pub fn bytes(&self, range: std::ops::Range<usize>) -> &[u8] {
        self.0.get(range).unwrap_or_default()
    }

    /// A field's text, up to the first NUL.
    pub fn text(&self, range: std::ops::Range<usize>) -> &[u8] {
        until_nul(self.bytes(range))
    }

    /// A field's number.
    pub fn number(&self, range: std::ops::Range<usize>) -> Result<i64> {
        number(self.bytes(range)).ok_or_else(|| {
            Error::bad_entry(self.text(field::NAME), "a number in its header is malformed")
        })
    }

    /// A number that may not be negative.
    pub fn unsigned(&self, range: std::ops::Range<usize>) -> Result<u64> {
        u64::try_from(self.number(range)?).map_err(|_| {
            Error::bad_entry(self.text(field::NAME), "a number in its header is negative")
        })
    }

    /// The type's letter.
    pub fn type_flag(&self) -> u8 {
        self.0.get(field::TYPE).copied().unwrap_or(0)
    }

    /// Which family it is of.
    pub fn family(&self) -> Family {
        match self.bytes(field::MAGIC) {
            b"ustar  \0" => Family::Gnu,
            magic if magic.starts_with(b"ustar") => Family::Ustar,
            _ => Family::V7,
        }
    }

    /// The name, the POSIX prefix put in front.
    pub fn name(&self) -> Vec<u8> {
        let name = self.text(field::NAME);
        let prefix = self.text(field::PREFIX);
        if self.family() != Family::Ustar || prefix.is_empty() {
            return name.to_vec();
        }
        [prefix, b"/", name].concat()
    }

    /// What the entry makes; a V7 name that ends in a slash is a folder.
    pub fn kind(&self, name: &[u8]) -> Kind {
        match self.type_flag() {
            0 | b'0' if name.ends_with(b"/") => Kind::Folder,
            0 | b'0' | b'7' | b'S' => Kind::File,
            b'1' => Kind::HardLink,
            b'2' => Kind::Symlink,
            b'3' => Kind::CharDevice,
            b'4' => Kind::BlockDevice,
            b'5' | b'D' => Kind::Folder,
            b'6' => Kind::Fifo,
            other => Kind::Unknown(other),
        }
    }

    /// Whether all bytes are zero: the end of the archive.
    pub fn is_zero(&self) -> bool {
        self.0.iter().all(|b| *b == 0)
    }

    /// Whether the checksum is right. Old programs summed signed bytes.
    pub fn checksum_holds(&self) -> bool {
        let Some(stored) = number(self.bytes(field::CHECKSUM)) else { return false };
        let blank =
            |(at, byte): (usize, &u8)| if field::CHECKSUM.contains(&at) { b' ' } else { *byte };
        let unsigned: i64 = self.0.iter().enumerate().map(blank).map(i64::from).sum();
        let signed: i64 =
            self.0.iter().enumerate().map(blank).map(|b| i64::from(i8::from_ne_bytes([b]))).sum();
        stored == unsigned || stored == signed
    }
}

/// Everything before the first NUL.
pub(crate) fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|b| *b == 0).next().unwrap_or_default()
}

/// An octal number with spaces or NULs around it, or a big-endian one when the first bit is set.
/// An empty field is 0.
pub(crate) fn number(bytes: &[u8]) -> Option<i64> {
    let first = *bytes.first()?;
    if first & 0x80 != 0 {
        return base256(bytes);
    }
    let trimmed = until_nul(bytes);
    let text = std::str::from_utf8(trimmed).ok()?.trim_matches(' ');
    if text.is_empty() {
        return Some(0);
    }
    if !text.bytes().all(|b| (b'0'..=b'7').contains(&b)) {
        return None;
    }
    i64::from_str_radix(text, 8).ok()
}

/// GNU's binary numbers: two's complement, the first bit being only a mark.
fn base256(bytes: &[u8]) -> Option<i64> {
    let (first, rest) = bytes.split_first()?;
    let negative = first & 0x40 != 0;
    let mut value: i128 = i128::from(first & 0x3f) - if negative { 0x40 } else { 0 };
    for byte in rest {
        value = value.checked_mul(256)?.checked_add(i128::from(*byte))?;
    }
    i64::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_all_notations() {
        assert_eq!(number(b"0000644\0"), Some(0o644));
        assert_eq!(number(b"   644 \0"), Some(0o644));
        assert_eq!(number(b"\0\0\0\0"), Some(0));
        assert_eq!(number(b"77777777777"), Some(0o77_777_777_777));
        assert_eq!(number(b"\x80\0\0\0\0\0\0\x02\0\0\0\0"), Some(0x2_0000_0000));
        assert_eq!(number(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), Some(-1));
        assert_eq!(number(b"\x80\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff"), None);
        assert_eq!(number(b"9x"), None);
        assert_eq!(number(b""), None);
    }
}
