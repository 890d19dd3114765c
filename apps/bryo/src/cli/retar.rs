//! Renames the first component of an archive's names while it goes by.
//!
//! `docker cp a container:/b` sends the tree `a` under the name `b`, and an answer's tree may be wanted under another name. Names
//! stand in the header (with an optional prefix) or, when they are long, in a pax record before it; data is passed on untouched.

use std::io::{self, Read};

const BLOCK: usize = 512;

/// An archive under another name.
pub struct Renamed<R> {
    inner: R,
    /// The new first component.
    name: String,
    /// What is to be given out next.
    ready: Vec<u8>,
    given: usize,
    /// Bytes of data (with padding) to pass on before the next header.
    data: u64,
    /// The end has been seen; the rest is passed on.
    ended: bool,
}

impl<R: Read> Renamed<R> {
    /// The archive `inner` with its first name component replaced.
    pub fn new(inner: R, name: &str) -> Renamed<R> {
        Renamed { inner, name: name.to_owned(), ready: Vec::new(), given: 0, data: 0, ended: false }
    }

    /// Reads a header (and a pax record with what belongs to it) into `ready`.
    fn header(&mut self) -> io::Result<()> {
        let mut block = [0u8; BLOCK];
        self.ready.clear();
        self.given = 0;
        match self.inner.read(&mut block)? {
            0 => {
                self.ended = true;
                return Ok(());
            }
            n => self.inner.read_exact(block.get_mut(n..).unwrap_or_default())?,
        }
        if block.iter().all(|b| *b == 0) {
            self.ended = true;
            self.ready.extend_from_slice(&block);
            return Ok(());
        }
        let size = size(&block)?;
        if block.get(156) == Some(&b'x') {
            let mut records = vec![0u8; padded(size)];
            self.inner.read_exact(&mut records)?;
            records.truncate(usize::try_from(size).unwrap_or(0));
            let records = self.pax(&records);
            set_size(&mut block, records.len());
            checksum(&mut block);
            self.ready.extend_from_slice(&block);
            self.ready.extend_from_slice(&records);
            self.ready.resize(self.ready.len().next_multiple_of(BLOCK), 0);
            return Ok(());
        }
        self.rename(&mut block)?;
        self.ready.extend_from_slice(&block);
        self.data = u64::try_from(padded(size)).unwrap_or(0);
        Ok(())
    }

    /// `path` (and a hard link's `linkpath`) of pax records.
    fn pax(&self, records: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(records.len());
        let mut rest = records;
        while let Some(space) = rest.iter().position(|b| *b == b' ') {
            let digits = rest.get(..space).and_then(|d| std::str::from_utf8(d).ok());
            let Some(length) = digits.and_then(|d| d.parse::<usize>().ok()) else { break };
            let Some(record) = rest.get(space + 1..length) else { break };
            match record.strip_prefix(b"path=") {
                Some(path) => {
                    let path = path.strip_suffix(b"\n").unwrap_or(path);
                    let text = [b" path=", self.replaced(path).as_slice(), b"\n"].concat();
                    let mut total = text.len() + 1;
                    while total.to_string().len() + text.len() > total {
                        total += 1;
                    }
                    out.extend_from_slice(total.to_string().as_bytes());
                    out.extend_from_slice(&text);
                }
                None => out.extend_from_slice(rest.get(..length).unwrap_or_default()),
            }
            rest = rest.get(length..).unwrap_or_default();
        }
        out
    }

    fn replaced(&self, path: &[u8]) -> Vec<u8> {
        match path.iter().position(|b| *b == b'/') {
            Some(slash) => [self.name.as_bytes(), path.get(slash..).unwrap_or_default()].concat(),
            None => self.name.as_bytes().to_vec(),
        }
    }

    fn rename(&self, block: &mut [u8; BLOCK]) -> io::Result<()> {
        let text = |block: &[u8; BLOCK], start: usize, length: usize| {
            let field = block.get(start..start + length).unwrap_or_default();
            field.iter().copied().take_while(|b| *b != 0).collect::<Vec<u8>>()
        };
        let ustar = block.get(257..262) == Some(b"ustar");
        let mut path = text(block, 0, 100);
        let prefix = if ustar { text(block, 345, 155) } else { Vec::new() };
        if !prefix.is_empty() {
            path = [prefix.as_slice(), b"/", path.as_slice()].concat();
        }
        let path = self.replaced(&path);
        let (prefix, name) = match path.len() {
            0..=100 => (Vec::new(), path),
            // A longer one is in the pax record before; here only something that fits must stand.
            _ => split(&path)
                .unwrap_or_else(|| (Vec::new(), path.get(..100).unwrap_or_default().to_vec())),
        };
        put(block, 0, 100, &name);
        if ustar {
            put(block, 345, 155, &prefix);
        }
        if block.get(156) == Some(&b'1') {
            let target = self.replaced(&text(block, 157, 100));
            if target.len() > 100 {
                return Err(io::Error::other("a hard link's target is too long for the new name"));
            }
            put(block, 157, 100, &target);
        }
        checksum(block);
        Ok(())
    }
}

/// Splits a long path at a slash into a prefix of at most 155 and a name of at most 100 bytes.
fn split(path: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let at = (0..path.len())
        .find(|i| path.get(*i) == Some(&b'/') && *i <= 155 && path.len() - i - 1 <= 100)?;
    Some((path.get(..at)?.to_vec(), path.get(at + 1..)?.to_vec()))
}

fn put(block: &mut [u8; BLOCK], start: usize, length: usize, value: &[u8]) {
    if let Some(field) = block.get_mut(start..start + length) {
        field.fill(0);
        field.iter_mut().zip(value).for_each(|(to, from)| *to = *from);
    }
}

fn size(block: &[u8; BLOCK]) -> io::Result<u64> {
    let field = block.get(124..136).unwrap_or_default();
    if field.first().is_some_and(|b| b & 0x80 != 0) {
        let number = field.iter().skip(1).fold(0u64, |n, b| (n << 8) | u64::from(*b));
        return Ok(number);
    }
    let digits: String = field.iter().map(|b| char::from(*b)).filter(|c| c.is_digit(8)).collect();
    match digits.is_empty() {
        true => Ok(0),
        false => u64::from_str_radix(&digits, 8).map_err(io::Error::other),
    }
}

fn padded(size: u64) -> usize {
    usize::try_from(size.next_multiple_of(512)).unwrap_or(usize::MAX)
}

fn set_size(block: &mut [u8; BLOCK], size: usize) {
    put(block, 124, 12, format!("{size:011o}").as_bytes());
}

fn checksum(block: &mut [u8; BLOCK]) {
    put(block, 148, 8, b"        ");
    let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
    put(block, 148, 8, format!("{sum:06o}\0 ").as_bytes());
}

impl<R: Read> Read for Renamed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(rest) = self.ready.get(self.given..).filter(|rest| !rest.is_empty()) {
                let n = rest.len().min(buffer.len());
                buffer.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
                self.given += n;
                return Ok(n);
            }
            if self.data > 0 || self.ended {
                let most = if self.ended { u64::MAX } else { self.data };
                let room = usize::try_from(most).unwrap_or(usize::MAX).min(buffer.len());
                let n = self.inner.read(buffer.get_mut(..room).unwrap_or_default())?;
                if n == 0 && !self.ended {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                self.data = self.data.saturating_sub(u64::try_from(n).unwrap_or(0));
                return Ok(n);
            }
            self.header()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(name: &str, size: usize, kind: u8) -> Vec<u8> {
        let mut block = [0u8; BLOCK];
        put(&mut block, 0, 100, name.as_bytes());
        put(&mut block, 124, 12, format!("{size:011o}").as_bytes());
        put(&mut block, 257, 8, b"ustar\x0000");
        block[156] = kind;
        checksum(&mut block);
        block.to_vec()
    }

    #[test]
    fn names_change_and_data_stays() {
        let mut archive = header("a/b", 3, b'0');
        archive.extend(b"xyz");
        archive.resize(2 * BLOCK, 0);
        let record = b"13 path=a/cc\n";
        archive.extend(header("pax", record.len(), b'x'));
        archive.extend(record);
        archive.resize(4 * BLOCK, 0);
        archive.extend(header("a", 0, b'5'));
        archive.extend([0u8; 2 * BLOCK]);
        let mut out = Vec::new();
        Renamed::new(archive.as_slice(), "new").read_to_end(&mut out).unwrap();
        assert_eq!(&out[..8], b"new/b\0\0\0");
        assert_eq!(&out[BLOCK..BLOCK + 3], b"xyz");
        assert_eq!(&out[3 * BLOCK..3 * BLOCK + 15], b"15 path=new/cc\n");
        assert_eq!(&out[4 * BLOCK..4 * BLOCK + 4], b"new\0");
        assert_eq!(out.len(), archive.len());
    }
}
