//! The one hash of all state tables: fixed seeds, so that the same steps leave the same tables.

use foldhash::fast::FixedState;
use std::hash::{BuildHasher, Hasher};

pub(crate) type Fixed = FixedState;

const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

/// 32 bits of a hash are kept per entry, so that growing a table reads no keys.
pub(crate) fn of_bytes(bytes: &[u8]) -> u32 {
    let mut hasher = FixedState::with_seed(0).build_hasher();
    hasher.write(bytes);
    fold(hasher.finish())
}

pub(crate) fn of_word(word: i64) -> u32 {
    fold(
        (word as u64 ^ SPREAD)
            .wrapping_mul(SPREAD)
            .rotate_left(26)
            .wrapping_mul(SPREAD),
    )
}

/// A hash made from another one and a number, for keys of two parts.
pub(crate) fn mixed(hash: u32, with: u32) -> u32 {
    of_word((i64::from(hash) << 32) | i64::from(with))
}

/// What the tables want: 64 well spread bits.
pub(crate) fn spread(hash: u32) -> u64 {
    let wide = u64::from(hash).wrapping_mul(SPREAD);
    wide ^ (wide >> 32)
}

fn fold(hash: u64) -> u32 {
    (hash ^ (hash >> 32)) as u32
}
