//! What the demo says: where to look, how far it is, what came out.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::time::Duration;

use headwater_server::Node;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use super::args::Pace;
use super::latency::Visible;
use super::pipeline;
use super::replay::Replayed;
use crate::Failure;
use crate::args::Output;

/// The summary; its fields are what programs read.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub events_in: u64,
    pub flights_in: u64,
    /// From the first event sent to the last one visible in every view.
    pub seconds: f64,
    pub events_per_s: f64,
    /// Name to rows.
    pub views: BTreeMap<String, u64>,
    pub alerts_fired: u64,
    pub dead_letters: u64,
    /// Milliseconds from append to visible.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub visible_ms: Option<Visible>,
    pub state_bytes: u64,
    pub resident_bytes: u64,
}

impl Report {
    pub fn new(
        node: &Node,
        replayed: &Replayed,
        took: Duration,
        visible_ms: Option<Visible>,
    ) -> Self {
        let status = node.status();
        let views = status
            .views
            .iter()
            .filter(|v| v.kind == "view")
            .map(|v| (v.name.clone(), v.rows))
            .collect();
        Self {
            events_in: replayed.events,
            flights_in: replayed.flights,
            seconds: took.as_secs_f64(),
            events_per_s: replayed.events as f64 / took.as_secs_f64(),
            views,
            alerts_fired: status.alerts_fired,
            dead_letters: status.dead_letters,
            visible_ms,
            state_bytes: status.state_bytes,
            resident_bytes: headwater_server::resident_bytes(),
        }
    }

    pub fn print(&self, output: Output, node: &Node) -> Result<(), Failure> {
        match output {
            Output::Json => println!("{}", serde_json::to_string(self)?),
            Output::Text => self.print_text(node),
        }
        Ok(())
    }

    fn print_text(&self, node: &Node) {
        println!(
            "\n{} events ({} flights) in {:.1} s: {:.0} events/s, {} alerts, {} dead letters, {} MiB of state",
            self.events_in,
            self.flights_in,
            self.seconds,
            self.events_per_s,
            self.alerts_fired,
            self.dead_letters,
            self.state_bytes >> 20
        );
        for (name, rows) in &self.views {
            println!("  {name:<22}{rows:>9} rows");
        }
        if let Some(visible) = &self.visible_ms {
            println!(
                "append to visible: p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms",
                visible.p50, visible.p99, visible.max
            );
        }
        println!("\n{}", hints(node));
    }
}

/// Questions worth asking, with the addresses in force.
fn hints(node: &Node) -> String {
    let http = node.http();
    let ask = |sql: &str| format!("  headwater sql --http {http} -c \"{sql}\"\n");
    format!(
        "Ask it, from another terminal:\n{}{}{}Read what it writes:\n  headwater consume incidents --bootstrap {} --from beginning --max 5",
        ask(
            "SELECT origin, window_start, flights, avg_delay FROM airport_hourly ORDER BY avg_delay DESC LIMIT 5"
        ),
        ask("SELECT * FROM delay_by_visibility"),
        ask("EXPLAIN flights_enriched"),
        node.kafka(),
    )
}

/// Said before the first event.
pub fn welcome(node: &Node, pace: Pace) {
    println!(
        "Headwater is up: Kafka on {}, the page on http://{}\n",
        node.kafka(),
        node.http()
    );
    println!("  open   http://{}/", node.http());
    println!(
        "  files  {} (pipeline {:?})\n",
        pipeline::files()
            .iter()
            .map(|f| f.0.as_str())
            .collect::<Vec<_>>()
            .join(", "),
        pipeline::NAME
    );
    if pace == Pace::Year {
        println!(
            "A year of departures from New York passes in about a minute. Ctrl-C ends it.\n{}\n",
            hints(node)
        );
    }
}

/// A bar on a terminal, nothing elsewhere.
pub fn progress(output: Output, events: usize) -> ProgressBar {
    let show = output == Output::Text && std::io::stderr().is_terminal();
    let target = if show {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    let style = ProgressStyle::with_template(
        "{msg}  {bar:40}  {human_pos} of {human_len} events  {per_sec}  {eta}",
    );
    let bar = ProgressBar::with_draw_target(u64::try_from(events).ok(), target);
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
