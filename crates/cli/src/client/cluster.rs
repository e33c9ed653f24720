//! The nodes behind an address: connections to them, and which of them leads a partition or coordinates a group.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use headwater_wire::ErrorCode;
use headwater_wire::Request;
use headwater_wire::messages::metadata_request::MetadataRequestTopic;
use headwater_wire::messages::{
    FindCoordinatorRequestData, MetadataRequestData, MetadataResponseData,
};

use super::connection::Connection;
use super::error::ClientError;

/// How long a topic that is just being made, or a coordinator that is just starting, is waited for.
const SETTLE_ATTEMPTS_MAX: u32 = 20;
const SETTLE_PAUSE: Duration = Duration::from_millis(100);

/// A partition and the node that leads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    pub index: i32,
    pub leader: i32,
}

/// A Kafka client. Clones share connections.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    bootstrap: Vec<String>,
    client_id: String,
    connections: tokio::sync::Mutex<HashMap<String, Arc<Connection>>>,
    /// Addresses of the nodes, as the last metadata told.
    nodes: Mutex<HashMap<i32, String>>,
}

impl Client {
    /// A client of the cluster behind `bootstrap` (`HOST:PORT`, several separated by commas). Connects when first used.
    pub fn new(bootstrap: &str, client_id: &str) -> Self {
        let bootstrap = bootstrap
            .split(',')
            .map(|address| address.trim().to_owned())
            .collect();
        let shared = Shared {
            bootstrap,
            client_id: client_id.to_owned(),
            connections: tokio::sync::Mutex::default(),
            nodes: Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// As [`Client::new`], and makes sure that somebody is there.
    ///
    /// # Errors
    /// Nobody at any of the addresses answers.
    pub async fn connect(bootstrap: &str, client_id: &str) -> Result<Self, ClientError> {
        let client = Self::new(bootstrap, client_id);
        client.any().await?;
        Ok(client)
    }

    /// A connection to any of the bootstrap addresses.
    ///
    /// # Errors
    /// The failure of the first address when none can be reached.
    pub async fn any(&self) -> Result<Arc<Connection>, ClientError> {
        let mut first = None;
        for address in &self.shared.bootstrap {
            match self.at(address).await {
                Ok(connection) => return Ok(connection),
                Err(error) => first = first.or(Some(error)),
            }
        }
        let none = || ClientError::Address {
            address: String::new(),
            reason: "it is empty".to_owned(),
        };
        Err(first.unwrap_or_else(none))
    }

    /// A connection to a node.
    ///
    /// # Errors
    /// The node cannot be reached.
    pub async fn node(&self, id: i32) -> Result<Arc<Connection>, ClientError> {
        let known = self
            .shared
            .nodes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&id)
            .cloned();
        match known {
            Some(address) => self.at(&address).await,
            None => self.any().await,
        }
    }

    async fn at(&self, address: &str) -> Result<Arc<Connection>, ClientError> {
        let mut connections = self.shared.connections.lock().await;
        if let Some(connection) = connections
            .get(address)
            .filter(|connection| !connection.is_broken())
        {
            return Ok(Arc::clone(connection));
        }
        connections.remove(address);
        let connection = Connection::open(address, &self.shared.client_id).await?;
        connections.insert(address.to_owned(), Arc::clone(&connection));
        Ok(connection)
    }

    /// A connection to a node that nobody else uses: for requests that the node holds back, which would hold up all behind them.
    ///
    /// # Errors
    /// The node cannot be reached.
    pub async fn own_connection(&self, to: &Connection) -> Result<Arc<Connection>, ClientError> {
        Connection::open(to.address(), &self.shared.client_id).await
    }

    /// Sends a request to any node.
    ///
    /// # Errors
    /// As [`Connection::call`].
    pub async fn call<R: Request>(&self, request: &R) -> Result<R::Response, ClientError> {
        self.any().await?.call(request).await
    }

    /// Metadata of some topics, or with `None` of all. Remembers where the nodes are.
    ///
    /// # Errors
    /// As [`Connection::call`].
    pub async fn metadata(
        &self,
        topics: Option<&[&str]>,
        auto_create: bool,
    ) -> Result<MetadataResponseData, ClientError> {
        let named = |name: &&str| MetadataRequestTopic {
            name: Some((*name).to_owned().into()),
            ..Default::default()
        };
        let request = MetadataRequestData {
            topics: topics.map(|names| names.iter().map(named).collect()),
            allow_auto_topic_creation: auto_create,
            ..MetadataRequestData::default()
        };
        let response = self.call(&request).await?;
        for node in &response.brokers {
            self.remember(node.node_id, node.host.as_str(), node.port);
        }
        Ok(response)
    }

    fn remember(&self, node: i32, host: &str, port: i32) {
        let address = if host.contains(':') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        };
        let mut nodes = self
            .shared
            .nodes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        nodes.insert(node, address);
    }

    /// The partitions of a topic in order of their index. Waits for one that is just being made.
    ///
    /// # Errors
    /// [`ClientError::NoTopic`], or the code of the node.
    pub async fn partitions(
        &self,
        topic: &str,
        auto_create: bool,
    ) -> Result<Vec<Partition>, ClientError> {
        let mut attempt = 0;
        loop {
            let response = self.metadata(Some(&[topic]), auto_create).await?;
            let found = response.topics.first();
            let code = found.map_or(ErrorCode::UnknownTopicOrPartition.code(), |topic| {
                topic.error_code
            });
            let leaderless =
                found.is_some_and(|topic| topic.partitions.iter().any(|p| p.leader_id < 0));
            if let (Some(found), 0, false) = (found, code, leaderless) {
                let partition =
                    |p: &headwater_wire::messages::metadata_response::MetadataResponsePartition| {
                        Partition {
                            index: p.partition_index,
                            leader: p.leader_id,
                        }
                    };
                let mut partitions: Vec<Partition> =
                    found.partitions.iter().map(partition).collect();
                partitions.sort_by_key(|partition| partition.index);
                return Ok(partitions);
            }
            let missing = code == ErrorCode::UnknownTopicOrPartition.code();
            let settles = leaderless
                || code == ErrorCode::LeaderNotAvailable.code()
                || (missing && auto_create);
            attempt += 1;
            if !settles || attempt >= SETTLE_ATTEMPTS_MAX {
                return Err(if missing {
                    ClientError::NoTopic {
                        topic: topic.to_owned(),
                    }
                } else {
                    ClientError::broker(format!("topic {topic:?}"), code, None)
                });
            }
            tokio::time::sleep(SETTLE_PAUSE).await;
        }
    }

    /// The node that coordinates a group.
    ///
    /// # Errors
    /// As [`Connection::call`], or the code of the node.
    pub async fn coordinator(&self, group: &str) -> Result<Arc<Connection>, ClientError> {
        let request = FindCoordinatorRequestData {
            key: group.to_owned().into(),
            ..FindCoordinatorRequestData::default()
        };
        let mut attempt = 0;
        loop {
            let response = self.call(&request).await?;
            if response.error_code == 0 {
                self.remember(response.node_id, response.host.as_str(), response.port);
                return self.node(response.node_id).await;
            }
            let message = response
                .error_message
                .as_ref()
                .map(headwater_wire::KafkaString::as_str);
            let error =
                ClientError::broker(format!("group {group:?}"), response.error_code, message);
            attempt += 1;
            if !error.is_retriable() || attempt >= SETTLE_ATTEMPTS_MAX {
                return Err(error);
            }
            tokio::time::sleep(SETTLE_PAUSE).await;
        }
    }
}
