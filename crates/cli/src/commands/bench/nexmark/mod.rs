//! `headwater bench nexmark`: how fast SQL over a topic is, on the queries of an auction house.
//!
//! Reading order: [`events`] (what happens), [`queries`], [`node`] (who is measured), [`fill`] (events into a topic), [`query`] (one
//! query from its statement to its last row, and whether that is right), [`rate`] (how long until an event is visible), [`report`].
//!
//! The topic is filled before the clock starts. A query's time is from its statement until everything in the topic is in its view
//! and durable; then the view is compared with what the same SQL gives as a batch.

mod events;
mod fill;
mod node;
mod queries;
mod query;
mod rate;
mod report;

use std::path::PathBuf;
use std::time::Duration;

use super::duration;
use crate::client::Client;
use crate::error::CliError;
use crate::http;
use crate::output::Format;
use node::Node;
use report::Report;

/// The topic, and the source over it.
const TOPIC: &str = "nexmark";

#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Starts a node of its own in a temporary folder unless --bootstrap and --http say where one is."
)]
pub struct NexmarkArgs {
    /// Queries, such as q0,q5; all unless told
    #[arg(long, value_delimiter = ',')]
    pub queries: Vec<String>,
    /// Events in the topic
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(50..))]
    pub events: u64,
    /// Partitions of the topic
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(i32).range(1..))]
    pub partitions: i32,
    /// Other numbers give other events
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Times are shuffled within groups of so many events (1: in order)
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub out_of_order: u64,
    /// Runs of each query; the median is told
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    pub rounds: u16,
    /// Do not compare the views with the batch answers
    #[arg(long)]
    pub no_check: bool,
    /// Show where the time went: EXPLAIN ANALYZE of each query
    #[arg(long)]
    pub analyze: bool,
    /// Instead: so many events a second come in while the queries run, and how long each takes to be visible is measured
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub rate: Option<u64>,
    /// With a rate: how long
    #[arg(long, default_value = "20s", value_parser = duration)]
    pub duration: Duration,
    /// Kafka address of a node that runs
    #[arg(long, value_name = "HOST:PORT", requires = "http")]
    pub bootstrap: Option<String>,
    /// HTTP address of a node that runs
    #[arg(long, value_name = "HOST:PORT", requires = "bootstrap")]
    pub http: Option<String>,
    /// Folder in which a node of its own keeps its data
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Memory of a node of its own for state, such as 512MB
    #[arg(long, value_name = "SIZE")]
    pub state_memory: Option<String>,
    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    pub output: Format,
}

pub(super) async fn run(args: &NexmarkArgs) -> Result<(), CliError> {
    let chosen = queries::chosen(&args.queries).map_err(CliError::Usage)?;
    let node = Node::start(args)?;
    let client = Client::connect(&node.kafka, "headwater-bench").await?;
    let measured = tokio::select! {
        measured = measure(args, &node, &client, &chosen) => measured,
        () = super::asked_to_end() => Err(CliError::Usage("ended before there was a result".to_owned())),
    };
    if !node.is_own() {
        clean_up(&node, &client).await;
    }
    measured
}

async fn measure(
    args: &NexmarkArgs,
    node: &Node,
    client: &Client,
    chosen: &[&'static queries::Query],
) -> Result<(), CliError> {
    if let Some(rate) = args.rate {
        return rate::run(args, rate, node, client, chosen).await;
    }
    let filled = fill::fill(client, args).await?;
    define(node).await?;
    let mut report = Report::new(args, filled);
    for query in chosen {
        let outcome = query::run(query, args, node).await?;
        report.add(query, outcome)?;
    }
    report.end()
}

/// The source and the views that the queries are about.
async fn define(node: &Node) -> Result<(), CliError> {
    let side = format!(
        "CREATE TABLE side_input (key BIGINT PRIMARY KEY, value TEXT) WITH (topic = '{TOPIC}-side');"
    );
    let all = queries::SOURCE.replace("{topic}", TOPIC) + &side;
    http::sql(&node.http, all).await.map(|_| ())
}

/// What was made on somebody else's node shall not stay.
async fn clean_up(node: &Node, client: &Client) {
    for name in ["bid", "auction", "person"] {
        let _ = http::sql(&node.http, format!("DROP VIEW IF EXISTS {name}")).await;
    }
    let _ = http::sql(&node.http, "DROP TABLE IF EXISTS side_input".to_owned()).await;
    let _ = http::sql(&node.http, format!("DROP SOURCE IF EXISTS {TOPIC}")).await;
    for topic in [TOPIC.to_owned(), format!("{TOPIC}-side")] {
        let _ = client.delete_topic(&topic).await;
    }
}
