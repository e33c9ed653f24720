//! The newest offset of each key, in bounded memory: keys are held as hashes of 128 bits.
//!
//! Pure. Two keys with the same hash would be taken for one; with 128 bits of SipHash that is less likely than a rotten disk.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher};

use headwater_base::Offset;

/// What an entry costs, at the emptiest that the table can be after it has grown.
const ENTRY_BYTES: usize = 60;

/// See the module.
#[derive(Debug)]
pub(crate) struct OffsetMap {
    newest: HashMap<(u64, u64), Offset>,
    keys_max: usize,
}

impl OffsetMap {
    pub fn new(bytes_max: usize) -> Self {
        Self {
            newest: HashMap::new(),
            keys_max: (bytes_max / ENTRY_BYTES).max(1),
        }
    }

    /// Whether another key would be too many.
    pub fn is_full(&self) -> bool {
        self.newest.len() >= self.keys_max
    }

    /// Notes a record; offsets come ascending.
    pub fn note(&mut self, key: &[u8], offset: Offset) {
        self.newest.insert(hash(key), offset);
    }

    /// Whether a newer record of the key is known.
    pub fn supersedes(&self, key: &[u8], offset: Offset) -> bool {
        !self.newest.is_empty()
            && self
                .newest
                .get(&hash(key))
                .is_some_and(|newest| *newest > offset)
    }
}

fn hash(key: &[u8]) -> (u64, u64) {
    let half = |seed: u8| {
        let mut hasher = DefaultHasher::new();
        hasher.write_u8(seed);
        hasher.write(key);
        hasher.finish()
    };
    (half(1), half(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_offset_of_a_key_counts() {
        let mut map = OffsetMap::new(180);
        assert!(!map.supersedes(b"a", 0));
        map.note(b"a", 1);
        map.note(b"a", 5);
        map.note(b"b", 3);
        assert!(map.supersedes(b"a", 4) && !map.supersedes(b"a", 5));
        assert!(!map.supersedes(b"c", 0) && !map.is_full());
        map.note(b"", 6);
        assert!(map.is_full());
    }
}
