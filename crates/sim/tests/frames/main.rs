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
static ANSWERS: AtomicU64 = AtomicU64::new(0);

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

/// One connection: frame by frame, each followed by what the node says within the patience. Gives how many were taken
/// before it hung up.
async fn connection(edge: Edge, stop: watch::Receiver<bool>, frames: &[Vec<u8>]) -> usize {
    let (mut client, server) = tokio::io::duplex(256 * 1024);
    let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let served = tokio::spawn(edge.connection(tokio::io::split(server), peer, stop));
    let mut answer = vec![0; 64 * 1024];
    let mut taken = 0;
    for frame in frames {
        taken += 1;
        let sent = tokio::time::timeout(PATIENCE, client.write_all(frame)).await;
        let said = tokio::time::timeout(PATIENCE, client.read(&mut answer)).await;
        ANSWERS.fetch_add(u64::from(matches!(said, Ok(Ok(1..)))), Ordering::SeqCst);
        if !matches!(sent, Ok(Ok(()))) || matches!(said, Ok(Ok(0) | Err(_))) {
            break;
        }
    }
    drop(client);
    served.abort();
    if let Err(error) = served.await {
        assert!(!error.is_panic(), "the connection panicked");
    }
    taken
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
    let mut seed = first;
    while seed < first + frames {
        let one = |at| mutated(corpus, &mut Mutator::new(at));
        let some: Vec<Vec<u8>> = (seed..seed + FRAMES_PER_CONNECTION).map(one).collect();
        // What comes behind a frame that ends its connection has another one.
        seed += connection(edge.clone(), stopped.clone(), &some).await as u64;
        assert_eq!(
            PANICS.load(Ordering::SeqCst),
            0,
            "repeat with FRAMES_SEED={} FRAMES=64",
            seed.saturating_sub(FRAMES_PER_CONNECTION)
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
    let answers = ANSWERS.load(Ordering::SeqCst);
    assert!(answers > frames / 5, "only {answers} answers");
    let (seconds, now_mb) = (began.elapsed().as_secs_f64(), resident_mb());
    println!(
        "{frames} frames of {} kinds, {answers} answers in {seconds:.0} s; resident {now_mb} MB, {least_mb} MB at the beginning",
        corpus.len()
    );
}
