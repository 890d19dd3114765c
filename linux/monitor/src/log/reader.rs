//! Reads a log from its start, or from its last records, to its end, or for as long as the container runs.
//!
//! [`Reader::next`] gives [`Batch`]es of some hundred kilobytes, already shaped for the client. It blocks only when it
//! follows and nothing is there, and then no longer than asked, so that its caller can look whether the client has gone.
//!
//! Following: the reader stays in the file in which it is, also when that is renamed; at its end it looks whether
//! `path` is another file by now, and if so goes to the next younger one in the chain. A file that is gone from
//! the chain (removed by rotation before it was read) is lost, as with Docker.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::inotify;

use super::chain::{self, Entry, Input};
use super::json::Decoded;
use super::tail::Start;
use super::{Batch, Format, LogError, ReadOptions, file_of, json, local, tail, time};
use crate::messages::LogConfig;

/// Bytes read from a file at once.
const BLOCK: usize = 256 * 1024;

/// A record longer than this is no record.
const LONGEST: usize = local::MAX_BLOCK + local::OVERHEAD;

/// How often to look at the file where inotify is not to be had (its instances are few for each user).
const POLL: Duration = Duration::from_millis(100);

const RUNNING: u8 = 0;
const ENDED: u8 = 1;
const CANCELLED: u8 = 2;

/// What [`Reader::next`] found.
#[derive(Debug)]
pub enum Next {
    /// Records.
    Batch(Batch),
    /// Nothing new for as long as the caller wanted to wait.
    Idle,
    /// There will be no more.
    End,
}

/// Tells a following reader, from any thread, when to stop.
#[derive(Debug, Clone)]
pub struct FollowHandle {
    state: Arc<AtomicU8>,
    wake: Arc<OwnedFd>,
}

impl FollowHandle {
    /// The container ended and its log is complete: read what is left, then end.
    pub fn container_ended(&self) {
        self.set(ENDED);
    }

    /// End at once.
    pub fn cancel(&self) {
        self.set(CANCELLED);
    }

    fn set(&self, state: u8) {
        self.state.fetch_max(state, Ordering::SeqCst);
        // A full counter wakes as well, so a failure to add to it does not matter.
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }
}

/// A log being read.
#[derive(Debug)]
pub struct Reader {
    options: ReadOptions,
    format: Format,
    path: PathBuf,
    max_file: u32,
    current: Option<Current>,
    /// Younger files that are to be read after the current one, oldest first.
    waiting: VecDeque<(Entry, Start)>,
    buffer: Vec<u8>,
    /// The part of `buffer` that was read and not decoded yet.
    pending: std::ops::Range<usize>,
    follow: Option<Follow>,
    done: bool,
}

#[derive(Debug)]
struct Current {
    entry: Entry,
    /// Bytes read so far; with `limit`, where to stop.
    position: u64,
    limit: Option<u64>,
    skip: u64,
    /// The attributes of a `local` file, once its header was read.
    attrs: Option<BTreeMap<String, String>>,
    /// A younger file has taken this one's place.
    rotated: bool,
}

#[derive(Debug)]
struct Follow {
    handle: FollowHandle,
    inotify: Option<OwnedFd>,
}

impl Reader {
    /// Opens the log of `config`. A log without a file is empty (with `follow`: for now).
    pub fn open(config: &LogConfig, options: ReadOptions) -> Result<Reader, LogError> {
        let Some((format, file)) = file_of(config) else {
            let e = io::Error::new(
                io::ErrorKind::Unsupported,
                "configured logging driver does not support reading",
            );
            return Err(LogError::new("read", std::path::Path::new("(none)"), e));
        };
        let path = PathBuf::from(&file.path);
        let mut reader = Reader {
            format,
            max_file: file.max_file.max(1),
            current: None,
            waiting: VecDeque::new(),
            buffer: vec![0; BLOCK],
            pending: 0..0,
            follow: None,
            done: false,
            path,
            options,
        };
        if reader.options.follow {
            reader.follow = Some(reader.start_follow()?);
        }
        reader.choose_files().map_err(|e| LogError::new("open", &reader.path, e))?;
        Ok(reader)
    }

    /// The means to stop a reader that follows.
    pub fn follow_handle(&self) -> Option<FollowHandle> {
        self.follow.as_ref().map(|f| f.handle.clone())
    }

    /// The next records; waits for them at most `wait`, and only if it follows.
    pub fn next(&mut self, wait: Duration) -> Result<Next, LogError> {
        let failed = |path: &std::path::Path, e| LogError::new("read", path, e);
        loop {
            if self.done || self.state() == CANCELLED {
                return Ok(Next::End);
            }
            // Seen before the reading, so that what was written before the end is read.
            let ended = self.state() != RUNNING;
            match self.read_on() {
                Ok(Some(batch)) if batch.is_empty() => continue,
                Ok(Some(batch)) => return Ok(Next::Batch(batch)),
                Ok(None) => {}
                Err(e) => return Err(failed(&self.path, e)),
            }
            if self.done || ended || self.follow.is_none() || self.is_past() {
                self.done = true;
                return Ok(Next::End);
            }
            if !self.wait(wait).map_err(|e| failed(&self.path, e))? {
                return Ok(Next::Idle);
            }
        }
    }

    fn state(&self) -> u8 {
        self.follow.as_ref().map_or(ENDED, |f| f.handle.state.load(Ordering::SeqCst))
    }

    fn is_past(&self) -> bool {
        self.options.until.is_some_and(|until| time::now() > until)
    }

    fn start_follow(&self) -> Result<Follow, LogError> {
        let failed = |e: rustix::io::Errno| LogError::new("follow", &self.path, e);
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(failed)?;
        let handle = FollowHandle { state: Arc::new(AtomicU8::new(RUNNING)), wake: Arc::new(wake) };
        let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
        let events = inotify::WatchFlags::MODIFY
            | inotify::WatchFlags::CREATE
            | inotify::WatchFlags::MOVED_TO;
        // Watching fails when the user's inotify instances or watches are used up; then the file is polled.
        let inotify = inotify::init(flags).ok().filter(|fd| {
            self.path.parent().is_some_and(|dir| inotify::add_watch(fd, dir, events).is_ok())
        });
        Ok(Follow { handle, inotify })
    }

    /// Opens the files to read: all of them, or as many as the last records need.
    fn choose_files(&mut self) -> io::Result<()> {
        let mut wanted = self.options.tail;
        for mut entry in chain::open(&self.path, self.max_file)? {
            let start = match wanted {
                None => Start::default(),
                Some(records) => tail::find(self.format, &mut entry, records)?,
            };
            self.waiting.push_front((entry, start));
            if let Some(left) = &mut wanted {
                *left -= start.records;
                if *left == 0 {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Decodes what is in the buffer or reads more of it. `None`: at the end for now.
    fn read_on(&mut self) -> io::Result<Option<Batch>> {
        loop {
            if self.current.is_none() && !self.open_next()? {
                return Ok(None);
            }
            if self.fill()? > 0 {
                let mut batch = Batch { framed: self.options.framed, ..Batch::default() };
                self.decode(&mut batch);
                return Ok(Some(batch));
            }
            if !self.leave_file()? {
                return Ok(None);
            }
        }
    }

    /// Starts with the next file that waits. False if there is none.
    fn open_next(&mut self) -> io::Result<bool> {
        if self.waiting.is_empty() && self.follow.is_some() {
            // Nothing has been written so far; all that appears now is new.
            self.waiting = chain::open(&self.path, self.max_file)?
                .into_iter()
                .rev()
                .map(|entry| (entry, Start::default()))
                .collect();
        }
        let Some((mut entry, start)) = self.waiting.pop_front() else { return Ok(false) };
        let mut limit = None;
        let mut attrs = None;
        if let Input::Plain(file) = &mut entry.input {
            if self.format == Format::Local && start.offset > 0 {
                attrs = read_attrs(file)?;
            }
            file.seek(SeekFrom::Start(start.offset))?;
            if self.follow.is_none() && self.waiting.is_empty() {
                // Without follow the log ends where it ends now, however fast the program writes.
                limit = Some(file.metadata()?.len());
            }
        }
        let rotated = !self.waiting.is_empty();
        let (position, skip) = (start.offset, start.skip);
        self.current = Some(Current { entry, position, limit, skip, attrs, rotated });
        self.pending = 0..0;
        Ok(true)
    }

    /// Reads more of the current file behind what is pending; gives the number of new bytes.
    fn fill(&mut self) -> io::Result<usize> {
        let Some(current) = &mut self.current else { return Ok(0) };
        self.buffer.copy_within(self.pending.clone(), 0);
        self.pending = 0..self.pending.len();
        if self.pending.len() == self.buffer.len() {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        let room = &mut self.buffer[self.pending.end..];
        let most = current.limit.map_or(u64::MAX, |limit| limit.saturating_sub(current.position));
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(room.len());
        let n = loop {
            match current.entry.input.read(&mut room[..most]) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        current.position += u64::try_from(n).unwrap_or(0);
        self.pending.end += n;
        Ok(n)
    }

    /// At the end of a file: true if there is something to read after all, here or in a younger file.
    fn leave_file(&mut self) -> io::Result<bool> {
        let Some(current) = &mut self.current else { return Ok(false) };
        if !current.rotated {
            if self.follow.is_none() {
                self.done = true;
                return Ok(false);
            }
            if let Input::Plain(file) = &mut current.entry.input {
                if file.metadata()?.len() < current.position {
                    // Somebody emptied the file; begin anew.
                    file.seek(SeekFrom::Start(0))?;
                    (current.position, current.attrs, self.pending) = (0, None, 0..0);
                    return Ok(true);
                }
            }
            match chain::current(&self.path)? {
                Some(id) if id != current.entry.id => {}
                // In the middle of a rotation there is no current file for a moment.
                _ => return Ok(false),
            }
            // The writer may have added to this file between our last read and its renaming: read again.
            current.rotated = true;
            return Ok(true);
        }
        if self.waiting.is_empty() {
            let id = current.entry.id;
            let younger = chain::open(&self.path, self.max_file)?;
            let place = younger.iter().position(|e| e.id == id).unwrap_or(younger.len());
            self.waiting =
                younger.into_iter().take(place).map(|e| (e, Start::default())).rev().collect();
        }
        self.current = None;
        Ok(true)
    }

    /// Decodes all whole records that are pending.
    fn decode(&mut self, batch: &mut Batch) {
        let used = match self.format {
            Format::Json => self.decode_lines(batch),
            Format::Local => self.decode_blocks(batch),
        };
        self.pending.start += used;
        if self.pending.len() > LONGEST {
            self.pending = 0..0;
        }
    }

    fn decode_lines(&mut self, batch: &mut Batch) -> usize {
        let Some(current) = &mut self.current else { return 0 };
        let bytes = &self.buffer[self.pending.clone()];
        let mut at = 0;
        while let Some(length) = memchr::memchr(b'\n', &bytes[at..]) {
            let line = &bytes[at..at + length];
            at += length + 1;
            if current.skip > 0 {
                current.skip -= 1;
                continue;
            }
            match json::decode(line, &self.options, &mut batch.bytes) {
                Decoded::Record(stream) => batch.ends.push((stream, batch.bytes.len())),
                Decoded::Skipped => {}
                Decoded::Past => {
                    self.done = true;
                    break;
                }
            }
        }
        at
    }

    fn decode_blocks(&mut self, batch: &mut Batch) -> usize {
        let Some(current) = &mut self.current else { return 0 };
        let bytes = &self.buffer[self.pending.clone()];
        let mut at = 0;
        if current.attrs.is_none() {
            let Some((length, attrs)) = local::parse_header(bytes) else { return 0 };
            (at, current.attrs) = (length, Some(attrs));
        }
        let attrs = current.attrs.get_or_insert_default();
        loop {
            let block = match local::parse_block(&bytes[at..]) {
                local::Parsed::Whole(block) => block,
                local::Parsed::Short => return at,
                // Only a torn end looks like this: nothing behind it can be read.
                local::Parsed::Bad => return bytes.len(),
            };
            at += block.size;
            let records = local::count_records(block.text);
            let skip = current.skip.min(records);
            current.skip -= skip;
            if skip < records && !local::decode(&block, skip, attrs, &self.options, batch) {
                self.done = true;
                return at;
            }
        }
    }

    /// Waits for something to happen to the log. False: nothing did.
    fn wait(&self, wait: Duration) -> io::Result<bool> {
        let Some(follow) = &self.follow else { return Ok(false) };
        let mut timeout = wait;
        if let Some(until) = self.options.until {
            let left = u64::try_from(until - time::now()).unwrap_or(0);
            timeout = timeout.min(Duration::from_nanos(left) + Duration::from_millis(1));
        }
        let mut fds = vec![PollFd::new(&follow.handle.wake, PollFlags::IN)];
        match &follow.inotify {
            Some(inotify) => fds.push(PollFd::new(inotify, PollFlags::IN)),
            None => timeout = timeout.min(POLL),
        }
        let timespec = Timespec::try_from(timeout).map_err(io::Error::other)?;
        let ready = match poll(&mut fds, Some(&timespec)) {
            Ok(n) => n > 0,
            Err(rustix::io::Errno::INTR) => true,
            Err(e) => return Err(e.into()),
        };
        if let Some(inotify) = &follow.inotify {
            let mut events = [0; 4096];
            while rustix::io::read(inotify, &mut events).is_ok_and(|n| n > 0) {}
        }
        Ok(ready || timeout < wait)
    }
}

fn read_attrs(file: &mut std::fs::File) -> io::Result<Option<BTreeMap<String, String>>> {
    file.seek(SeekFrom::Start(0))?;
    let mut start = vec![0; 12];
    file.read_exact(&mut start)?;
    let length = u32::from_le_bytes([start[8], start[9], start[10], start[11]]);
    start.resize(12 + usize::try_from(length).unwrap_or(0).min(1 << 20), 0);
    file.read_exact(&mut start[12..])?;
    Ok(local::parse_header(&start).map(|(_, attrs)| attrs))
}
