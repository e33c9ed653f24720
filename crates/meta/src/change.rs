//! The records of the metadata partition, as JSON with the kind as tag.
//!
//! ```text
//! {"kind":"topic_created","name":"t","id":"0f..","partitions":3,"configs":{"retention.ms":"7"}}
//! ```

use std::collections::BTreeMap;

use headwater_base::TopicId;
use serde::{Deserialize, Serialize};

use crate::acls::Acl;
use crate::quotas::{QuotaEntity, QuotaValues};
use crate::scopes::{Configs, Scope};
use crate::scram::ScramChange;
use crate::topic::Topic;

/// One change. Replaying all of them in order gives the catalog.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Change {
    /// Everything before is void: a snapshot begins.
    Reset,
    ClusterNamed {
        id: String,
    },
    TopicCreated(Topic),
    TopicDeleted {
        name: String,
    },
    PartitionsSet {
        name: String,
        partitions: i32,
    },
    /// All configs of a topic that are not default.
    ConfigsSet {
        name: String,
        configs: BTreeMap<String, String>,
    },
    /// Producer ids below this one have been, or may have been, handed out.
    ProducerIdsReserved {
        next: i64,
    },
    AclsAdded {
        acls: Vec<Acl>,
    },
    AclsRemoved {
        acls: Vec<Acl>,
    },
    /// All configs of something that is no topic.
    ScopeConfigsSet {
        scope: Scope,
        configs: Configs,
    },
    Scram(ScramChange),
    /// All quotas of an entity.
    QuotasSet {
        entity: QuotaEntity,
        #[serde(with = "crate::quotas::as_text")]
        values: QuotaValues,
    },
    /// A feature's level as somebody has set it (KIP-584).
    FeatureSet {
        feature: String,
        level: i16,
    },
}

/// Bytes in the metadata partition that are no change this version knows.
#[derive(Debug, thiserror::Error)]
#[error("a metadata record cannot be read ({0}); was it written by a newer version?")]
pub struct BadChange(#[from] serde_json::Error);

impl Change {
    /// # Errors
    /// None in practice: the types all have a JSON form.
    pub fn encode(&self) -> Result<Vec<u8>, BadChange> {
        Ok(serde_json::to_vec(self)?)
    }

    /// # Errors
    /// The bytes are not a change.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadChange> {
        Ok(serde_json::from_slice(bytes)?)
    }

    pub fn created(
        name: &str,
        id: TopicId,
        partitions: i32,
        configs: BTreeMap<String, String>,
    ) -> Self {
        Self::TopicCreated(Topic::new(name.to_owned(), id, partitions, configs))
    }
}
