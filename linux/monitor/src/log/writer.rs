//! Writes a container's output to its log.
//!
//! The monitor hands over what one read of a pipe brought; it leaves in one write(2), or in a few where the size limit
//! falls into it. The end of a line that has not come yet is kept (at most 16 KiB a stream) until it does.
//!
//! On failure (a full disk) what could not be written is dropped and a half-written record is cut off again, so that
//! the log goes on with whole records when there is room; [`Writer::lost`] counts.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use bryo_sys::{fork, pidfd, process};
use rustix::process::Pid;

use super::chain::{self, with_suffix};
use super::{Format, LogError, MAX_LINE, Stream, file_of, json, local, tail, time};
use crate::messages::{LogConfig, LogFile};

/// Where rotated files are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// In a child process, so that the caller (which must have one thread only) does not wait.
    Forked,
    /// At once.
    Inline,
}

/// The log of a running container.
#[derive(Debug)]
pub struct Writer {
    target: Option<Target>,
    /// Ends of lines that have not come yet.
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    lost: u64,
}

#[derive(Debug)]
struct Target {
    format: Format,
    settings: LogFile,
    path: PathBuf,
    encoder: json::Encoder,
    file: File,
    size: u64,
    /// Encoded and not written yet.
    out: Vec<u8>,
    compression: Compression,
    /// The child that compresses. The next rotation waits for it, as it moves the file that is being read.
    compressing: Option<Pid>,
}

impl Writer {
    /// Opens the log for appending; repairs a torn end.
    pub fn open(config: &LogConfig, compression: Compression) -> Result<Writer, LogError> {
        let target = match file_of(config) {
            None => None,
            Some((format, settings)) => Some(Target::open(format, settings, compression)?),
        };
        Ok(Writer { target, stdout: Vec::new(), stderr: Vec::new(), lost: 0 })
    }

    /// Takes what a read brought. `now` is the time of its lines.
    pub fn write(&mut self, stream: Stream, data: &[u8], now: i128) -> Result<(), LogError> {
        let Some(target) = &mut self.target else { return Ok(()) };
        let carry = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        let mut lines = Lines { target, stream, now, stamp: Vec::new() };
        let result = lines.take(carry, data);
        if result.is_err() {
            self.lost += u64::try_from(data.len()).unwrap_or(0);
        }
        result
    }

    /// Writes the ends of lines that never came, and waits for a compression that still runs: the files may be another
    /// writer's afterwards.
    pub fn finish(&mut self, now: i128) -> Result<(), LogError> {
        let Some(target) = &mut self.target else { return Ok(()) };
        for (stream, carry) in
            [(Stream::Stdout, &mut self.stdout), (Stream::Stderr, &mut self.stderr)]
        {
            if !carry.is_empty() {
                let mut lines = Lines { target, stream, now, stamp: Vec::new() };
                lines.put(&[carry], false)?;
                lines.target.flush()?;
                carry.clear();
            }
        }
        target.wait_for_compression();
        Ok(())
    }

    /// A child of this process has ended, perhaps the one that compresses.
    pub fn child_ended(&mut self, pid: u32) {
        if let Some(target) = &mut self.target {
            target.compressing.take_if(|child| pidfd::to_u32(*child) == pid);
        }
    }

    /// Bytes of output that could not be written.
    pub fn lost(&self) -> u64 {
        self.lost
    }
}

/// Cuts output into records.
struct Lines<'a> {
    target: &'a mut Target,
    stream: Stream,
    now: i128,
    /// `now` as text, once a line needed it.
    stamp: Vec<u8>,
}

impl Lines<'_> {
    fn take(&mut self, carry: &mut Vec<u8>, data: &[u8]) -> Result<(), LogError> {
        let mut rest = self.take_run(carry, data);
        loop {
            let room = MAX_LINE - carry.len();
            let look = &rest[..rest.len().min(room)];
            let (piece, newline) = match memchr::memchr(b'\n', look) {
                Some(end) => (&look[..end], true),
                None if look.len() == room => (look, false),
                None => break,
            };
            self.put(&[carry, piece], newline)?;
            carry.clear();
            rest = &rest[piece.len() + usize::from(newline)..];
        }
        carry.extend_from_slice(rest);
        self.target.flush()
    }

    /// The compact format takes whole lines as they are: all of them at once, unless the file is about to be full.
    /// Gives what is left.
    fn take_run<'d>(&mut self, carry: &mut Vec<u8>, data: &'d [u8]) -> &'d [u8] {
        let run = memchr::memrchr(b'\n', data).map_or(0, |last| last + 1);
        let added = carry.len() + run + local::OVERHEAD;
        if run == 0 || self.target.format != Format::Local || !self.target.has_room(added) {
            return data;
        }
        let (lines, rest) = data.split_at(run);
        local::block(self.stream, self.now, &[carry, lines], &mut self.target.out);
        carry.clear();
        rest
    }

    /// Encodes one record, given in two parts at most.
    fn put(&mut self, parts: &[&[u8]], newline: bool) -> Result<(), LogError> {
        self.target.make_room()?;
        if self.target.format == Format::Local {
            let mut line: Vec<&[u8]> = parts.to_vec();
            if newline {
                line.push(b"\n");
            }
            self.target.add_to_block(self.stream, self.now, &line);
            return Ok(());
        }
        if self.stamp.is_empty() {
            time::format_short(self.now, &mut self.stamp);
        }
        let joined;
        let text = match parts {
            [[], one] | [one] => *one,
            parts => {
                joined = parts.concat();
                &joined
            }
        };
        let Target { encoder, out, .. } = &mut *self.target;
        encoder.line(self.stream, text, newline, &self.stamp, out);
        Ok(())
    }
}

impl Target {
    fn open(
        format: Format,
        settings: &LogFile,
        compression: Compression,
    ) -> Result<Target, LogError> {
        let path = PathBuf::from(&settings.path);
        let failed = |e| LogError::new("open", &path, e);
        let file = append_to(&path).map_err(failed)?;
        let size = repair(format, &path, &file).map_err(|e| LogError::new("repair", &path, e))?;
        let mut target = Target {
            format,
            settings: settings.clone(),
            encoder: json::Encoder::new(&settings.attrs),
            file,
            size,
            out: Vec::new(),
            compression,
            compressing: None,
            path,
        };
        target.begin_file()?;
        Ok(target)
    }

    /// Gives an empty `local` file its header.
    fn begin_file(&mut self) -> Result<(), LogError> {
        if self.format == Format::Local && self.size == 0 {
            self.out.extend_from_slice(&local::header(&self.settings.attrs));
            self.flush()?;
        }
        Ok(())
    }

    /// Adds a line to the block that is being made, or begins one.
    fn add_to_block(&mut self, stream: Stream, now: i128, line: &[&[u8]]) {
        let length = match local::parse_block(&self.out) {
            // `out` holds one block at most: the lines of one read, with one stream and one time.
            local::Parsed::Whole(block) => block.size - local::OVERHEAD,
            _ => return local::block(stream, now, line, &mut self.out),
        };
        let added: usize = line.iter().map(|part| part.len()).sum();
        let total = local::block_length(length + added);
        self.out.truncate(self.out.len() - 4);
        for part in line {
            self.out.extend_from_slice(part);
        }
        self.out.extend_from_slice(&total);
        self.out[..4].copy_from_slice(&total);
    }

    /// True if `added` bytes more would not pass the size limit.
    fn has_room(&self, added: usize) -> bool {
        let Some(limit) = self.settings.max_size else { return true };
        let encoded = u64::try_from(self.out.len() + added).unwrap_or(u64::MAX);
        self.size.saturating_add(encoded) <= limit
    }

    /// Rotates if the file has reached its size. Docker's rule: a record is never split, and the file may be
    /// longer than the limit by its last record.
    fn make_room(&mut self) -> Result<(), LogError> {
        if self.has_room(1) {
            return Ok(());
        }
        self.flush()?;
        // A log that cannot be rotated (its folder is not writable) goes on growing rather than losing lines.
        if self.rotate().is_err() {
            return Ok(());
        }
        self.begin_file()
    }

    /// `path` becomes `path.1` and so on. The next file is made first, so that there is no current file only for the
    /// time between two renames; and with one file only, the old one is replaced and not emptied, for its readers.
    fn rotate(&mut self) -> io::Result<()> {
        self.wait_for_compression();
        let fresh = with_suffix(&self.path, ".new");
        let _ = std::fs::remove_file(&fresh);
        let file = append_to(&fresh)?;
        let kept = self.settings.max_file.max(1);
        if kept > 1 {
            let name = |n: u32, gz: &str| with_suffix(&self.path, &format!(".{n}{gz}"));
            for gz in ["", ".gz"] {
                remove(&name(kept - 1, gz))?;
                for n in (1..kept - 1).rev() {
                    rename(&name(n, gz), &name(n + 1, gz))?;
                }
            }
            rename(&self.path, &name(1, ""))?;
        }
        std::fs::rename(&fresh, &self.path)?;
        self.file = file;
        self.size = 0;
        if kept > 1 && self.settings.compress {
            self.compress(&with_suffix(&self.path, ".1"));
        }
        Ok(())
    }

    fn wait_for_compression(&mut self) {
        if let Some(child) = self.compressing.take() {
            let _ = fork::wait(child);
        }
    }

    /// Compresses a rotated file. A failure is no loss: readers take the file as it is.
    fn compress(&mut self, path: &Path) {
        let compress = || i32::from(chain::compress(path).is_err());
        self.compressing = match self.compression {
            Compression::Inline => {
                compress();
                None
            }
            Compression::Forked => fork::spawn(|| {
                // The child must not hold the program's pipes and the clients' sockets open.
                process::close_from(3);
                compress()
            })
            .ok(),
        };
    }

    /// Writes what is encoded.
    fn flush(&mut self) -> Result<(), LogError> {
        if self.out.is_empty() {
            return Ok(());
        }
        let result = self.file.write_all(&self.out);
        if result.is_ok() {
            self.size += u64::try_from(self.out.len()).unwrap_or(0);
        } else if let Ok(meta) = self.file.metadata() {
            // Cut off what was written of it, unless somebody else emptied the file meanwhile.
            let _ = self.file.set_len(meta.len().min(self.size));
        }
        self.out.clear();
        // One long batch must not be remembered by an idle monitor.
        self.out.shrink_to(256 * 1024);
        result.map_err(|e| LogError::new("write", &self.path, e))
    }
}

/// Docker's mode for log files.
fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).read(true).mode(0o640).open(path)
}

fn rename(from: &Path, to: &Path) -> io::Result<()> {
    ignore_missing(std::fs::rename(from, to))
}

fn remove(path: &Path) -> io::Result<()> {
    ignore_missing(std::fs::remove_file(path))
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Makes a file end with a whole record; gives its size.
fn repair(format: Format, path: &Path, file: &File) -> io::Result<u64> {
    let size = file.metadata()?.len();
    if size == 0 {
        return Ok(0);
    }
    if format == Format::Json {
        let mut last = [0];
        file.read_exact_at(&mut last, size - 1)?;
        if last == *b"\n" {
            return Ok(size);
        }
        // The torn line stays a line of its own, which readers skip.
        (&*file).write_all(b"\n")?;
        return Ok(size + 1);
    }
    let mut all = Vec::new();
    File::open(path)?.read_to_end(&mut all)?;
    let whole = match local::parse_header(&all) {
        Some((first, _)) => first + tail::count_blocks(&all[first..]).1,
        None => 0,
    };
    let whole = u64::try_from(whole).unwrap_or(0);
    if whole < size {
        file.set_len(whole)?;
    }
    Ok(whole)
}
