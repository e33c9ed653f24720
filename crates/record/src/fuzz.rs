//! The fuzz target of this crate: whatever the bytes, reading a batch ends in records or an error.
//!
//! Driven by a seeded mutator on stable Rust; `FUZZ_SECONDS` says for how long.

use bytes::Bytes;

use crate::builder::BatchBuilder;
use crate::compression::Codec;
use crate::control::control_type;
use crate::header::{CRC_FROM, HEADER_BYTES};
use crate::records::records;
use crate::validate::{batches, split, verify_records};

/// Feeds one input to every reader. Panics and runaway memory are the findings.
pub fn record_batch(input: &[u8]) {
    let bytes = Bytes::copy_from_slice(input);
    for batch in batches(bytes.clone()).chain(split(bytes.clone())).flatten() {
        // Errors are an acceptable end; only panics are not.
        let _ = verify_records(&batch.1);
        let _ = control_type(&batch.1);
    }
    if let Ok(walk) = records(&bytes) {
        walk.for_each(drop);
    }
}

/// A batch of `seed`'s making, mutated; with a mended CRC in half of the cases so that damage reaches the records.
pub fn mutated_batch(seed: u64) -> Vec<u8> {
    let mut rng = Mutator::new(seed);
    let mut bytes = sample(&mut rng).to_vec();
    for _ in 0..1 + rng.below(6) {
        rng.mutate(&mut bytes);
    }
    if bytes.len() > HEADER_BYTES && rng.below(2) == 0 {
        let crc = headwater_base::crc32c(&bytes[CRC_FROM..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    }
    bytes
}

fn sample(rng: &mut Mutator) -> Bytes {
    let mut builder = BatchBuilder::new(Codec::ALL[rng.below(5)]);
    for i in 0..1 + rng.below(20) {
        let value = vec![i as u8; rng.below(200)];
        builder.push_with_headers(
            i as i64,
            Some(b"key"),
            Some(&value),
            &[(b"h", None), (b"i", Some(b"v"))],
        );
    }
    builder.build()
}

/// A small seeded generator (splitmix64) that breaks bytes the way disks and attackers do.
#[derive(Clone, Debug)]
pub struct Mutator(u64);

impl Mutator {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`; 0 for 0.
    pub fn below(&mut self, limit: usize) -> usize {
        if limit == 0 {
            0
        } else {
            (self.next_u64() % limit as u64) as usize
        }
    }

    /// One change: a bit, a byte, a hostile integer, a cut, a copy of a piece.
    pub fn mutate(&mut self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let at = self.below(bytes.len());
        match self.below(6) {
            0 => bytes[at] ^= 1 << self.below(8),
            1 => bytes[at] = self.next_u64() as u8,
            2 => {
                let hostile = [0xff, 0x7f, 0x80, 0x00][self.below(4)];
                let end = (at + 1 + self.below(9)).min(bytes.len());
                bytes[at..end].fill(hostile);
            }
            3 => bytes.truncate(at),
            4 => {
                let end = (at + self.below(64)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                let to = self.below(bytes.len());
                bytes.splice(to..to, piece);
            }
            _ => bytes.push(self.next_u64() as u8),
        }
    }
}

/// How long fuzz tests run: `FUZZ_SECONDS`, 5 unless told.
pub fn budget() -> std::time::Duration {
    let seconds = std::env::var("FUZZ_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok());
    std::time::Duration::from_secs(seconds.unwrap_or(5))
}
