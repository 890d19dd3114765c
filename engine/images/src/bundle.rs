//! Archives of a few small files that are held in memory: what a command line exports and imports.
//!
//! Nothing is written to the filesystem here, and whatever an archive claims, no more than the given number of bytes is kept.

use std::io::{BufRead, Write};

use crate::tar::{Kind, Reader, Writer};
use crate::{Error, Result};

/// Writes files (path, contents), readable by their owner only.
pub fn write(files: &[(String, Vec<u8>)], out: impl Write) -> Result<()> {
    let mut writer = Writer::new(out);
    for (path, data) in files {
        writer.file(path, 0o600, 0, data)?;
    }
    writer.finish().map(drop)
}

/// Reads the regular files of an archive that is at most `limit` bytes of data in all; other entries are skipped.
pub fn read(input: impl BufRead, limit: u64) -> Result<Vec<(String, Vec<u8>)>> {
    let mut reader = Reader::new(input);
    let mut files = Vec::new();
    let mut left = limit;
    while let Some(entry) = reader.next()? {
        if entry.kind != Kind::File {
            continue;
        }
        let data = reader.read_data(left)?;
        left = left.saturating_sub(data.len() as u64);
        let path = String::from_utf8(entry.path)
            .map_err(|_| Error::bad_archive("a name in the archive is not UTF-8".to_owned()))?;
        files.push((path, data));
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_back_and_too_many_bytes_do_not() {
        let files = vec![
            ("meta.json".to_owned(), b"{}".to_vec()),
            ("tls/a/ca.pem".to_owned(), vec![7; 600]),
        ];
        let mut archive = Vec::new();
        write(&files, &mut archive).unwrap();
        assert_eq!(read(archive.as_slice(), 1000).unwrap(), files);
        assert!(read(archive.as_slice(), 100).is_err());
    }
}
