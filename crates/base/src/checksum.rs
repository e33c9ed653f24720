//! CRC-32C (Castagnoli, RFC 3720 appendix B.4): the checksum of Kafka's record batches, and of everything that is written to disk.
//!
//! Each byte produced or fetched goes through here once, so it uses the widest carry-less multiplication that the processor has.

use crc_fast::{CrcAlgorithm, Digest};

/// The checksum of some bytes.
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

/// The checksum of two runs of bytes, one after the other.
pub fn crc32c_both(first: &[u8], then: &[u8]) -> u32 {
    let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
    digest.update(first);
    digest.update(then);
    // A CRC of 32 bits comes in the lower half.
    digest.finalize() as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A bit at a time, as the polynomial is defined.
    fn by_bits(bytes: &[u8]) -> u32 {
        let step = |crc: u32| (crc >> 1) ^ (0x82F6_3B78 * (crc & 1));
        !bytes.iter().fold(!0, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc))
        })
    }

    #[test]
    fn the_check_value_of_the_standard() {
        assert_eq!(crc32c(b"123456789"), 0xE306_9283);
        assert_eq!(crc32c(b""), 0);
    }

    proptest! {
        #[test]
        fn any_length_and_any_cut(bytes in prop::collection::vec(any::<u8>(), 0..5_000), cut in any::<prop::sample::Index>()) {
            prop_assert_eq!(crc32c(&bytes), by_bits(&bytes));
            let (first, then) = bytes.split_at(cut.index(bytes.len() + 1));
            prop_assert_eq!(crc32c_both(first, then), by_bits(&bytes));
        }
    }
}
