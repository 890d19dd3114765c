//! Which ids of the host Bryo may use, and how they look inside its user namespace.
//!
//! Subordinate ids come from **all** ranges that /etc/subuid and /etc/subgid give to the user, by name or by number, or,
//! where nsswitch.conf names another source (`subid: sss`), from the program `getsubids`. Inside, 0 is the user and
//! 1, 2 … are the ranges one after the other. With no ranges the map is that one line: single-id mode.

use std::path::{Path, PathBuf};
use std::process::Command;

/// How many subordinate ids images expect: 65536, so that `nobody` (65534) exists.
pub const EXPECTED: u32 = 65536;

/// The kernel takes at most so many lines in a map (Linux 4.15).
const MAX_LINES: usize = 340;

/// Consecutive ids of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct IdRange {
    /// The first.
    pub start: u32,
    /// How many.
    pub count: u32,
}

/// One line of a uid_map or gid_map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MapLine {
    /// First id inside.
    pub inside: u32,
    /// First id outside.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

/// What is mapped into Bryo's user namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdMaps {
    /// User ids; the first line is 0 → the user.
    pub uids: Vec<MapLine>,
    /// Group ids; the first line is 0 → the user's group.
    pub gids: Vec<MapLine>,
}

impl IdMaps {
    /// The user's own ids, then all ranges. No ranges of either kind: single-id mode.
    pub fn new(uid: u32, gid: u32, subuids: &[IdRange], subgids: &[IdRange]) -> IdMaps {
        if subuids.is_empty() || subgids.is_empty() {
            return IdMaps { uids: lines(uid, &[]), gids: lines(gid, &[]) };
        }
        IdMaps { uids: lines(uid, subuids), gids: lines(gid, subgids) }
    }

    /// No subordinate ids are mapped.
    pub fn is_single(&self) -> bool {
        self.uids.len() == 1
    }

    /// How many uids and gids exist inside; ids from this number on do not.
    pub fn limits(&self) -> (u32, u32) {
        (total(&self.uids), total(&self.gids))
    }

    /// Reads the maps of the namespace that the calling process is in.
    pub fn current() -> std::io::Result<IdMaps> {
        let read = |p: &str| std::fs::read_to_string(p).map(|t| parse_map(&t));
        Ok(IdMaps { uids: read("/proc/self/uid_map")?, gids: read("/proc/self/gid_map")? })
    }
}

fn lines(own: u32, ranges: &[IdRange]) -> Vec<MapLine> {
    let mut map = vec![MapLine { inside: 0, outside: own, count: 1 }];
    let mut next: u32 = 1;
    for range in ranges.iter().take(MAX_LINES - 1) {
        // -1 is no id, so the ids inside end before it.
        let count = range.count.min(u32::MAX - 1 - next);
        if count == 0 {
            break;
        }
        map.push(MapLine { inside: next, outside: range.start, count });
        next += count;
    }
    map
}

fn total(map: &[MapLine]) -> u32 {
    map.iter().fold(0u32, |n, l| n.saturating_add(l.count))
}

fn parse_map(text: &str) -> Vec<MapLine> {
    text.lines()
        .filter_map(|line| {
            let mut n = line.split_ascii_whitespace().map(str::parse::<u32>);
            let (a, b, c) = (n.next()?, n.next()?, n.next()?);
            Some(MapLine { inside: a.ok()?, outside: b.ok()?, count: c.ok()? })
        })
        .collect()
}

/// The ranges that a subuid or subgid file gives to a user; sorted, overlaps merged.
pub fn parse_ranges(text: &str, name: Option<&str>, uid: u32) -> Vec<IdRange> {
    let number = uid.to_string();
    let mut ranges = Vec::new();
    for line in text.lines() {
        let mut fields = line.trim().split(':');
        let (Some(owner), Some(start), Some(count)) = (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        if owner != number && Some(owner) != name {
            continue;
        }
        if let (Ok(start), Ok(count)) = (start.trim().parse(), count.trim().parse()) {
            ranges.push(IdRange { start, count });
        }
    }
    merge(ranges)
}

/// The ranges in the output of `getsubids` (`0: name start count` a line).
fn parse_getsubids(text: &str) -> Vec<IdRange> {
    let ranges = text.lines().filter_map(|line| {
        let mut fields = line.split_ascii_whitespace().rev();
        let count = fields.next()?.parse().ok()?;
        Some(IdRange { start: fields.next()?.parse().ok()?, count })
    });
    merge(ranges.collect())
}

/// The kernel refuses maps whose outside ranges overlap.
fn merge(mut ranges: Vec<IdRange>) -> Vec<IdRange> {
    ranges.retain(|r| r.count > 0);
    ranges.sort_unstable();
    let mut merged: Vec<IdRange> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last)
                if u64::from(range.start) <= u64::from(last.start) + u64::from(last.count) =>
            {
                let end = (u64::from(range.start) + u64::from(range.count))
                    .max(u64::from(last.start) + u64::from(last.count));
                last.count = u32::try_from(end - u64::from(last.start)).unwrap_or(u32::MAX);
            }
            _ => merged.push(range),
        }
    }
    merged
}

/// Where subordinate ids are looked up.
#[derive(Debug, Clone)]
pub struct Sources {
    /// /etc/subuid.
    pub subuid: PathBuf,
    /// /etc/subgid.
    pub subgid: PathBuf,
    /// The program `getsubids`, when another source than the files is configured.
    pub getsubids: Option<PathBuf>,
}

impl Sources {
    /// The system's. `getsubids` is only asked where nsswitch.conf has a `subid:` line, because starting it costs more than
    /// reading two files.
    pub fn system(path: &[PathBuf]) -> Sources {
        let nsswitch = std::fs::read_to_string("/etc/nsswitch.conf").unwrap_or_default();
        let elsewhere = nsswitch.lines().any(|l| l.trim_start().starts_with("subid:"));
        let getsubids = if elsewhere { find_program(path, "getsubids") } else { None };
        Sources { subuid: "/etc/subuid".into(), subgid: "/etc/subgid".into(), getsubids }
    }

    /// The user's subordinate uids and gids.
    pub fn ranges(&self, name: Option<&str>, uid: u32) -> (Vec<IdRange>, Vec<IdRange>) {
        if let Some(program) = &self.getsubids {
            let who = name.map_or_else(|| uid.to_string(), str::to_owned);
            let uids = run_getsubids(program, &[&who]);
            let gids = run_getsubids(program, &["-g", &who]);
            if !uids.is_empty() && !gids.is_empty() {
                return (uids, gids);
            }
        }
        let read = |file: &Path| std::fs::read_to_string(file).unwrap_or_default();
        (parse_ranges(&read(&self.subuid), name, uid), parse_ranges(&read(&self.subgid), name, uid))
    }
}

fn run_getsubids(program: &Path, args: &[&str]) -> Vec<IdRange> {
    match Command::new(program).args(args).output() {
        Ok(out) if out.status.success() => parse_getsubids(&String::from_utf8_lossy(&out.stdout)),
        _ => Vec::new(),
    }
}

/// The first start, at 100000 or above, that no range of the file touches: for the command that mends a missing entry.
pub fn free_start(text: &str) -> u32 {
    let end = text.lines().filter_map(|line| {
        let mut fields = line.split(':').skip(1);
        let start: u32 = fields.next()?.trim().parse().ok()?;
        start.checked_add(fields.next()?.trim().parse().ok()?)
    });
    end.fold(100_000, u32::max)
}

/// The first executable of that name in the folders.
pub fn find_program(path: &[PathBuf], name: &str) -> Option<PathBuf> {
    path.iter().map(|dir| dir.join(name)).find(|file| {
        file.is_file() && rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_range_by_name_or_number_counts() {
        let text =
            "other:1:2\nme:200000:1000\n1000:100000:65536\n# me:1:1\nme:bad:1\n1000:165536:10\n";
        assert_eq!(
            parse_ranges(text, Some("me"), 1000),
            [IdRange { start: 100_000, count: 65546 }, IdRange { start: 200_000, count: 1000 }]
        );
        assert!(parse_ranges(text, None, 7).is_empty());
    }

    #[test]
    fn the_map_is_the_user_and_then_the_ranges() {
        let uids = [IdRange { start: 5000, count: 10 }, IdRange { start: 9000, count: 5 }];
        let maps = IdMaps::new(1000, 100, &uids, &[IdRange { start: 70, count: 3 }]);
        assert_eq!(maps.uids[2], MapLine { inside: 11, outside: 9000, count: 5 });
        assert_eq!(maps.limits(), (16, 4));
        assert!(!maps.is_single());
        assert!(IdMaps::new(1000, 100, &uids, &[]).is_single());
    }

    #[test]
    fn getsubids_output_is_read_from_its_end() {
        let text = "0: some one 100000 65536\n1: some one 300000 1\n";
        assert_eq!(parse_getsubids(text).len(), 2);
        assert_eq!(parse_getsubids(text)[0], IdRange { start: 100_000, count: 65536 });
    }

    #[test]
    fn a_free_range_is_past_all_others() {
        assert_eq!(free_start(""), 100_000);
        assert_eq!(free_start("a:100000:65536\nb:165536:65536\n"), 231_072);
    }
}
