//! Filters of list, prune and event calls.

use std::collections::BTreeMap;

/// `key → values`; values of one key are alternatives, keys all must match (docker's rule).
///
/// The door parses both of Docker's encodings (`{"label":["a"]}` and `{"label":{"a":true}}`) into this; the engine refuses keys
/// that the call does not know (`invalid filter 'x'`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filters(pub BTreeMap<String, Vec<String>>);

impl Filters {
    /// The values of a key; empty if it is not there.
    pub fn get(&self, key: &str) -> &[String] {
        self.0.get(key).map_or(&[], Vec::as_slice)
    }

    /// Whether the key is there.
    pub fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }
}
