//! The parts of the catalog that are not topics: rights, users, quotas, features, and the configs of nodes, groups and clients.

use std::sync::Arc;

use crate::acls::{Acl, Acls};
use crate::change::Change;
use crate::configs::TopicSettings;
use crate::quotas::Quotas;
use crate::scopes::{self, Configs, Scope};
use crate::scram::ScramUsers;
use crate::topic::Topic;

use super::{Catalog, MetaError};

/// Most ACLs that a node keeps.
const ACLS_MAX: usize = 100_000;

impl Catalog {
    /// Who may do what.
    pub fn acls(&self) -> &Arc<Acls> {
        &self.acls
    }

    /// The change that adds ACLs; none if all are there already.
    ///
    /// # Errors
    /// One of them is not allowed, or there would be too many.
    pub fn add_acls(&self, acls: &[Acl]) -> Result<Option<Change>, MetaError> {
        acls.iter()
            .try_for_each(Acl::check)
            .map_err(MetaError::InvalidAcl)?;
        let new = |acl: &&Acl| !self.acls.contains(acl);
        let new: Vec<Acl> = acls.iter().filter(new).cloned().collect();
        if self.acls.len() + new.len() > ACLS_MAX {
            let text = format!("there can be at most {ACLS_MAX} ACLs");
            return Err(MetaError::InvalidAcl(text));
        }
        Ok((!new.is_empty()).then_some(Change::AclsAdded { acls: new }))
    }

    pub fn scram(&self) -> &Arc<ScramUsers> {
        &self.scram
    }

    pub fn quotas(&self) -> &Arc<Quotas> {
        &self.quotas
    }

    /// The level of a feature, if somebody has set one.
    pub fn feature(&self, name: &str) -> Option<i16> {
        self.features.get(name).copied()
    }

    /// What is set on something that is no topic.
    pub fn scope(&self, scope: &Scope) -> Option<&Configs> {
        self.scopes.get(scope)
    }

    /// A number that a group has set for itself, such as `consumer.session.timeout.ms`.
    pub fn group_setting(&self, group: &str, name: &str) -> Option<i32> {
        if self.scopes.is_empty() {
            return None;
        }
        let set = self.scope(&Scope::Group(group.to_owned()))?.get(name)?;
        set.trim().parse().ok()
    }

    /// Everything but topics on which something is set.
    pub fn scopes(&self) -> impl Iterator<Item = (&Scope, &Configs)> {
        self.scopes.iter()
    }

    /// What topics get that do not set it, where it is not Kafka's default.
    pub fn topic_defaults(&self) -> &Configs {
        &self.topic_defaults
    }

    /// What the broker works with for a topic with these configs.
    pub fn settings(&self, configs: &Configs) -> TopicSettings {
        if self.topic_defaults.is_empty() {
            return TopicSettings::of(configs);
        }
        let mut all = Configs::clone(&self.topic_defaults);
        all.extend(
            configs
                .iter()
                .map(|(name, value)| (name.clone(), value.clone())),
        );
        TopicSettings::of(&all)
    }

    /// Replaces all configs of something that is no topic.
    ///
    /// # Errors
    /// A config is unknown, cannot be set, or has an illegal value.
    pub fn configure_scope(&self, scope: &Scope, configs: Configs) -> Result<Change, MetaError> {
        scopes::check(scope, &configs)?;
        Ok(Change::ScopeConfigsSet {
            scope: scope.clone(),
            configs,
        })
    }

    pub(super) fn set_scope(&mut self, scope: &Scope, configs: &Configs) {
        let all = Arc::make_mut(&mut self.scopes);
        match configs.is_empty() {
            true => all.remove(scope),
            false => all.insert(scope.clone(), configs.clone()),
        };
        if matches!(scope, Scope::Cluster | Scope::Node(_)) {
            self.refresh_defaults();
        }
    }

    /// There is one node, so that what is set on any node is its.
    fn refresh_defaults(&mut self) {
        let nodes = self
            .scopes
            .iter()
            .find(|(scope, _)| matches!(scope, Scope::Node(_)));
        let node = nodes.map(|(_, configs)| configs);
        let defaults = scopes::topic_defaults(self.scopes.get(&Scope::Cluster), node);
        if defaults == *self.topic_defaults {
            return;
        }
        self.topic_defaults = Arc::new(defaults);
        let topics: Vec<Arc<Topic>> = self.topics.values().cloned().collect();
        for topic in topics {
            let mut topic = Topic::clone(&topic);
            topic.settings = TopicSettings::of(&topic.configs);
            self.put(topic);
        }
    }
}
