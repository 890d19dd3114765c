//! How much memory a container's processes have, read from /proc at three prices.
//!
//! | reading | price for a process | what it tells |
//! |---|---|---|
//! | `statm` | some 5 µs | an upper bound: private pages, and shared ones but for the files known from the last `status` |
//! | `status` | some 20 µs | how many of the shared pages are files; read when a process is first seen and near the limit |
//! | `smaps_rollup` | 50 µs and more, it walks the page tables | the process' proportional share, so that what forked processes share counts once |
//!
//! The cheap bound is read each time; the others only where the bound passes the limit. File-backed pages are page cache,
//! which the machine takes back when it needs it; they never count, as nothing would be gained by killing for them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read;

/// Bytes of anonymous memory and of shared memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    pub(crate) anonymous: u64,
    pub(crate) shared: u64,
}

impl Memory {
    pub(crate) fn sum(self) -> u64 {
        self.anonymous.saturating_add(self.shared)
    }
}

impl std::ops::AddAssign for Memory {
    fn add_assign(&mut self, other: Memory) {
        self.anonymous = self.anonymous.saturating_add(other.anonymous);
        self.shared = self.shared.saturating_add(other.shared);
    }
}

/// Remembers what does not change often, so that most readings are cheap.
#[derive(Debug)]
pub(crate) struct Census {
    page: u64,
    /// Bytes of file mappings by pid, as of the last reading of `status`.
    files: BTreeMap<u32, u64>,
    text: String,
    path: String,
}

impl Census {
    pub(crate) fn new() -> Census {
        let page = u64::try_from(rustix::param::page_size()).unwrap_or(4096);
        Census { page, files: BTreeMap::new(), text: String::new(), path: String::new() }
    }

    /// An upper bound of what these processes have.
    pub(crate) fn bound(&mut self, pids: &[u32]) -> Memory {
        let mut total = Memory::default();
        for &pid in pids {
            total += self.bound_of(pid).unwrap_or_default();
        }
        if self.files.len() > pids.len().saturating_mul(2).saturating_add(64) {
            self.files.retain(|pid, _| pids.contains(pid));
        }
        total
    }

    fn bound_of(&mut self, pid: u32) -> Option<Memory> {
        let known = match self.files.get(&pid) {
            Some(known) => *known,
            None => self.refresh(pid)?,
        };
        self.read(pid, "statm")?;
        let mut fields = self.text.split_ascii_whitespace().skip(1).map(|f| f.parse::<u64>());
        let (resident, shared) = (fields.next()?.ok()?, fields.next()?.ok()?);
        let bytes = |pages: u64| pages.saturating_mul(self.page);
        Some(Memory {
            anonymous: bytes(resident.saturating_sub(shared)),
            shared: bytes(shared).saturating_sub(known),
        })
    }

    /// What these processes have, each with its share of what it shares. The second is each process' own.
    pub(crate) fn exact(&mut self, pids: &[u32]) -> (Memory, Vec<(u32, u64)>) {
        let mut total = Memory::default();
        let mut each = Vec::with_capacity(pids.len());
        for &pid in pids {
            self.refresh(pid);
            // A process whose share cannot be read has ended, or hides from its own user: then the bound has to do.
            let memory = self.share(pid).or_else(|| self.bound_of(pid)).unwrap_or_default();
            total += memory;
            each.push((pid, memory.sum()));
        }
        (total, each)
    }

    fn share(&mut self, pid: u32) -> Option<Memory> {
        self.read(pid, "smaps_rollup")?;
        // Both since Linux 5.4; a kernel without them has no line, and the bound is used.
        Some(Memory {
            anonymous: kilobytes(&self.text, "Pss_Anon:")?,
            shared: kilobytes(&self.text, "Pss_Shmem:")?,
        })
    }

    fn refresh(&mut self, pid: u32) -> Option<u64> {
        self.read(pid, "status")?;
        // A process that is ending has no memory lines any more.
        let files = kilobytes(&self.text, "RssFile:").unwrap_or(0);
        self.files.insert(pid, files);
        Some(files)
    }

    /// Reads a file of a process into `text`.
    fn read(&mut self, pid: u32, file: &str) -> Option<()> {
        self.path.clear();
        write!(self.path, "/proc/{pid}/{file}").ok()?;
        self.text.clear();
        std::fs::File::open(&self.path).ok()?.read_to_string(&mut self.text).ok()?;
        Some(())
    }
}

/// `Name:   12 kB`, in bytes.
fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|l| l.strip_prefix(name))?;
    let number: u64 = line.split_ascii_whitespace().next()?.parse().ok()?;
    Some(number.saturating_mul(1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_is_touched_is_seen_by_both_readings() {
        let own = std::process::id();
        let mut census = Census::new();
        let before = (census.bound(&[own]).sum(), census.exact(&[own]).0.sum());
        let block = std::hint::black_box(vec![1_u8; 48 << 20]);
        let after = (census.bound(&[own]).sum(), census.exact(&[own]).0.sum());
        let grown = block.len() as u64 - (8 << 20);
        assert!(after.0 > before.0 + grown, "{before:?} {after:?}");
        assert!(after.1 > before.1 + grown, "{before:?} {after:?}");
        // Files that are mapped do not count.
        assert!(after.0 < after.1 + (8 << 20), "{after:?}");
    }

    #[test]
    fn a_process_that_is_gone_has_nothing() {
        let mut census = Census::new();
        assert_eq!(census.bound(&[u32::MAX]), Memory::default());
        assert_eq!(census.exact(&[u32::MAX]).0, Memory::default());
    }
}
