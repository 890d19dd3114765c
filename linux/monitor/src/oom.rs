//! Whether the kernel killed a process of the container for memory: `oom_kill` in the cgroup's `memory.events`.
//!
//! Only with a cgroup v2 folder. The kernel reports each change of the file to inotify (cgroup-v2.rst,
//! "memory.events": "a file modified event").

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::event::epoll::EventFlags;
use rustix::fs::inotify;

use crate::messages::Event;
use crate::monitor::Monitor;
use crate::poller::{Poller, Token};

/// A watch on one cgroup.
#[derive(Debug)]
pub(crate) struct OomEvents {
    file: PathBuf,
    before: u64,
    inotify: Option<OwnedFd>,
}

impl OomEvents {
    /// Watches `cgroup`; none if it has no memory controller.
    pub(crate) fn watch(cgroup: &str) -> Option<OomEvents> {
        let file = Path::new(cgroup).join("memory.events");
        let before = kills(&file)?;
        let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
        // Without inotify the kills are still counted when the container ends.
        let inotify = inotify::init(flags)
            .ok()
            .filter(|fd| inotify::add_watch(fd, &file, inotify::WatchFlags::MODIFY).is_ok());
        Some(OomEvents { file, before, inotify })
    }

    pub(crate) fn register(&self, poller: &Poller) {
        if let Some(fd) = &self.inotify {
            let _ = poller.add(fd, Token::Memory, EventFlags::IN);
        }
    }

    /// True if a process was killed since the last call.
    fn happened(&mut self) -> bool {
        if let Some(fd) = &self.inotify {
            let mut events = [0; 1024];
            while rustix::io::read(fd, &mut events).is_ok_and(|n| n > 0) {}
        }
        let now = kills(&self.file).unwrap_or(self.before);
        let happened = now > self.before;
        self.before = now;
        happened
    }
}

impl Monitor {
    /// Looks whether a process was killed for memory and tells the engines.
    pub(crate) fn on_oom(&mut self) {
        if self.oom.as_mut().is_some_and(OomEvents::happened) {
            self.note_oom();
        }
    }

    /// A process was killed for memory.
    pub(crate) fn note_oom(&mut self) {
        self.state.oom_killed = true;
        self.write_state();
        self.engines.broadcast(&self.poller, &Event::OutOfMemory);
    }
}

fn kills(file: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| line.strip_prefix("oom_kill "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kills_are_counted_once() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("memory.events");
        let write = |n: u32| {
            std::fs::write(&file, format!("low 0\nhigh 0\nmax 9\noom 3\noom_kill {n}\n")).unwrap();
        };
        write(2);
        let mut events = OomEvents::watch(dir.path().to_str().unwrap()).unwrap();
        assert!(!events.happened());
        write(3);
        assert!(events.happened());
        assert!(!events.happened());
        assert!(OomEvents::watch("/nonexistent").is_none());
    }
}
