//! A table whose keys are small, reused, and never mistaken: a key of an entry that is gone finds nothing, even when
//! its place has a new entry. epoll may still deliver an event for a socket that was closed in the same round.

/// A key: place and generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    pub(super) index: u32,
    pub(super) generation: u32,
}

/// Generations are this many bits wide (see `poll.rs`).
pub const GENERATION_MASK: u32 = 0x00ff_ffff;

#[derive(Debug)]
struct Place<T> {
    generation: u32,
    value: Option<T>,
}

/// The table.
#[derive(Debug)]
pub struct Slab<T> {
    places: Vec<Place<T>>,
    free: Vec<u32>,
}

impl<T> Slab<T> {
    /// An empty table.
    pub fn new() -> Slab<T> {
        Slab { places: Vec::new(), free: Vec::new() }
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Adds an entry made with its own key.
    pub fn insert(&mut self, value: T) -> Key {
        if let Some(index) = self.free.pop() {
            if let Some(place) = self.place_mut(index) {
                place.generation = (place.generation + 1) & GENERATION_MASK;
                place.value = Some(value);
                return Key { index, generation: place.generation };
            }
        }
        let index = u32::try_from(self.places.len()).unwrap_or(u32::MAX);
        self.places.push(Place { generation: 0, value: Some(value) });
        Key { index, generation: 0 }
    }

    fn place_mut(&mut self, index: u32) -> Option<&mut Place<T>> {
        self.places.get_mut(usize::try_from(index).ok()?)
    }

    /// The entry.
    pub fn get(&self, key: Key) -> Option<&T> {
        let place = self.places.get(usize::try_from(key.index).ok()?)?;
        place.value.as_ref().filter(|_| place.generation == key.generation)
    }

    /// The entry, to change.
    pub fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let place = self.place_mut(key.index)?;
        if place.generation == key.generation { place.value.as_mut() } else { None }
    }

    /// Takes the entry out.
    pub fn remove(&mut self, key: Key) -> Option<T> {
        let place = self.place_mut(key.index).filter(|p| p.generation == key.generation)?;
        let value = place.value.take()?;
        self.free.push(key.index);
        Some(value)
    }

    /// All entries with their keys.
    pub fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        self.places.iter().zip(0u32..).filter_map(|(place, index)| {
            let key = Key { index, generation: place.generation };
            place.value.as_ref().map(|value| (key, value))
        })
    }

    /// The keys of the entries that `wanted` picks.
    pub fn keys(&self, wanted: impl Fn(&T) -> bool) -> Vec<Key> {
        self.iter().filter(|(_, value)| wanted(value)).map(|(key, _)| key).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_key_finds_nothing_in_a_reused_place() {
        let mut slab = Slab::new();
        let old = slab.insert("a");
        assert_eq!(slab.remove(old), Some("a"));
        let new = slab.insert("b");
        assert_eq!((old.index, slab.len()), (new.index, 1));
        assert_eq!(slab.get(old), None);
        assert_eq!(slab.remove(old), None);
        assert_eq!(slab.get(new), Some(&"b"));
    }
}
