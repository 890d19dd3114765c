//! A file that grows while it is read: the download writes at one end, the unpacking reads behind it.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use crate::error::{At, Error, Result};

/// How far the writing has come. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Growth {
    shared: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Debug, Default)]
struct State {
    /// Bytes that are in the file.
    written: u64,
    /// Bytes that were read.
    read: u64,
    /// Nothing more will come, or why not.
    end: Option<Result<()>>,
}

impl Growth {
    /// So many bytes are there.
    pub fn set(&self, written: u64) {
        self.change(|state| state.written = written);
    }

    /// Nothing more will come. The first reason counts.
    pub fn end(&self, outcome: Result<()>) {
        self.change(|state| {
            state.end.get_or_insert(outcome);
        });
    }

    /// Stops the reader, even if the file is complete.
    pub fn cancel(&self) {
        self.change(|state| state.end = Some(Err(Error::cancelled())));
    }

    /// Bytes that were read so far.
    pub fn read_so_far(&self) -> u64 {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner).read
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.shared.0.lock().unwrap_or_else(PoisonError::into_inner));
        self.shared.1.notify_all();
    }

    /// Waits until there is something after `position`; 0 means the end.
    fn wait(&self, position: u64) -> Result<u64> {
        let mut state = self.shared.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.read = position;
        loop {
            if let Some(Err(e)) = &state.end {
                return Err(e.clone());
            }
            if state.written > position {
                return Ok(state.written - position);
            }
            if state.end.is_some() {
                return Ok(0);
            }
            state = self.shared.1.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Reads a growing file from its beginning to its end.
#[derive(Debug)]
pub(crate) struct Follower {
    file: File,
    growth: Growth,
    position: u64,
}

impl Follower {
    /// Opens the file, which must exist.
    pub fn open(path: &Path, growth: Growth) -> Result<Follower> {
        Ok(Follower { file: File::open(path).at("open", path)?, growth, position: 0 })
    }
}

impl Read for Follower {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.growth.wait(self.position).map_err(Error::into_read)?;
        let length = usize::try_from(available).unwrap_or(usize::MAX).min(buffer.len());
        let room = buffer.get_mut(..length).unwrap_or_default();
        let length = self.file.read_at(room, self.position)?;
        self.position += length as u64;
        Ok(length)
    }
}
