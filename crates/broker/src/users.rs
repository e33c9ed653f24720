//! SCRAM users, client quotas and the levels of features: kept and told; nobody logs in or is slowed down by them.

use std::sync::Arc;

use headwater_meta::Change;
use headwater_meta::quotas::{QuotaEdit, QuotaEntity, Quotas};
use headwater_meta::scram::{ScramError, ScramUpsertion, ScramUsers};

use crate::Broker;
use crate::catalog::{Plan, settle};
use crate::error::BrokerError;
use crate::journal::METADATA;

impl Broker {
    pub fn scram_users(&self) -> Arc<ScramUsers> {
        Arc::clone(self.catalog.hold().scram())
    }

    /// Changes users, each on its own; one outcome per user, when durable.
    pub async fn alter_scram_users(
        &self,
        deletions: &[(String, i8)],
        upsertions: &[ScramUpsertion],
    ) -> Vec<(String, Result<(), BrokerError>)> {
        let mut outcomes: Vec<(String, Result<(), ScramError>)> = Vec::new();
        let submitted = self.catalog.change(|catalog| {
            let mut changes = Vec::new();
            for (user, planned) in catalog.scram().plan(deletions, upsertions) {
                let outcome = planned.map(|change| changes.push(Change::Scram(change)));
                outcomes.push((user, outcome));
            }
            Ok(Plan::of(changes, false))
        });
        let written = match submitted {
            Ok(durables) => settle(durables).await,
            Err(error) => Err(error),
        };
        let with_disk = |(user, outcome): (String, Result<(), ScramError>)| {
            let outcome = outcome.map_err(BrokerError::from);
            (user, outcome.and(written.clone()))
        };
        outcomes.into_iter().map(with_disk).collect()
    }

    pub fn quotas(&self) -> Arc<Quotas> {
        Arc::clone(self.catalog.hold().quotas())
    }

    /// Changes the quotas of one entity.
    ///
    /// # Errors
    /// The entity or a value is not allowed, or the log takes nothing.
    pub async fn alter_quotas(
        &self,
        entity: &QuotaEntity,
        edits: &[QuotaEdit],
        validate_only: bool,
    ) -> Result<(), BrokerError> {
        let durables = self.catalog.change(|catalog| {
            let edited = catalog.quotas().edited(entity, edits);
            let change = Change::QuotasSet {
                entity: entity.clone(),
                values: edited.map_err(BrokerError::InvalidRequest)?,
            };
            Ok(Plan::of(vec![change], validate_only))
        })?;
        settle(durables).await
    }

    /// Changes that the catalog has seen, as an offset: what clients take for the end of the metadata log.
    pub fn metadata_end(&self) -> i64 {
        self.log.state(METADATA).durable_end
    }

    /// The node's clock, in milliseconds since 1970.
    pub fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// The level of a feature, if somebody has set one.
    pub fn feature(&self, name: &str) -> Option<i16> {
        self.catalog.hold().feature(name)
    }

    /// Sets the levels of features, all or none.
    ///
    /// # Errors
    /// The log takes nothing.
    pub async fn set_features(&self, levels: &[(String, i16)]) -> Result<(), BrokerError> {
        let set = |(feature, level): &(String, i16)| Change::FeatureSet {
            feature: feature.clone(),
            level: *level,
        };
        let changes = levels.iter().map(set).collect();
        settle(self.catalog.change(|_| Ok(Plan::of(changes, false)))?).await
    }
}
