//! `headwater group`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::consume::from;
use super::topic::Common;
use crate::client::admin_groups::GroupListing;
use crate::client::{Client, GroupDescription, Start};
use crate::error::CliError;
use crate::output::{self, Format};

#[derive(Clone, Debug, clap::Args)]
pub struct GroupArgs {
    #[command(subcommand)]
    pub action: GroupAction,
}

#[derive(Clone, Debug, clap::Subcommand)]
pub enum GroupAction {
    /// Show all consumer groups
    List {
        #[command(flatten)]
        common: Common,
    },
    /// Show members, committed offsets and lag of a group
    Describe {
        name: String,
        #[command(flatten)]
        common: Common,
    },
    /// Delete groups that have no members, with their offsets
    Delete {
        #[arg(required = true)]
        names: Vec<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Move the committed offsets of a group that has no members
    Reset {
        name: String,
        /// The topic to move in
        #[arg(long)]
        topic: String,
        /// beginning, end, an offset, or a time such as @1700000000000 (milliseconds since the epoch)
        #[arg(long, value_name = "WHERE", value_parser = from)]
        to: Start,
        /// Only this partition; may be repeated
        #[arg(long)]
        partition: Vec<i32>,
        #[command(flatten)]
        common: Common,
    },
}

pub(super) async fn run(args: GroupArgs) -> Result<(), CliError> {
    match args.action {
        GroupAction::List { common } => list(&common).await,
        GroupAction::Describe { name, common } => describe(&name, &common).await,
        GroupAction::Delete { names, common } => {
            let client = common.bootstrap.connect().await?;
            for name in names {
                client.delete_group(&name).await?;
                match common.output {
                    Format::Table => output::line(&format!("deleted group {name}"))?,
                    Format::Json => output::json(&json!({ "group": name, "result": "deleted" }))?,
                }
            }
            Ok(())
        }
        GroupAction::Reset {
            name,
            topic,
            to,
            partition,
            common,
        } => reset(&name, &topic, to, &partition, &common).await,
    }
}

async fn list(common: &Common) -> Result<(), CliError> {
    let groups = common.bootstrap.connect().await?.groups().await?;
    match common.output {
        Format::Table if groups.is_empty() => output::line("no consumer groups yet"),
        Format::Table => {
            let row = |group: &GroupListing| {
                vec![
                    group.name.clone(),
                    group.state.clone(),
                    group.protocol_type.clone(),
                ]
            };
            output::line(&output::table(
                &["group", "state", "type"],
                groups.iter().map(row).collect(),
                &[],
            ))
        }
        Format::Json => {
            let entry = |group: &GroupListing| json!({ "name": group.name, "state": group.state, "type": group.protocol_type });
            output::json(&groups.iter().map(entry).collect::<Vec<Value>>())
        }
    }
}

/// A partition that a group has read, or is about to.
struct Reading {
    topic: String,
    partition: i32,
    committed: Option<i64>,
    end: i64,
    member: Option<String>,
}

impl Reading {
    fn lag(&self) -> Option<i64> {
        self.committed
            .map(|committed| (self.end - committed).max(0))
    }
}

async fn describe(name: &str, common: &Common) -> Result<(), CliError> {
    let client = common.bootstrap.connect().await?;
    let group = client.group(name).await?;
    let readings = readings(&client, &group).await?;
    if group.members.is_empty() && readings.is_empty() && group.state == "Dead" {
        return Err(CliError::Usage(format!(
            "there is no group {name:?}; `headwater group list` shows what there is"
        )));
    }
    let shown =
        |number: Option<i64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    if common.output == Format::Json {
        let partitions: Vec<Value> = readings
            .iter()
            .map(|r| {
                json!({ "topic": r.topic, "partition": r.partition, "committed": r.committed, "end": r.end, "lag": r.lag(), "member": r.member })
            })
            .collect();
        let members: Vec<Value> = group
            .members
            .iter()
            .map(|m| json!({ "id": m.id, "instance_id": m.instance_id, "client_id": m.client_id, "host": m.host }))
            .collect();
        return output::json(&json!({
            "name": group.name, "state": group.state, "protocol": group.protocol, "members": members, "partitions": partitions,
        }));
    }
    output::line(&format!(
        "group {}: {}, {} members",
        group.name,
        group.state,
        group.members.len()
    ))?;
    let row = |r: &Reading| {
        let member = r.member.clone().unwrap_or_else(|| "-".to_owned());
        vec![
            r.topic.clone(),
            r.partition.to_string(),
            shown(r.committed),
            r.end.to_string(),
            shown(r.lag()),
            member,
        ]
    };
    let heading = ["topic", "partition", "committed", "end", "lag", "member"];
    output::line(&output::table(
        &heading,
        readings.iter().map(row).collect(),
        &[1, 2, 3, 4],
    ))
}

async fn readings(client: &Client, group: &GroupDescription) -> Result<Vec<Reading>, CliError> {
    let mut known: BTreeMap<(String, i32), (Option<i64>, Option<String>)> = BTreeMap::new();
    for member in &group.members {
        for place in &member.assigned {
            known.entry(place.clone()).or_default().1 = Some(member.id.clone());
        }
    }
    for offset in client.group_offsets(&group.name).await? {
        known.entry((offset.topic, offset.partition)).or_default().0 = Some(offset.offset);
    }
    let mut readings = Vec::new();
    for ((topic, partition), (committed, member)) in known {
        let leader = client.partitions(&topic, false).await.unwrap_or_default();
        // A topic that was deleted has no end; its offsets are shown all the same.
        let end = match leader.iter().find(|known| known.index == partition) {
            Some(known) => {
                client
                    .offset_of(&topic, partition, known.leader, Start::Latest)
                    .await?
            }
            None => -1,
        };
        readings.push(Reading {
            topic,
            partition,
            committed,
            end,
            member,
        });
    }
    Ok(readings)
}

async fn reset(
    name: &str,
    topic: &str,
    to: Start,
    only: &[i32],
    common: &Common,
) -> Result<(), CliError> {
    let client = common.bootstrap.connect().await?;
    let mut offsets = Vec::new();
    for partition in client.partitions(topic, false).await? {
        if only.is_empty() || only.contains(&partition.index) {
            let offset = client
                .offset_of(topic, partition.index, partition.leader, to)
                .await?;
            offsets.push((topic.to_owned(), partition.index, offset));
        }
    }
    if offsets.is_empty() {
        return Err(CliError::Usage(format!(
            "topic {topic:?} has none of these partitions"
        )));
    }
    client.set_group_offsets(name, &offsets).await?;
    match common.output {
        Format::Table => {
            let row = |(topic, partition, offset): &(String, i32, i64)| {
                vec![topic.clone(), partition.to_string(), offset.to_string()]
            };
            output::line(&output::table(
                &["topic", "partition", "committed"],
                offsets.iter().map(row).collect(),
                &[1, 2],
            ))
        }
        Format::Json => {
            let entry = |(topic, partition, offset): &(String, i32, i64)| json!({ "topic": topic, "partition": partition, "committed": offset });
            output::json(&offsets.iter().map(entry).collect::<Vec<Value>>())
        }
    }
}
