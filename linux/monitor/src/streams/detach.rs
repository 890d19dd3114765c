//! Looks for the detach keys in what a client types.

/// A matcher that remembers half a sequence between reads.
#[derive(Debug, Default)]
pub(super) struct DetachKeys {
    keys: Vec<u8>,
    matched: usize,
}

impl DetachKeys {
    /// Looks for `keys`; for nothing if that is empty.
    pub(super) fn new(keys: Vec<u8>) -> DetachKeys {
        DetachKeys { keys, matched: 0 }
    }

    /// Appends what is to be passed on to `out`; keys that may be the start of the sequence are held back until it is
    /// clear. True: the sequence is complete, what follows it is dropped.
    pub(super) fn feed(&mut self, typed: &[u8], out: &mut Vec<u8>) -> bool {
        if self.keys.is_empty() {
            out.extend_from_slice(typed);
            return false;
        }
        for &key in typed {
            if key != self.keys[self.matched] {
                out.extend_from_slice(&self.keys[..self.matched]);
                self.matched = 0;
            }
            if key != self.keys[self.matched] {
                out.push(key);
                continue;
            }
            self.matched += 1;
            if self.matched == self.keys.len() {
                self.matched = 0;
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(keys: &mut DetachKeys, typed: &[u8]) -> (Vec<u8>, bool) {
        let mut out = Vec::new();
        let detached = keys.feed(typed, &mut out);
        (out, detached)
    }

    #[test]
    fn the_sequence_is_found_across_reads() {
        let mut keys = DetachKeys::new(vec![16, 17]);
        assert_eq!(feed(&mut keys, b"ls\n\x10"), (b"ls\n".to_vec(), false));
        assert_eq!(feed(&mut keys, b"\x11rest"), (Vec::new(), true));
    }

    #[test]
    fn half_a_sequence_is_passed_on_once_it_fails() {
        let mut keys = DetachKeys::new(vec![16, 17]);
        assert_eq!(feed(&mut keys, b"\x10"), (Vec::new(), false));
        assert_eq!(feed(&mut keys, b"x\x10\x10"), (b"\x10x\x10".to_vec(), false));
        assert_eq!(feed(&mut keys, b"\x11"), (Vec::new(), true));
    }

    #[test]
    fn no_keys_never_detach() {
        assert_eq!(
            feed(&mut DetachKeys::new(Vec::new()), b"\x10\x11"),
            (b"\x10\x11".to_vec(), false)
        );
    }
}
