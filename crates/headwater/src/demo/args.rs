//! What the demo can be told.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use headwater_server::Given;

use super::data::Tables;
use crate::args::Output;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DataSet {
    /// A year of departures from New York: 336,776 flights, weather, planes, airlines, airports.
    Flights,
}

#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Without --fast or --rate the year passes in about a minute, and the node stays up until Ctrl-C."
)]
pub struct DemoArgs {
    /// Which data.
    #[arg(default_value = "flights")]
    pub data_set: DataSet,
    /// Replay at full speed, print a summary and exit.
    #[arg(long, conflicts_with = "rate")]
    pub fast: bool,
    /// Replay N events a second, measure how long each takes until an outside reader sees it, and exit.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub rate: Option<u32>,
    /// When the look-up tables arrive; the answers do not depend on it.
    #[arg(long, default_value = "as-they-come", value_name = "WHEN")]
    pub tables: Tables,
    /// Keep the node's folder here [default: a temporary one, removed at the end].
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Address for Kafka clients [default: 127.0.0.1:9092, or a free port if that is taken].
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Option<String>,
    /// Address of the page [default: 127.0.0.1:8080, or a free port if that is taken].
    #[arg(long, value_name = "HOST:PORT")]
    pub http: Option<String>,
    /// What to print at the end: lines for people, or one JSON object for programs.
    #[arg(long, default_value = "text", value_name = "FORM")]
    pub output: Output,
}

/// How fast events are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// The year in about a minute.
    Year,
    Full,
    /// Events a second.
    Rate(u32),
}

impl DemoArgs {
    pub fn pace(&self) -> Pace {
        match self.rate {
            Some(rate) => Pace::Rate(rate),
            None if self.fast => Pace::Full,
            None => Pace::Year,
        }
    }

    /// Whether other ports than the usual ones will do.
    pub fn ports_are_ours(&self) -> bool {
        self.listen.is_none() && self.http.is_none()
    }

    pub fn given(&self, data: &Path) -> Given {
        Given {
            data: Some(data.to_owned()),
            listen: self.listen.clone(),
            http: self.http.clone(),
            ..Given::default()
        }
    }
}
