//! The commands of the client side: what they take, and the way from arguments to an exit code.

pub mod acl;
pub mod apply;
pub mod bench;
pub mod config;
pub mod consume;
pub mod dead_letters;
pub mod group;
pub mod produce;
mod signal;
pub mod sql;
pub mod topic;

use crate::client::Client;
use crate::error::CliError;
use crate::output;

/// Commands that talk to a running node.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Command {
    /// Run SQL: one statement, a script from the standard input, or an interactive shell
    Sql(sql::SqlArgs),
    /// Create what the *.sql files of a folder say, all or nothing
    Apply(apply::ApplyArgs),
    /// List, create, describe, delete and configure topics
    Topic(topic::TopicArgs),
    /// Write records to a topic, one a line
    Produce(produce::ProduceArgs),
    /// Read records of a topic
    Consume(consume::ConsumeArgs),
    /// List the records that pipelines could not take in, and replay them
    DeadLetters(dead_letters::DeadLettersArgs),
    /// List, describe, delete and reset consumer groups
    Group(group::GroupArgs),
    /// Measure how fast a broker is: any that speaks Kafka's protocol
    Bench(bench::BenchArgs),
    /// List, add and remove access rights
    Acl(acl::AclArgs),
    /// Show and change the configuration of the node, of all nodes, and of groups
    Config(config::ConfigArgs),
}

impl Command {
    /// Runs the command; prints its own errors and gives the exit code.
    pub async fn run(self) -> u8 {
        let outcome = match self {
            Self::Sql(args) => sql::run(args).await,
            Self::Apply(args) => apply::run(args).await,
            Self::Topic(args) => topic::run(args).await,
            Self::Produce(args) => produce::run(args).await,
            Self::Consume(args) => consume::run(args).await,
            Self::DeadLetters(args) => dead_letters::run(args).await,
            Self::Group(args) => group::run(args).await,
            Self::Bench(args) => bench::run(args).await,
            Self::Acl(args) => acl::run(args).await,
            Self::Config(args) => config::run(args).await,
        };
        match outcome {
            Ok(()) => 0,
            Err(CliError::OutputClosed) => 0,
            Err(error) => {
                output::note(&error.shown());
                error.exit_code()
            }
        }
    }
}

/// Where a node's Kafka address is.
#[derive(Clone, Debug, clap::Args)]
pub struct BootstrapArgs {
    /// The node's Kafka address
    #[arg(
        long,
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:9092",
        env = "HEADWATER_BOOTSTRAP"
    )]
    pub bootstrap: String,
}

impl BootstrapArgs {
    pub(crate) async fn connect(&self) -> Result<Client, CliError> {
        Ok(Client::connect(&self.bootstrap, "headwater-cli").await?)
    }
}

/// `name=value` as arguments give configurations.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| format!("{text:?} is not NAME=VALUE"))?;
    Ok((name.to_owned(), value.to_owned()))
}
