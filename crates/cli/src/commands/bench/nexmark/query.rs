//! One query: made, waited for, compared with the batch, dropped.

use std::time::{Duration, Instant};

use super::NexmarkArgs;
use super::node::{Node, Usage};
use super::queries::Query;
use crate::error::CliError;
use crate::http;

/// How long a query may take to read the topic.
const PATIENCE: Duration = Duration::from_secs(600);
/// In how many parts view and batch are compared, so that a large result fits the memory of ad-hoc queries.
const PARTS: u64 = 4;
/// After this long the figures of operators are new.
const FIGURES: Duration = Duration::from_millis(1_200);

/// What became of a query.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    Done(Done),
    /// The node does not take it, or stopped it.
    Refused(String),
}

#[derive(Clone, Debug, Default)]
pub(super) struct Done {
    pub seconds: f64,
    pub cpu_s: f64,
    pub peak_bytes: u64,
    pub rows: u64,
    /// Rows by which view and batch differ; `None` if they were not compared.
    pub differing: Option<u64>,
    /// EXPLAIN ANALYZE, if asked for.
    pub plan: Vec<String>,
}

pub(super) async fn run(
    query: &Query,
    args: &NexmarkArgs,
    node: &Node,
) -> Result<Outcome, CliError> {
    let mut rounds: Vec<Done> = Vec::new();
    for round in 0..args.rounds {
        let last = round + 1 == args.rounds;
        let outcome = once(query, node, last && !args.no_check, args.analyze).await;
        let dropped = http::sql(
            &node.http,
            format!("DROP MATERIALIZED VIEW IF EXISTS {}", query.name),
        );
        dropped.await?;
        match outcome {
            Ok(done) => rounds.push(done),
            Err(CliError::Sql(said)) => return Ok(Outcome::Refused(said)),
            Err(other) => return Err(other),
        }
    }
    let differing = rounds.last().and_then(|done| done.differing);
    rounds.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
    let middle = rounds.swap_remove(rounds.len() / 2);
    Ok(Outcome::Done(Done {
        differing,
        ..middle
    }))
}

async fn once(query: &Query, node: &Node, check: bool, analyze: bool) -> Result<Done, CliError> {
    node.forget_peak();
    let (began, before) = (Instant::now(), node.usage());
    let create = format!("CREATE MATERIALIZED VIEW {} AS {}", query.name, query.sql);
    http::sql(&node.http, create).await?;
    complete(query.name, node).await?;
    let seconds = began.elapsed().as_secs_f64();
    let Usage { cpu_s, peak_bytes } = node.usage();
    let rows = number(node, format!("SELECT count(*) FROM {}", query.name)).await?;
    let plan = match analyze {
        true => plan(query.name, node).await?,
        false => Vec::new(),
    };
    let differing = match check {
        true => Some(differing(query, node).await?),
        false => None,
    };
    Ok(Done {
        seconds,
        cpu_s: cpu_s - before.cpu_s,
        peak_bytes,
        rows,
        differing,
        plan,
    })
}

/// The operators with their figures, which a pipeline gathers twice a second.
async fn plan(view: &str, node: &Node) -> Result<Vec<String>, CliError> {
    tokio::time::sleep(FIGURES).await;
    let answer = http::sql(&node.http, format!("EXPLAIN ANALYZE {view}")).await?;
    let rows = answer.results.iter().flat_map(|result| &result.rows);
    let line = |row: &Vec<serde_json::Value>| Some(row.first()?.as_str()?.to_owned());
    Ok(rows.filter_map(line).collect())
}

/// Waits until the view holds everything that is in the topic: an answer says how far behind it is.
async fn complete(view: &str, node: &Node) -> Result<(), CliError> {
    let give_up = Instant::now() + PATIENCE;
    loop {
        let answer = http::sql(&node.http, format!("SELECT 1 FROM {view} LIMIT 1")).await?;
        if answer.results.iter().all(|result| result.behind == 0) {
            return Ok(());
        }
        let shown = http::sql(&node.http, "SHOW PIPELINES".to_owned()).await?;
        let rows = shown.results.iter().flat_map(|result| &result.rows);
        let stuck = rows
            .filter(|row| row.iter().any(|cell| cell == view))
            .find(|row| row.iter().any(|cell| cell == "failed" || cell == "paused"));
        if let Some(row) = stuck {
            return Err(CliError::Sql(format!("{view} stopped: {row:?}")));
        }
        if Instant::now() > give_up {
            return Err(CliError::Sql(format!(
                "{view} was not complete after {PATIENCE:?}"
            )));
        }
    }
}

/// Rows that are more often in one than in the other, all columns compared.
async fn differing(query: &Query, node: &Node) -> Result<u64, CliError> {
    let shape = http::sql(&node.http, format!("SELECT * FROM {} LIMIT 0", query.name)).await?;
    let columns: Vec<String> = shape
        .results
        .iter()
        .flat_map(|result| &result.columns)
        .map(|column| format!("\"{}\"", column.name))
        .collect();
    let (all, first) = (
        columns.join(", "),
        columns.first().cloned().unwrap_or_default(),
    );
    let mut differing = 0;
    for part in 0..PARTS {
        let sql = format!(
            "SELECT count(*) FROM (SELECT {all}, sum(d) AS times FROM (
               SELECT {all}, 1 AS d FROM {name} UNION ALL SELECT {all}, -1 AS d FROM ({query}) batch) both_of_them
             WHERE length(CAST({first} AS TEXT)) + ascii(right(CAST({first} AS TEXT), 1)) % {PARTS} = length(CAST({first} AS TEXT)) + {part}
             GROUP BY {all} HAVING sum(d) <> 0) differing",
            name = query.name,
            query = query.sql,
        );
        differing += number(node, sql).await?;
    }
    Ok(differing)
}

async fn number(node: &Node, sql: String) -> Result<u64, CliError> {
    let answer = http::sql(&node.http, sql).await?;
    let cell = answer
        .results
        .first()
        .and_then(|result| result.rows.first()?.first().cloned());
    let text = |value: &serde_json::Value| value.as_str().and_then(|text| text.parse().ok());
    Ok(cell
        .and_then(|value| value.as_u64().or_else(|| text(&value)))
        .unwrap_or(0))
}
