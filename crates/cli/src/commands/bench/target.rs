//! What a benchmark works on: a topic, its own or a given one, and the connections that share its partitions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use headwater_wire::messages::InitProducerIdRequestData;

use super::Common;
use crate::client::connection::Connection;
use crate::client::{Client, ClientError, Partition, Start};
use crate::error::CliError;

/// How long a new topic's leaders and a broker's producer ids are waited for.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(100);

/// A topic and the way to it.
pub(super) struct Target {
    pub client: Client,
    pub topic: String,
    pub partitions: Vec<Partition>,
    /// Made here, to be deleted.
    own: bool,
    pub connections: usize,
}

/// A connection and the partitions that it is for.
pub(super) struct Share {
    pub connection: Arc<Connection>,
    pub partitions: Vec<i32>,
}

impl Target {
    /// Makes the topic, unless one is given.
    pub async fn prepare(common: &Common) -> Result<Self, CliError> {
        let client = Client::connect(&common.bootstrap.bootstrap, "headwater-bench").await?;
        let own = common.topic.is_none();
        let topic = common.topic.clone().unwrap_or_else(own_name);
        if own {
            client.create_topic(&topic, common.partitions, &[]).await?;
        }
        let partitions = wait_for(&client, &topic, own).await?;
        Ok(Self {
            client,
            topic,
            partitions,
            own,
            connections: usize::from(common.connections),
        })
    }

    /// Deletes the topic if it was made here.
    pub async fn clean_up(&self) -> Result<(), CliError> {
        if self.own {
            self.client.delete_topic(&self.topic).await?;
        }
        Ok(())
    }

    /// Whether the topic was made here and is empty at first.
    pub fn is_own(&self) -> bool {
        self.own
    }

    /// Opens the connections; each has its own partitions, all of one leader.
    pub async fn shares(&self) -> Result<Vec<Share>, CliError> {
        let mut shares = Vec::new();
        for (leader, partitions) in deal(&self.partitions, self.connections) {
            let known = self.client.node(leader).await?;
            let connection = self.client.own_connection(&known).await?;
            shares.push(Share {
                connection,
                partitions,
            });
        }
        Ok(shares)
    }

    /// A producer id and epoch.
    pub async fn identity(&self) -> Result<(i64, i16), ClientError> {
        let request = InitProducerIdRequestData {
            transaction_timeout_ms: 60_000,
            producer_id: -1,
            producer_epoch: -1,
            ..Default::default()
        };
        let give_up = tokio::time::Instant::now() + PATIENCE;
        loop {
            let response = self.client.call(&request).await?;
            match ClientError::check("a producer id", response.error_code) {
                Ok(()) => return Ok((response.producer_id, response.producer_epoch)),
                Err(error) if error.is_retriable() && tokio::time::Instant::now() < give_up => {
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// Waits until each partition answers at its leader: of a new topic a broker may be told to be the leader before it knows.
/// With auto-creation off: a topic that was just made is waited for, a wrong name is an error.
async fn wait_for(client: &Client, topic: &str, new: bool) -> Result<Vec<Partition>, ClientError> {
    let give_up = tokio::time::Instant::now() + PATIENCE;
    loop {
        match ready(client, topic).await {
            Err(error) if passes(&error, new) && tokio::time::Instant::now() < give_up => {
                tokio::time::sleep(PAUSE).await;
            }
            outcome => return outcome,
        }
    }
}

fn passes(error: &ClientError, new: bool) -> bool {
    error.is_retriable() || (new && matches!(error, ClientError::NoTopic { .. }))
}

async fn ready(client: &Client, topic: &str) -> Result<Vec<Partition>, ClientError> {
    let partitions = client.partitions(topic, false).await?;
    for one in &partitions {
        let end = client.offset_of(topic, one.index, one.leader, Start::Latest);
        end.await?;
    }
    Ok(partitions)
}

fn own_name() -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    format!(
        "headwater-bench-{:x}-{}",
        now.as_nanos(),
        std::process::id()
    )
}

/// Deals the partitions of each leader to as many connections, none of them empty.
fn deal(partitions: &[Partition], connections: usize) -> Vec<(i32, Vec<i32>)> {
    let mut by_leader: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for partition in partitions {
        by_leader
            .entry(partition.leader)
            .or_default()
            .push(partition.index);
    }
    let mut dealt = Vec::new();
    for (leader, indexes) in by_leader {
        let hands = connections.clamp(1, indexes.len());
        let hand = |n: usize| indexes.iter().copied().skip(n).step_by(hands).collect();
        dealt.extend((0..hands).map(|n| (leader, hand(n))));
    }
    dealt
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_partition_has_one_connection_of_its_leader() {
        let partition = |(index, leader)| Partition { index, leader };
        let all: Vec<Partition> = [(0, 1), (1, 2), (2, 1), (3, 1)].map(partition).to_vec();
        assert_eq!(deal(&all, 1), [(1, vec![0, 2, 3]), (2, vec![1])]);
        assert_eq!(deal(&all, 2), [(1, vec![0, 3]), (1, vec![2]), (2, vec![1])]);
        assert_eq!(deal(&all, 64).len(), 4);
        assert!(deal(&[], 3).is_empty());
    }
}
