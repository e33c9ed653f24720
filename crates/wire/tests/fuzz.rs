#![allow(clippy::unwrap_used)]
//! Broken frames through every reader of requests: an error or a message, never a panic, never memory by a claimed length.
//! Runs for `FUZZ_SECONDS` (3 unless told); a failure prints the seed.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use headwater_wire::{RequestHeader, api::read_any, frame, schema_versions};

/// splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }
}

/// A frame with a plausible header and a body of small numbers, lengths and hostile claims.
fn hostile(random: &mut Random) -> Vec<u8> {
    let key = random.below(80) as i16;
    let versions = schema_versions(key);
    let version = versions.map_or(0, |range| {
        range.min + random.below((range.max - range.min + 2) as u64) as i16
    });
    let mut payload = Vec::new();
    payload.extend_from_slice(&key.to_be_bytes());
    payload.extend_from_slice(&version.to_be_bytes());
    payload.extend_from_slice(&[0, 0, 0, 1, 0, 1, b'c']);
    for _ in 0..random.below(40) {
        match random.below(8) {
            0 => payload.extend_from_slice(&i32::MAX.to_be_bytes()),
            1 => payload.extend_from_slice(&[0xff, 0xff, 0xff, 0xff, 0x0f]),
            2 => payload.extend_from_slice(&(random.below(4) as i32).to_be_bytes()),
            3 => payload.extend_from_slice(&(random.below(6) as i16).to_be_bytes()),
            4 => payload.extend_from_slice(&random.next().to_be_bytes()),
            _ => payload.push(random.below(5) as u8),
        }
    }
    let mut frame = (payload.len() as i32).to_be_bytes().to_vec();
    frame.extend_from_slice(&payload);
    if random.below(10) == 0 {
        let at = random.below(frame.len() as u64) as usize;
        frame[at] ^= random.next() as u8;
    }
    frame
}

#[test]
fn broken_frames_are_refused() {
    let seconds = std::env::var("FUZZ_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(3);
    let until = Instant::now() + Duration::from_secs(seconds);
    let (mut seed, mut frames) = (1u64, 0u64);
    while Instant::now() < until {
        for _ in 0..1_000 {
            let bytes = hostile(&mut Random(seed));
            let outcome = std::panic::catch_unwind(|| read(&bytes));
            assert!(outcome.is_ok(), "seed {seed}: {bytes:02x?}");
            frames += u64::from(outcome.unwrap());
            seed += 1;
        }
    }
    assert!(
        frames > 0,
        "no frame was ever readable: the generator is too wild"
    );
}

/// Whether a request came out.
fn read(bytes: &[u8]) -> bool {
    let mut buffer = BytesMut::from(bytes);
    let Ok(Some(mut body)) = frame::take_request(&mut buffer) else {
        return false;
    };
    let Ok(header) = RequestHeader::decode(&mut body) else {
        return false;
    };
    read_any(header.key, header.version, Bytes::clone(&body)).is_ok()
}
