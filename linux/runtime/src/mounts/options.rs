//! Mount options as the OCI spec and Docker write them, sorted by what they mean.

use bryo_sys::mount::{Attributes, Change, Propagation};

use crate::error::{Error, Result};

/// The options of one mount.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    /// `bind` or `rbind` is among them.
    pub(crate) bind: bool,
    /// `rbind`: with the mounts below the source.
    pub(crate) recursive: bool,
    /// Attributes of the mount itself.
    pub(crate) attributes: Change,
    /// Attributes of it and all mounts below (`rro`, `rnosuid` …).
    pub(crate) tree_attributes: Change,
    /// Propagation and whether it counts for the mounts below as well.
    pub(crate) propagation: Option<(Propagation, bool)>,
    /// `tmpcopyup`: a tmpfs starts with what the image has there.
    pub(crate) copy_up: bool,
    /// Everything else: options of the filesystem.
    pub(crate) data: Vec<(String, Option<String>)>,
}

impl Options {
    /// Sorts a list of options. Unknown words belong to the filesystem, which complains if it does not know them.
    pub(crate) fn parse<'a>(list: impl IntoIterator<Item = &'a str>) -> Result<Options> {
        let mut options = Options::default();
        for word in list {
            options.take(word)?;
        }
        Ok(options)
    }

    /// The value of a filesystem option.
    pub(crate) fn value(&self, key: &str) -> Option<&str> {
        self.data.iter().find(|(k, _)| k == key).and_then(|(_, v)| v.as_deref())
    }

    fn take(&mut self, word: &str) -> Result<()> {
        match word {
            "bind" => self.bind = true,
            "rbind" => (self.bind, self.recursive) = (true, true),
            "tmpcopyup" => self.copy_up = true,
            // mount(8)'s words without a meaning here.
            "" | "defaults" | "async" | "rprivate_default" | "remount" | "nofail" | "_netdev" => {}
            "idmap" | "ridmap" => {
                return Err(Error::bad(format!(
                    "the mount option {word} is not possible: the kernel refuses idmapped mounts in a user namespace"
                )));
            }
            _ => {
                if let Some(propagation) = propagation(word) {
                    self.propagation = Some(propagation);
                } else if let Some(change) = attribute(word) {
                    self.attributes = merge(self.attributes, change);
                } else if let Some(change) = word.strip_prefix('r').and_then(attribute) {
                    self.tree_attributes = merge(self.tree_attributes, change);
                } else {
                    let (key, value) = match word.split_once('=') {
                        Some((key, value)) => (key, Some(value.to_owned())),
                        None => (word, None),
                    };
                    self.data.push((key.to_owned(), value));
                }
            }
        }
        Ok(())
    }
}

/// The later change wins, as with mount(8).
fn merge(before: Change, after: Change) -> Change {
    Change {
        set: before.set.without(after.clear).with(after.set),
        clear: before.clear.without(after.set).with(after.clear),
        propagation: None,
    }
}

fn propagation(word: &str) -> Option<(Propagation, bool)> {
    Some(match word {
        "private" => (Propagation::Private, false),
        "rprivate" => (Propagation::Private, true),
        "slave" => (Propagation::Slave, false),
        "rslave" => (Propagation::Slave, true),
        "shared" => (Propagation::Shared, false),
        "rshared" => (Propagation::Shared, true),
        "unbindable" => (Propagation::Unbindable, false),
        "runbindable" => (Propagation::Unbindable, true),
        _ => return None,
    })
}

fn attribute(word: &str) -> Option<Change> {
    let set = |set| Change { set, ..Change::default() };
    let clear = |clear| Change { clear, ..Change::default() };
    Some(match word {
        "ro" => set(Attributes::RDONLY),
        "rw" => clear(Attributes::RDONLY),
        "nosuid" => set(Attributes::NOSUID),
        "suid" => clear(Attributes::NOSUID),
        "nodev" => set(Attributes::NODEV),
        "dev" => clear(Attributes::NODEV),
        "noexec" => set(Attributes::NOEXEC),
        "exec" => clear(Attributes::NOEXEC),
        "noatime" => set(Attributes::NOATIME),
        "strictatime" => set(Attributes::STRICTATIME),
        "relatime" | "atime" | "norelatime" | "nostrictatime" => clear(Attributes::ATIME),
        "nodiratime" => set(Attributes::NODIRATIME),
        "diratime" => clear(Attributes::NODIRATIME),
        "nosymfollow" => set(Attributes::NOSYMFOLLOW),
        "symfollow" => clear(Attributes::NOSYMFOLLOW),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_s_bind_options() {
        let o = Options::parse(["rbind", "ro", "rprivate"]).unwrap();
        assert!(o.bind && o.recursive);
        assert_eq!(o.attributes.set, Attributes::RDONLY);
        assert_eq!(o.propagation, Some((Propagation::Private, true)));
        assert!(o.data.is_empty());
    }

    #[test]
    fn recursive_read_only_and_the_last_word_wins() {
        let o = Options::parse(["rbind", "rro", "noexec", "exec"]).unwrap();
        assert_eq!(o.tree_attributes.set, Attributes::RDONLY);
        assert_eq!(o.attributes.set, Attributes::NONE);
        assert_eq!(o.attributes.clear, Attributes::NOEXEC);
    }

    #[test]
    fn what_is_left_belongs_to_the_filesystem() {
        let o = Options::parse(["nosuid", "mode=755", "size=64k", "newinstance"]).unwrap();
        assert_eq!(o.value("mode"), Some("755"));
        assert_eq!(o.data.len(), 3);
    }

    #[test]
    fn idmapped_mounts_are_refused_with_the_reason() {
        assert!(Options::parse(["bind", "idmap"]).is_err());
    }
}
