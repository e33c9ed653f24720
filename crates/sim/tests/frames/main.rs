//! Mutated frames of every API and version through the real edge and broker: no panic, no growth of memory. `FRAMES` says how many
//! (100,000 unless told), `FRAMES_SEED` where to begin; time is virtual, so that a request that waits costs nothing.
#![allow(clippy::unwrap_used)]

mod corpus;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use headwater_base::World;
use headwater_broker::{Broker, BrokerConfig};
use headwater_edge_kafka::{Edge, EdgeConfig};
use headwater_log::MemoryLog;
use headwater_record::fuzz::Mutator;
use headwater_sim::node::{SimClock, SimRandom, SimTasks};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;

/// Frames of one connection, which may close it earlier.
const FRAMES_PER_CONNECTION: u64 = 16;
/// Frames after which the node is made anew, so that what it rightly keeps does not count as growth.
const FRAMES_PER_NODE: u64 = 50_000;
/// How much more memory a later node may take than the first ones did.
const GROWTH_MB_MAX: u64 = 150;
/// How long answers are waited for.
const PATIENCE: Duration = Duration::from_millis(20);

static PANICS: AtomicU64 = AtomicU64::new(0);

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

fn resident_mb() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096 / (1 << 20)
}

/// One frame of the corpus, broken somewhere, mostly with a length that fits.
fn mutated(corpus: &[Vec<u8>], rng: &mut Mutator) -> Vec<u8> {
    let mut payload = corpus[rng.below(corpus.len())][4..].to_vec();
    for _ in 0..rng.below(5) {
        rng.mutate(&mut payload);
    }
    let length = match rng.below(50) {
        0 => rng.next_u64() as i32,
        _ => payload.len() as i32,
    };
    [&length.to_be_bytes()[..], &payload].concat()
}

/// One connection: its frames, then what the node says within the patience.
async fn connection(edge: Edge, stop: watch::Receiver<bool>, bytes: Vec<u8>) {
    let (mut client, server) = tokio::io::duplex(256 * 1024);
    let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let served = tokio::spawn(edge.connection(tokio::io::split(server), peer, stop));
    let mut answers = vec![0; 64 * 1024];
    // The node may hang up in the middle of it.
    let _ = tokio::time::timeout(PATIENCE, client.write_all(&bytes)).await;
    while let Ok(Ok(1..)) = tokio::time::timeout(PATIENCE, client.read(&mut answers)).await {}
    drop(client);
    served.abort();
    if let Err(error) = served.await {
        assert!(!error.is_panic(), "the connection panicked");
    }
}

/// A node's life: frames from this seed on.
async fn life(corpus: &[Vec<u8>], first: u64, frames: u64) {
    let tasks = Arc::new(SimTasks::default());
    let world = World::new(
        Arc::new(SimClock::new()),
        Arc::new(SimRandom::new(first)),
        Arc::<SimTasks>::clone(&tasks),
    );
    let broker =
        Broker::open_in(Arc::new(MemoryLog::new(4)), world, BrokerConfig::default()).unwrap();
    broker.start_background();
    let edge = Edge::new(Arc::clone(&broker), EdgeConfig::new("node", 9092));
    let (_stop, stopped) = watch::channel(false);
    for seed in (first..first + frames).step_by(FRAMES_PER_CONNECTION as usize) {
        let mut rng = Mutator::new(seed);
        let mut bytes = Vec::new();
        for _ in 0..FRAMES_PER_CONNECTION {
            bytes.extend(mutated(corpus, &mut rng));
        }
        connection(edge.clone(), stopped.clone(), bytes).await;
        assert_eq!(
            PANICS.load(Ordering::SeqCst),
            0,
            "seed {seed}: repeat with FRAMES_SEED={seed} FRAMES={FRAMES_PER_CONNECTION}"
        );
    }
    tasks.end().await;
}

#[test]
fn mutated_frames_do_no_harm() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, Ordering::SeqCst);
        hook(info);
    }));
    let corpus = corpus::frames();
    let (frames, first) = (number("FRAMES", 100_000), number("FRAMES_SEED", 1));
    let began = Instant::now();
    let mut least_mb = u64::MAX;
    for (node, seed) in (first..first + frames)
        .step_by(FRAMES_PER_NODE as usize)
        .enumerate()
    {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(life(
            &corpus,
            seed,
            FRAMES_PER_NODE.min(first + frames - seed),
        ));
        drop(runtime);
        let now_mb = resident_mb();
        if node < 4 {
            least_mb = now_mb.max(if node == 0 { 0 } else { least_mb });
        }
        assert!(
            now_mb <= least_mb + GROWTH_MB_MAX,
            "memory grew from {least_mb} to {now_mb} MB by seed {seed}"
        );
        if node % 20 == 0 {
            println!(
                "{} frames, {} s, {now_mb} MB",
                seed - first,
                began.elapsed().as_secs()
            );
        }
    }
    let (seconds, now_mb) = (began.elapsed().as_secs_f64(), resident_mb());
    println!(
        "{frames} frames of {} kinds in {seconds:.0} s; resident {now_mb} MB, {least_mb} MB at the beginning",
        corpus.len()
    );
}
