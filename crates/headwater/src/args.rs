//! The command line's shape.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

use crate::demo::DemoArgs;

/// Real-time data processing in one binary: Kafka clients write events to it, streaming SQL turns them into answers.
#[derive(Parser)]
#[command(
    name = "headwater",
    version,
    max_term_width = 110,
    disable_help_subcommand = true
)]
#[command(
    after_help = "First steps:\n  headwater demo flights          a year of real flights in a minute, with a page to look at\n  \
    headwater up                    a node on 127.0.0.1:9092 (Kafka) and 127.0.0.1:8080 (page, API)\n  \
    headwater sql                   ask it something"
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    /// What to log to the standard error stream, as in `info` or `headwater_engine=debug`.
    #[arg(
        long,
        global = true,
        env = "HEADWATER_LOG",
        default_value = "warn",
        value_name = "FILTER"
    )]
    pub log: String,
}

#[derive(Subcommand)]
pub enum Command {
    /// Run a node: Kafka broker, SQL engine and page on a local folder.
    Up(UpArgs),
    /// Watch a pipeline at work on real data.
    Demo(DemoArgs),
    #[command(flatten)]
    Client(headwater_cli::Command),
    /// Print a completion script for a shell.
    Completions { shell: clap_complete::Shell },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    Text,
    Json,
}

#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Settings come from headwater.toml, then the environment, then flags; the later wins.\n\
    Kafka clients need nothing but the address: topics are made when first used."
)]
pub struct UpArgs {
    /// Folder that keeps everything. Made if it is not there [default: ./headwater-data].
    #[arg(long, env = "HEADWATER_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Address for Kafka clients; port 0 picks a free one [default: 127.0.0.1:9092].
    #[arg(long, env = "HEADWATER_LISTEN", value_name = "HOST:PORT")]
    pub listen: Option<String>,
    /// Address of the page, the API and the metrics [default: 127.0.0.1:8080].
    #[arg(long, env = "HEADWATER_HTTP", value_name = "HOST:PORT")]
    pub http: Option<String>,
    /// Address that Kafka clients are told to use, if it differs from the one listened on.
    #[arg(long, env = "HEADWATER_ADVERTISE", value_name = "HOST:PORT")]
    pub advertise: Option<String>,
    /// Folder of pipelines to apply at start: one folder of *.sql each, or *.sql right in it.
    #[arg(long, env = "HEADWATER_PIPELINES", value_name = "DIR")]
    pub pipelines: Option<PathBuf>,
    /// Memory that all pipelines' state may take, such as 512MB [default: 2GB].
    #[arg(long, env = "HEADWATER_STATE_MEMORY", value_name = "SIZE")]
    pub state_memory: Option<String>,
    /// Another name under which browsers may open the page (may be repeated).
    #[arg(
        long = "http-name",
        env = "HEADWATER_HTTP_NAMES",
        value_delimiter = ',',
        value_name = "NAME"
    )]
    pub http_names: Vec<String>,
    /// A principal that no access rule binds, such as User:admin (may be repeated). Clients are User:ANONYMOUS.
    #[arg(
        long = "super-user",
        env = "HEADWATER_SUPER_USERS",
        value_delimiter = ',',
        value_name = "TYPE:NAME"
    )]
    pub super_users: Vec<String>,
    /// Settings file [default: ./headwater.toml if it is there].
    #[arg(long, env = "HEADWATER_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What to print when ready: lines for people, or one JSON object for programs.
    #[arg(long, default_value = "text", value_name = "FORM")]
    pub output: Output,
}
