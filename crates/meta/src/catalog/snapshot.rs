//! The whole catalog as changes, in the place of those that led to it.

use crate::acls::Acl;
use crate::change::Change;
use crate::topic::Topic;

use super::Catalog;

/// ACLs in one record.
const ACLS_A_RECORD: usize = 500;

impl Catalog {
    /// Changes that give this state from nothing.
    pub fn snapshot(&self) -> Vec<Change> {
        let mut all = vec![
            Change::Reset,
            Change::ClusterNamed {
                id: self.cluster_id.clone(),
            },
            Change::ProducerIdsReserved {
                next: self.next_producer_id,
            },
        ];
        all.extend(self.security_snapshot());
        let topics = self.topics.values();
        all.extend(topics.map(|topic| Change::TopicCreated(Topic::clone(topic))));
        all
    }

    fn security_snapshot(&self) -> impl Iterator<Item = Change> + '_ {
        let acls: Vec<Acl> = self.acls.iter().collect();
        let chunks: Vec<Change> = acls
            .chunks(ACLS_A_RECORD)
            .map(|some| Change::AclsAdded {
                acls: some.to_vec(),
            })
            .collect();
        let scopes = self
            .scopes
            .iter()
            .map(|(scope, configs)| Change::ScopeConfigsSet {
                scope: scope.clone(),
                configs: configs.clone(),
            });
        let quotas = self
            .quotas
            .iter()
            .map(|(entity, values)| Change::QuotasSet {
                entity: entity.clone(),
                values: values.clone(),
            });
        let features = self
            .features
            .iter()
            .map(|(feature, level)| Change::FeatureSet {
                feature: feature.clone(),
                level: *level,
            });
        let users = self.scram.snapshot().map(Change::Scram);
        chunks
            .into_iter()
            .chain(scopes)
            .chain(quotas)
            .chain(features)
            .chain(users)
    }
}
