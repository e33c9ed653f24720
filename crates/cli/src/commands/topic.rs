//! `headwater topic`.

use serde_json::{Map, Value, json};

use super::{BootstrapArgs, pair};
use crate::client::{Client, ClientError, Start, TopicDescription};
use crate::error::CliError;
use crate::output::{self, Format};

#[derive(Clone, Debug, clap::Args)]
pub struct TopicArgs {
    #[command(subcommand)]
    pub action: TopicAction,
}

#[derive(Clone, Debug, clap::Args)]
pub struct Common {
    #[command(flatten)]
    pub bootstrap: BootstrapArgs,
    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    pub output: Format,
}

#[derive(Clone, Debug, clap::Subcommand)]
pub enum TopicAction {
    /// Show all topics
    List {
        /// Internal topics too
        #[arg(long)]
        internal: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Make a topic
    Create {
        name: String,
        /// How many partitions; the node's default unless told
        #[arg(long, short)]
        partitions: Option<i32>,
        /// A configuration such as cleanup.policy=compact; may be repeated
        #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
        config: Vec<(String, String)>,
        /// Succeed when it exists already
        #[arg(long)]
        if_not_exists: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Show partitions, offsets and configuration of a topic
    Describe {
        name: String,
        #[command(flatten)]
        common: Common,
    },
    /// Delete topics with all their records
    Delete {
        #[arg(required = true)]
        names: Vec<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Show or change the configuration of a topic
    Config {
        name: String,
        /// Set a configuration; may be repeated
        #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
        set: Vec<(String, String)>,
        /// Put a configuration back to its default; may be repeated
        #[arg(long, value_name = "NAME")]
        unset: Vec<String>,
        /// Give the topic more partitions, this many in all
        #[arg(long)]
        partitions: Option<i32>,
        #[command(flatten)]
        common: Common,
    },
}

pub(super) async fn run(args: TopicArgs) -> Result<(), CliError> {
    match args.action {
        TopicAction::List { internal, common } => list(internal, &common).await,
        TopicAction::Create {
            name,
            partitions,
            config,
            if_not_exists,
            common,
        } => {
            let client = common.bootstrap.connect().await?;
            let made = client
                .create_topic(&name, partitions.unwrap_or(-1), &config)
                .await;
            let exists = |error: &ClientError| {
                error.code() == Some(headwater_wire::ErrorCode::TopicAlreadyExists)
            };
            match made {
                Err(error) if if_not_exists && exists(&error) => report(&common, &name, "exists"),
                other => other
                    .map_err(Into::into)
                    .and_then(|()| report(&common, &name, "created")),
            }
        }
        TopicAction::Describe { name, common } => describe(&name, &common).await,
        TopicAction::Delete { names, common } => {
            let client = common.bootstrap.connect().await?;
            for name in names {
                client.delete_topic(&name).await?;
                report(&common, &name, "deleted")?;
            }
            Ok(())
        }
        TopicAction::Config {
            name,
            set,
            unset,
            partitions,
            common,
        } => {
            let client = common.bootstrap.connect().await?;
            if let Some(count) = partitions {
                client.create_partitions(&name, count).await?;
            }
            let set = set.into_iter().map(|(name, value)| (name, Some(value)));
            let changes: Vec<(String, Option<String>)> = set
                .chain(unset.into_iter().map(|name| (name, None)))
                .collect();
            if !changes.is_empty() {
                client.set_topic_configs(&name, &changes).await?;
            }
            show_configs(&client, &name, &common).await
        }
    }
}

fn report(common: &Common, name: &str, what: &str) -> Result<(), CliError> {
    match common.output {
        Format::Table => output::line(&format!("{what} topic {name}")),
        Format::Json => output::json(&json!({ "topic": name, "result": what })),
    }
}

async fn list(internal: bool, common: &Common) -> Result<(), CliError> {
    let mut topics = common.bootstrap.connect().await?.topics(None).await?;
    topics.retain(|topic| internal || !topic.internal);
    match common.output {
        Format::Table if topics.is_empty() => {
            output::line("no topics yet: `headwater topic create NAME` makes one")
        }
        Format::Table => {
            let row = |topic: &TopicDescription| {
                vec![topic.name.clone(), topic.partitions.len().to_string()]
            };
            output::line(&output::table(
                &["topic", "partitions"],
                topics.iter().map(row).collect(),
                &[1],
            ))
        }
        Format::Json => {
            let entry = |topic: &TopicDescription| json!({ "name": topic.name, "id": topic.id, "internal": topic.internal, "partitions": topic.partitions.len() });
            output::json(&topics.iter().map(entry).collect::<Vec<Value>>())
        }
    }
}

async fn describe(name: &str, common: &Common) -> Result<(), CliError> {
    let client = common.bootstrap.connect().await?;
    let topics = client.topics(Some(&[name])).await?;
    let Some(topic) = topics.first() else {
        return Err(ClientError::NoTopic {
            topic: name.to_owned(),
        }
        .into());
    };
    let mut extents = Vec::new();
    for partition in &topic.partitions {
        let start = client
            .offset_of(name, partition.index, partition.leader, Start::Earliest)
            .await?;
        let end = client
            .offset_of(name, partition.index, partition.leader, Start::Latest)
            .await?;
        extents.push((partition, start, end));
    }
    let configs = client.topic_configs(name).await?;
    if common.output == Format::Json {
        let partitions: Vec<Value> = extents
            .iter()
            .map(|(p, start, end)| {
                json!({ "partition": p.index, "leader": p.leader, "replicas": p.replicas, "in_sync": p.in_sync, "start": start, "end": end })
            })
            .collect();
        let configs: Map<String, Value> = configs
            .into_iter()
            .map(|entry| (entry.name, json!(entry.value)))
            .collect();
        return output::json(
            &json!({ "name": topic.name, "id": topic.id, "partitions": partitions, "configs": configs }),
        );
    }
    output::line(&format!("topic {} (id {})", topic.name, topic.id))?;
    let row = |(p, start, end): &(&crate::client::admin::PartitionDescription, i64, i64)| {
        vec![
            p.index.to_string(),
            p.leader.to_string(),
            start.to_string(),
            end.to_string(),
            (end - start).to_string(),
        ]
    };
    let heading = ["partition", "leader", "start", "end", "records at most"];
    output::line(&output::table(
        &heading,
        extents.iter().map(row).collect(),
        &[0, 1, 2, 3, 4],
    ))?;
    let set = configs.iter().filter(|entry| !entry.is_default);
    set.into_iter().try_for_each(|entry| {
        output::line(&format!(
            "{}={}",
            entry.name,
            entry.value.as_deref().unwrap_or("(secret)")
        ))
    })
}

async fn show_configs(client: &Client, name: &str, common: &Common) -> Result<(), CliError> {
    let configs = client.topic_configs(name).await?;
    match common.output {
        Format::Table => {
            let row = |entry: &crate::client::admin::ConfigEntry| {
                let origin = if entry.is_default { "default" } else { "topic" };
                vec![
                    entry.name.clone(),
                    entry.value.clone().unwrap_or_else(|| "(secret)".to_owned()),
                    origin.to_owned(),
                ]
            };
            output::line(&output::table(
                &["configuration", "value", "from"],
                configs.iter().map(row).collect(),
                &[],
            ))
        }
        Format::Json => {
            let entries: Map<String, Value> = configs
                .into_iter()
                .map(|entry| (entry.name, json!(entry.value)))
                .collect();
            output::json(&json!({ "topic": name, "configs": entries }))
        }
    }
}
