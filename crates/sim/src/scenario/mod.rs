//! One run: clients, a node and what befalls it, all decided by a seed; then the audit and the verdict.

mod audit;
mod chaos;

use std::sync::Arc;
use std::time::Duration;

use headwater_record::fuzz::Mutator;
use tokio::task::JoinSet;

use crate::client::{Field, consumer, copier, group, pipeline, producer, reader, txn};
use crate::history::{Event, Isolation, Line, Place, check};
use crate::node::{Network, Node, SimClock};

/// What may be set of a run.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How long clients work, in seconds of the simulation.
    pub seconds: u64,
    /// Whether the node supports transactions.
    pub transactions: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            seconds: 30,
            transactions: true,
        }
    }
}

/// What came out.
#[derive(Clone, Debug)]
pub struct Report {
    pub seed: u64,
    /// Of the whole history: equal for equal seeds.
    pub hash: u64,
    pub history: Vec<Line>,
    pub findings: Vec<String>,
    /// What befell the node.
    pub events: Vec<String>,
}

/// Runs a seed on this thread, in virtual time.
///
/// # Panics
/// The runtime cannot be built.
#[allow(clippy::expect_used)]
pub fn run(seed: u64, settings: Settings) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O needs nothing");
    runtime.block_on(simulate(seed, settings))
}

/// The partitions of a topic.
fn places(topic: &str, partitions: i32) -> Vec<Place> {
    (0..partitions)
        .map(|index| Place(topic.to_owned(), index))
        .collect()
}

/// All topics and their partitions.
const TOPICS: &[(&str, i32)] = &[
    ("plain", 3),
    ("txn", 2),
    ("other", 2),
    ("in", 2),
    ("out", 2),
    ("trim", 1),
    (audit::KEPT, 1),
    (producer::KEYED, 1),
];

fn all_places() -> Vec<Place> {
    TOPICS
        .iter()
        .flat_map(|(topic, partitions)| places(topic, *partitions))
        .collect()
}

async fn simulate(seed: u64, settings: Settings) -> Report {
    let mut rng = Mutator::new(seed);
    let clock = Arc::new(SimClock::new());
    let node = Node::new(rng.next_u64(), Arc::clone(&clock));
    let network = Network::new(rng.next_u64(), node.clone());
    let field = Field::new(network, clock);
    let mut findings = Vec::new();
    if let Err(error) = node.start() {
        findings.push(error);
    }
    audit::make_topics(&field, TOPICS).await;
    field.note(Event::Compacted {
        at: places(producer::KEYED, 1)[0].clone(),
    });
    let mut clients = JoinSet::new();
    let kept = places(audit::KEPT, 1).remove(0);
    node.keep(&kept, 0);
    let (name, seed) = ("l0".into(), rng.next_u64());
    clients.spawn(pipeline::run(field.clone(), node.clone(), name, kept, seed));
    begin(&mut clients, &field, &mut rng, settings);
    let duration = Duration::from_secs(settings.seconds);
    let events = chaos::befall(&node, &field, rng.next_u64(), duration, &mut findings).await;
    field.end();
    let all = async {
        while let Some(ended) = clients.join_next().await {
            if let Err(error) = ended {
                findings.push(format!("a client failed: {error}"));
            }
        }
    };
    if tokio::time::timeout(Duration::from_secs(300), all)
        .await
        .is_err()
    {
        findings.push("clients do not come to an end on a healthy node".to_owned());
    }
    clients.shutdown().await;
    audit::settle_kept(&field, &node).await;
    findings.extend(audit::read_all(&field, &all_places()).await);
    findings.extend(audit::positions(&field, settings).await);
    node.end(crate::node::Ending::Kill).await;
    let history = field.history();
    findings.extend(field.complaints());
    findings.extend(check(&history).iter().map(ToString::to_string));
    Report {
        seed,
        hash: hash(&history, &findings),
        history,
        findings,
        events,
    }
}

/// Starts all clients.
fn begin(clients: &mut JoinSet<()>, field: &Field, rng: &mut Mutator, settings: Settings) {
    begin_plain(clients, field, rng);
    begin_groups(clients, field, rng);
    if settings.transactions {
        begin_transactions(clients, field, rng);
    }
}

fn begin_plain(clients: &mut JoinSet<()>, field: &Field, rng: &mut Mutator) {
    let writers = [
        ("p0", places("plain", 3)),
        ("p1", places("plain", 3)),
        ("i0", places("in", 2)),
        ("t0", places("trim", 1)),
        ("l1", places(audit::KEPT, 1)),
        ("k0", places(producer::KEYED, 1)),
    ];
    for (name, places) in writers {
        let seed = rng.next_u64();
        clients.spawn(producer::run(field.clone(), name.into(), places, seed));
    }
    for topic in ["trim", audit::KEPT] {
        let trimmed = places(topic, 1)[0].clone();
        clients.spawn(audit::trim(field.clone(), trimmed, rng.next_u64()));
    }
    for (name, isolation) in [("r0", Isolation::Committed), ("r1", Isolation::Uncommitted)] {
        let (places, seed) = (all_places(), rng.next_u64());
        clients.spawn(reader::run(
            field.clone(),
            name.into(),
            places,
            isolation,
            seed,
        ));
    }
}

/// Members of a group of each protocol.
fn begin_groups(clients: &mut JoinSet<()>, field: &Field, rng: &mut Mutator) {
    for number in 0..3 {
        let (name, places) = (format!("g{number}"), places("plain", 3));
        let seed = rng.next_u64();
        clients.spawn(group::run(
            field.clone(),
            "readers".into(),
            name,
            places,
            seed,
        ));
        let (name, topic) = (format!("m{number}"), "plain".into());
        let seed = rng.next_u64();
        clients.spawn(consumer::run(
            field.clone(),
            "members".into(),
            name,
            topic,
            seed,
        ));
    }
}

fn begin_transactions(clients: &mut JoinSet<()>, field: &Field, rng: &mut Mutator) {
    let topics = [("txn", 2), ("other", 2), (producer::KEYED, 1)];
    let all: Vec<Place> = topics
        .iter()
        .flat_map(|(topic, count)| places(topic, *count))
        .collect();
    for number in 0..3 {
        // The first two share a transactional id.
        let (id, name) = (format!("id{}", number / 2), format!("x{number}"));
        let seed = rng.next_u64();
        clients.spawn(txn::run(field.clone(), id, name, all.clone(), seed));
    }
    for number in 0..2 {
        let (inputs, outputs) = (places("in", 2), places("out", 2));
        let (group, name) = ("copiers".into(), format!("c{number}"));
        let seed = rng.next_u64();
        clients.spawn(copier::run(
            field.clone(),
            group,
            name,
            inputs,
            outputs,
            seed,
        ));
    }
}

/// FNV-1a over the lines as they are written.
fn hash(history: &[Line], findings: &[String]) -> u64 {
    let lines = history.iter().map(|line| format!("{line:?}"));
    let bytes = lines
        .chain(findings.iter().cloned())
        .flat_map(String::into_bytes);
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
