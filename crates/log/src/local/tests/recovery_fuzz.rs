//! Recovery of damaged folders, for as long as `FUZZ_SECONDS` says.

use std::time::Instant;

use headwater_record::fuzz::budget;

use crate::local::fuzz::{recovery, written};

#[test]
fn fuzz_recovery() {
    let until = Instant::now() + budget();
    let mut seed = 0;
    while Instant::now() < until {
        let disk = written(seed);
        for round in 0..50 {
            recovery(&disk, seed * 1000 + round);
        }
        seed += 1;
    }
}
