//! Pax extended headers: `LENGTH KEY=VALUE\n` records that override fields of the next entry.

use super::sparse::PaxSparse;
use crate::error::{Error, Result};

/// What the records of one entry say; `None` leaves the header's field.
#[derive(Debug, Default)]
pub(crate) struct Pax {
    pub path: Option<Vec<u8>>,
    pub link: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub uid: Option<u64>,
    pub gid: Option<u64>,
    pub mtime: Option<(i64, u32)>,
    pub device: (Option<u32>, Option<u32>),
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub sparse: PaxSparse,
}

impl Pax {
    /// Takes in the records of one extended header.
    pub fn read(&mut self, mut data: &[u8]) -> Result<()> {
        while !data.is_empty() && data.first() != Some(&0) {
            let (key, value, rest) = record(data)
                .ok_or_else(|| Error::bad_archive("the archive has a malformed pax header"))?;
            self.set(key, value)?;
            data = rest;
        }
        Ok(())
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let malformed = || {
            let text = String::from_utf8_lossy(key);
            Error::bad_archive(format!("the archive has a malformed pax record {text:?}"))
        };
        match key {
            b"path" => self.path = text_value(value),
            b"linkpath" => self.link = text_value(value),
            b"size" => self.size = Some(decimal(value).ok_or_else(malformed)?),
            b"uid" => self.uid = Some(decimal(value).ok_or_else(malformed)?),
            b"gid" => self.gid = Some(decimal(value).ok_or_else(malformed)?),
            b"mtime" => self.mtime = Some(time(value).ok_or_else(malformed)?),
            b"SCHILY.devmajor" => self.device.0 = decimal(value).and_then(|n| n.try_into().ok()),
            b"SCHILY.devminor" => self.device.1 = decimal(value).and_then(|n| n.try_into().ok()),
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    self.xattrs.push((name.to_vec(), value.to_vec()));
                } else if key.starts_with(b"GNU.sparse.") {
                    self.sparse.set(key, value).ok_or_else(malformed)?;
                }
            }
        }
        Ok(())
    }
}

/// An empty value takes an earlier one back.
fn text_value(value: &[u8]) -> Option<Vec<u8>> {
    (!value.is_empty()).then(|| value.to_vec())
}

/// Cuts one record off: key, value, what follows.
fn record(data: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = data.iter().take(20).position(|b| *b == b' ')?;
    let length = usize::try_from(decimal(data.get(..space)?)?).ok()?;
    let body = data.get(space + 1..length)?.strip_suffix(b"\n")?;
    let equals = body.iter().position(|b| *b == b'=')?;
    let (key, value) = (body.get(..equals)?, body.get(equals + 1..)?);
    (!key.is_empty()).then_some((key, value, data.get(length..)?))
}

/// A decimal number without sign.
pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Seconds with an optional fraction, either sign.
fn time(text: &[u8]) -> Option<(i64, u32)> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = if whole == "-" || whole.is_empty() { 0 } else { whole.parse().ok()? };
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let padded: String = fraction.chars().chain(std::iter::repeat('0')).take(9).collect();
    let nanoseconds: u32 = padded.parse().ok()?;
    if whole.starts_with('-') && nanoseconds > 0 {
        return Some((seconds.checked_sub(1)?, 1_000_000_000 - nanoseconds));
    }
    Some((seconds, nanoseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_and_times() {
        let mut pax = Pax::default();
        pax.read(b"12 path=a/b\n20 mtime=-1.25000000\n31 SCHILY.xattr.user.x=a\n=\0\n1\n")
            .unwrap_err();
        let mut pax = Pax::default();
        pax.read(b"12 path=a/b\n15 mtime=-1.25\n26 SCHILY.xattr.user.x=\0\n\n").unwrap();
        assert_eq!(pax.path.as_deref(), Some(&b"a/b"[..]));
        assert_eq!(pax.mtime, Some((-2, 750_000_000)));
        assert_eq!(pax.xattrs, [(b"user.x".to_vec(), b"\0\n".to_vec())]);
    }

    #[test]
    fn malformed_records_are_refused() {
        for bad in [&b"8 path=a\n"[..], b"99 path=a\n", b"x", b"0 \n", b"11 uid=-10\n\n"] {
            assert!(Pax::default().read(bad).is_err(), "{bad:?}");
        }
    }
}
