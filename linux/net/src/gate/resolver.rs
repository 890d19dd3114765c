//! The host's resolvers, as its resolv.conf names them; the file is looked at again when it changed.
//!
//! A missing or empty file means a resolver on 127.0.0.1, as in the C library.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

/// How long the file's state is believed.
const FRESH: Duration = Duration::from_secs(1);

/// The list and where it comes from.
#[derive(Debug)]
pub struct Resolvers {
    path: Option<PathBuf>,
    changed: Option<SystemTime>,
    checked: Option<Instant>,
    list: Vec<IpAddr>,
}

impl Resolvers {
    /// Those of a resolv.conf.
    pub fn from_file(path: PathBuf) -> Resolvers {
        Resolvers { path: Some(path), changed: None, checked: None, list: Vec::new() }
    }

    /// A list that never changes.
    #[cfg(test)]
    pub fn fixed(list: Vec<IpAddr>) -> Resolvers {
        Resolvers { path: None, changed: None, checked: None, list }
    }

    /// The list as it is now.
    pub fn current(&mut self) -> &[IpAddr] {
        let Some(path) = &self.path else { return &self.list };
        if self.checked.is_some_and(|at| at.elapsed() < FRESH) {
            return &self.list;
        }
        self.checked = Some(Instant::now());
        let changed = std::fs::metadata(path).and_then(|m| m.modified()).ok();
        if self.list.is_empty() || changed != self.changed {
            self.changed = changed;
            self.list = parse(&std::fs::read_to_string(path).unwrap_or_default());
        }
        &self.list
    }
}

fn parse(text: &str) -> Vec<IpAddr> {
    let mut list: Vec<IpAddr> = text
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            if words.next() != Some("nameserver") {
                return None;
            }
            // Link-local servers have a zone that means nothing in a socket address of ours.
            words.next()?.parse().ok()
        })
        .take(3)
        .collect();
    if list.is_empty() {
        list.push(Ipv4Addr::LOCALHOST.into());
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_and_read_again_when_it_changes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("resolv.conf");
        std::fs::write(&path, "# x\nnameserver 127.0.0.53\nnameserver fd00::1\nsearch a\n")
            .unwrap();
        let mut resolvers = Resolvers::from_file(path.clone());
        assert_eq!(
            resolvers.current(),
            [IpAddr::from([127, 0, 0, 53]), "fd00::1".parse().unwrap()]
        );
        std::fs::write(&path, "options x\n").unwrap();
        resolvers.checked = None;
        resolvers.changed = None;
        assert_eq!(resolvers.current(), [IpAddr::from([127, 0, 0, 1])]);
    }
}
