//! Fixed seeds, each run twice: nothing is found, and both runs are the same. `simulate` runs others; `scripts/soak` runs many.
#![allow(clippy::unwrap_used)]

use headwater_sim::scenario::{Settings, run};

/// Settings of the runs that tests make.
fn settings() -> Settings {
    Settings::default()
}

fn seeds(first: u64, count: u64) {
    for seed in first..first + count {
        let (one, two) = (run(seed, settings()), run(seed, settings()));
        println!(
            "seed {seed}: {} events, hash {:016x}",
            one.history.len(),
            one.hash
        );
        let again = format!(
            "cargo run --release -p headwater-sim --features virtual-time --bin simulate -- {seed}"
        );
        assert!(
            one.findings.is_empty(),
            "seed {seed}: {:#?}\n{:#?}\nrepeat with: {again}",
            one.findings,
            one.events
        );
        assert_eq!(
            one.hash, two.hash,
            "seed {seed}: two runs differ; repeat with: {again}"
        );
        assert!(
            one.history.len() > 5_000,
            "seed {seed}: only {} events: clients hardly worked",
            one.history.len()
        );
    }
}

#[test]
fn seeds_hold_and_repeat() {
    seeds(1, 8);
}

#[test]
fn more_seeds_hold_and_repeat() {
    seeds(101, 8);
}
