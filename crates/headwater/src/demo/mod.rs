//! `headwater demo`: starts a node, applies a pipeline folder, replays real events through a Kafka client over a socket.

mod args;
mod data;
mod latency;
mod pipeline;
mod replay;
mod report;

pub use args::DemoArgs;

use std::time::{Duration, Instant};

use headwater_server::{Node, Settings};

use crate::Failure;
use crate::args::Output;
use args::Pace;
use data::Events;
use replay::Replayed;
use report::Report;

/// How long the views may take to see the last event after it was acked.
const SETTLE_MAX: Duration = Duration::from_secs(120);

pub async fn run(args: DemoArgs) -> Result<(), Failure> {
    let scratch = Scratch::new(&args)?;
    let tables = args.tables;
    let events = tokio::task::spawn_blocking(move || data::load(tables)).await??;
    let node = start(&args, &scratch).await?;
    let pace = args.pace();
    if args.output == Output::Text {
        report::welcome(&node, pace);
    }
    let report = replay(&args, &node, &events, pace).await?;
    drop(events);
    let outcome = match report {
        Some(report) => show(&report, &args, &node).await,
        None => Ok(()),
    };
    node.stop().await;
    outcome
}

/// Prints the summary; at the year's pace the node then stays up to be looked at.
async fn show(report: &Report, args: &DemoArgs, node: &Node) -> Result<(), Failure> {
    report.print(args.output, node)?;
    match args.pace() {
        Pace::Year if args.output == Output::Text => crate::up::until_told_to_end(node).await,
        _ => Ok(()),
    }
}

/// The folder of the node: the one asked for, or one that goes away with the demo.
struct Scratch {
    dir: std::path::PathBuf,
    ours: bool,
}

impl Scratch {
    fn new(args: &DemoArgs) -> Result<Self, Failure> {
        if let Some(dir) = &args.data {
            return Ok(Self {
                dir: dir.clone(),
                ours: false,
            });
        }
        let dir =
            std::env::temp_dir().join(format!("headwater-demo-{}", uuid::Uuid::new_v4().simple()));
        std::fs::create_dir(&dir)?;
        Ok(Self { dir, ours: true })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.ours {
            // Best effort: what is left lies in the folder for temporary files.
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}

async fn start(args: &DemoArgs, scratch: &Scratch) -> Result<Node, Failure> {
    let given = args.given(&scratch.dir);
    let node = match Node::start(given.clone().resolve()?).await {
        // Somebody's node may run on the usual ports; a demo must not care.
        Err(error) if error.is_address_in_use() && args.ports_are_ours() => {
            Node::start(free_ports(given.resolve()?)).await?
        }
        started => started?,
    };
    node.create_topic("flights", 4).await?;
    for topic in &data::TOPICS[1..] {
        node.create_topic(topic, 1).await?;
    }
    node.apply(pipeline::NAME, pipeline::files()).await?;
    Ok(node)
}

fn free_ports(mut settings: Settings) -> Settings {
    settings.listen.set_port(0);
    settings.http.set_port(0);
    settings
}

async fn replay(
    args: &DemoArgs,
    node: &Node,
    events: &Events,
    pace: Pace,
) -> Result<Option<Report>, Failure> {
    let reader = matches!(pace, Pace::Rate(_)).then(|| latency::Reader::start(node.http()));
    let started = Instant::now();
    let bar = report::progress(args.output, events.list.len());
    let replayed: Replayed = tokio::select! {
        replayed = replay::run(node.kafka(), events, pace, &bar) => replayed?,
        ended = crate::up::until_told_to_end(node) => return ended.map(|()| None),
    };
    settle(node, pace, started, &replayed).await?;
    let took = started.elapsed();
    bar.finish_and_clear();
    let visible = reader.map(|reader| reader.finish(&replayed.sent_at));
    Ok(Some(Report::new(node, &replayed, took, visible)))
}

/// Waits until every view has seen every event. Where nothing more will come, the last windows are closed; a node that stays up
/// goes on taking what its user sends.
async fn settle(
    node: &Node,
    pace: Pace,
    started: Instant,
    replayed: &Replayed,
) -> Result<(), Failure> {
    let ends = pace != Pace::Year;
    if ends {
        node.end_of_input(pipeline::NAME).await?;
    }
    let deadline = Instant::now() + SETTLE_MAX;
    let settled = || match ends {
        true => node.settled(pipeline::NAME),
        false => node.lag(pipeline::NAME) == 0,
    };
    while !settled() {
        if Instant::now() > deadline {
            let lag = node.lag(pipeline::NAME);
            return Err(format!(
                "{lag} of {} events are still under way after {:?}",
                replayed.events,
                started.elapsed()
            )
            .into());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}
