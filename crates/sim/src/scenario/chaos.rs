//! What befalls the node while clients work: power cuts, kills, disks that are slow, full or fail, clocks that jump, networks that break.

use std::time::Duration;

use headwater_record::fuzz::Mutator;
use tokio::time::Instant;

use crate::client::{Field, pause};
use crate::node::{Ending, Node};

/// The usual pace of the disk.
const NORMAL: Duration = Duration::from_millis(1);
/// Furthest that the clock is off, in ms. Less than what brokers let timestamps be ahead.
const JUMP_MS_MAX: usize = 40 * 60 * 1000;

/// Lets things happen for so long, then mends everything. Gives what happened; a start that fails is a finding.
pub async fn befall(
    node: &Node,
    field: &Field,
    seed: u64,
    duration: Duration,
    findings: &mut Vec<String>,
) -> Vec<String> {
    let mut rng = Mutator::new(seed);
    let until = Instant::now() + duration;
    let mut events = Vec::new();
    while Instant::now() < until {
        pause(&mut rng, 2_500).await;
        let event = befall_once(node, field, &mut rng).await;
        events.push(format!("{} {event}", field.clock.elapsed_us()));
        if let Err(error) = revive(node, &mut rng).await {
            findings.push(format!("after '{event}': {error}"));
            break;
        }
    }
    // An fsync that was to fail, and that nobody has asked for yet, would end a node that nobody starts again.
    node.disk().mend_sync();
    if let Err(error) = revive(node, &mut rng).await {
        findings.push(format!("after everything: {error}"));
    }
    field.network.set_cuts(0);
    field.network.cut_all();
    // Ahead of wherever it was, so that what has a time-out meets it.
    field.clock.jump_to(JUMP_MS_MAX as i64);
    events
}

/// A node that is down, or whose disk has failed, is started again.
async fn revive(node: &Node, rng: &mut Mutator) -> Result<(), String> {
    if node.is_well() {
        return Ok(());
    }
    pause(rng, 1_000).await;
    node.end(any_ending(rng)).await;
    node.disk().mend_sync();
    node.start()
}

fn any_ending(rng: &mut Mutator) -> Ending {
    [Ending::Kill, Ending::PowerCut][rng.below(2)]
}

async fn befall_once(node: &Node, field: &Field, rng: &mut Mutator) -> String {
    match rng.below(14) {
        0..=4 => {
            let ending = any_ending(rng);
            node.end(ending).await;
            format!("{ending:?}")
        }
        5 => {
            // In the middle of what the disk does, not between two operations of it.
            node.disk().die_after(1 + rng.below(6) as u64);
            pause(rng, 500).await;
            node.end(Ending::PowerCut).await;
            "power cut in an operation of the disk".to_owned()
        }
        6 => {
            node.disk().fail_sync();
            pause(rng, 2_000).await;
            format!("fsync fails: {:?}", node.failure())
        }
        7 => {
            node.set_slow(Duration::from_millis(200));
            pause(rng, 4_000).await;
            node.set_slow(NORMAL);
            "slow disk".to_owned()
        }
        8 => {
            node.disk().set_free_bytes(Some(0));
            pause(rng, 4_000).await;
            node.disk().set_free_bytes(None);
            "full disk".to_owned()
        }
        9 => {
            node.disk().set_writes_full(true);
            pause(rng, 3_000).await;
            node.disk().set_writes_full(false);
            "writes find the disk full".to_owned()
        }
        10 => {
            let off_ms = rng.below(2 * JUMP_MS_MAX) as i64 - JUMP_MS_MAX as i64;
            field.clock.jump_to(off_ms);
            format!("the clock is off by {off_ms} ms")
        }
        11 => {
            field.network.set_cuts([0, 20, 100, 300][rng.below(4)]);
            "connections break".to_owned()
        }
        12 => {
            field.network.cut_all();
            "all connections are cut".to_owned()
        }
        _ => "nothing".to_owned(),
    }
}
