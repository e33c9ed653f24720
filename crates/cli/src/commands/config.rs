//! `headwater config`: the configuration of the node, of all nodes, and of groups. Topics have `headwater topic config`.

use clap::ValueEnum;
use serde_json::{Map, Value, json};

use super::pair;
use super::topic::Common;
use crate::client::admin::{ConfigEntry, ConfigOf};
use crate::error::CliError;
use crate::output::{self, Format};

#[derive(Clone, Debug, clap::Args)]
pub struct ConfigArgs {
    #[command(subcommand)]
    pub action: ConfigAction,
}

/// What a configuration belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Owner {
    /// All nodes
    Cluster,
    /// One node, by its id
    Node,
    /// A consumer group
    Group,
}

#[derive(Clone, Debug, clap::Args)]
pub struct OwnerArgs {
    /// What the configuration belongs to
    owner: Owner,
    /// Id of the node, or name of the group
    #[arg(required_if_eq_any([("owner", "node"), ("owner", "group")]))]
    name: Option<String>,
}

impl OwnerArgs {
    fn of(&self) -> (ConfigOf, &str) {
        let name = self.name.as_deref().unwrap_or_default();
        match self.owner {
            Owner::Cluster => (ConfigOf::Node, ""),
            Owner::Node => (ConfigOf::Node, name),
            Owner::Group => (ConfigOf::Group, name),
        }
    }
}

#[derive(Clone, Debug, clap::Subcommand)]
pub enum ConfigAction {
    /// Show what is set
    Get {
        #[command(flatten)]
        owner: OwnerArgs,
        /// What is at its default, too
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Change what is set
    Set {
        #[command(flatten)]
        owner: OwnerArgs,
        /// A configuration; may be repeated
        #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
        set: Vec<(String, String)>,
        /// Put a configuration back to its default; may be repeated
        #[arg(long, value_name = "NAME")]
        unset: Vec<String>,
        #[command(flatten)]
        common: Common,
    },
}

pub(super) async fn run(args: ConfigArgs) -> Result<(), CliError> {
    match args.action {
        ConfigAction::Get { owner, all, common } => get(&owner, all, &common).await,
        ConfigAction::Set {
            owner,
            set,
            unset,
            common,
        } => {
            let set = set.into_iter().map(|(name, value)| (name, Some(value)));
            let changes: Vec<(String, Option<String>)> = set
                .chain(unset.into_iter().map(|name| (name, None)))
                .collect();
            let client = common.bootstrap.connect().await?;
            let (of, name) = owner.of();
            client.set_configs(of, name, &changes).await?;
            get(&owner, false, &common).await
        }
    }
}

async fn get(owner: &OwnerArgs, all: bool, common: &Common) -> Result<(), CliError> {
    let (of, name) = owner.of();
    let mut configs = common.bootstrap.connect().await?.configs(of, name).await?;
    configs.retain(|entry| all || !entry.is_default);
    match common.output {
        Format::Json => {
            let entries: Map<String, Value> = configs
                .into_iter()
                .map(|entry| (entry.name, json!(entry.value)))
                .collect();
            output::json(&entries)
        }
        Format::Table if configs.is_empty() => output::line("nothing is set"),
        Format::Table => {
            let row = |entry: &ConfigEntry| {
                let value = entry.value.clone().unwrap_or_else(|| "(secret)".to_owned());
                let fixed = if entry.read_only {
                    "at start"
                } else {
                    "any time"
                };
                vec![entry.name.clone(), value, fixed.to_owned()]
            };
            output::line(&output::table(
                &["configuration", "value", "can be set"],
                configs.iter().map(row).collect(),
                &[],
            ))
        }
    }
}
