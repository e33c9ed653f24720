//! Configs as they are in force, with where each value comes from; and changing them, whatever they belong to.
//!
//! A value is looked for on the thing itself, then on the node, then on all nodes, then in what the node was started with
//! (which the caller hands in: it knows the listeners), then in Kafka's defaults.

use std::collections::BTreeMap;

use headwater_meta::configs::{self, ConfigKind, TOPIC_CONFIGS};
use headwater_meta::node_defs::NODE_CONFIGS;
use headwater_meta::scopes::{
    self, CLIENT_METRICS_CONFIGS, Configs, GROUP_CONFIGS, GroupBounds, Scope, ScopeConfigDef,
    ScopeError,
};
use headwater_meta::{MetaError, Topic};

use crate::Broker;
use crate::catalog::{Plan, settle};
use crate::error::BrokerError;

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigSource {
    Topic,
    Node,
    Cluster,
    /// What the node was started with.
    Static,
    Default,
    ClientMetrics,
    Group,
    /// A logger of the process.
    Logger,
}

/// A value that would count if those before it were not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synonym {
    pub name: &'static str,
    pub value: String,
    pub source: ConfigSource,
}

/// One config as it is in force.
#[derive(Clone, Debug)]
pub struct ConfigEntry {
    pub name: String,
    pub value: Option<String>,
    pub source: ConfigSource,
    /// None when nobody knows the config here.
    pub kind: Option<ConfigKind>,
    pub read_only: bool,
    pub sensitive: bool,
    pub doc: &'static str,
    /// All values there are, the one in force first.
    pub synonyms: Vec<Synonym>,
}

/// What configs are set on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigTarget {
    Topic(String),
    Scope(Scope),
}

/// What becomes of one config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigOp {
    Set(String),
    Delete,
    /// Adds to a list.
    Append(String),
    /// Takes out of a list.
    Subtract(String),
}

/// The feature with which `min.insync.replicas` is set on the whole cluster and nowhere below but on topics (KIP-966), and
/// its level in a new cluster.
pub const ELIGIBLE_LEADER_REPLICAS: &str = "eligible.leader.replicas.version";
pub const ELIGIBLE_LEADER_REPLICAS_LEVEL: i16 = 1;
const MIN_INSYNC_REPLICAS: &str = "min.insync.replicas";
/// What the cluster has of it from the first day.
const MIN_INSYNC_REPLICAS_VALUE: &str = "1";

/// Names that hold secrets, or might: never told.
const SENSITIVE: &[&str] = &["allow.everyone.if.no.acl.found", "super.users"];

impl Broker {
    /// All configs of a topic. `started` is what the node was started with.
    pub fn topic_configs(&self, topic: &Topic, started: &Configs) -> Vec<ConfigEntry> {
        let entry = |def: &configs::ConfigDef| {
            let own = topic.configs.get(def.name).map(|value| Synonym {
                name: def.name,
                value: value.clone(),
                source: ConfigSource::Topic,
            });
            let mut synonyms: Vec<Synonym> = own.into_iter().collect();
            synonyms.extend(
                def.broker_name
                    .into_iter()
                    .flat_map(|name| self.node_synonyms(name, started)),
            );
            let (value, source) = match synonyms.first() {
                Some(first) => (first.value.clone(), first.source),
                None => (def.default.to_owned(), ConfigSource::Default),
            };
            ConfigEntry {
                name: def.name.to_owned(),
                value: Some(value),
                source,
                kind: Some(def.kind),
                read_only: false,
                sensitive: false,
                doc: def.doc,
                synonyms,
            }
        };
        TOPIC_CONFIGS.iter().map(entry).collect()
    }

    /// All configs of this node, what clients have set under names unknown here included.
    pub fn node_configs(&self, started: &Configs) -> Vec<ConfigEntry> {
        let known = NODE_CONFIGS.iter().map(|def| {
            let synonyms = self.node_synonyms(def.name, started);
            let secret = matches!(def.kind, ConfigKind::Password);
            let sensitive = secret || SENSITIVE.contains(&def.name);
            let first = synonyms.first();
            ConfigEntry {
                name: def.name.to_owned(),
                value: first
                    .map(|first| first.value.clone())
                    .filter(|_| !sensitive),
                source: first.map_or(ConfigSource::Default, |first| first.source),
                kind: Some(def.kind),
                read_only: !def.dynamic,
                sensitive,
                doc: def.doc,
                synonyms: if sensitive { Vec::new() } else { synonyms },
            }
        });
        let mut all: Vec<ConfigEntry> = known.collect();
        let catalog = self.catalog.current();
        let mut unknown: BTreeMap<&String, ConfigSource> = BTreeMap::new();
        for (scope, source) in [
            (Scope::Cluster, ConfigSource::Cluster),
            (self.node_scope(), ConfigSource::Node),
        ] {
            let names = catalog.scope(&scope).into_iter().flat_map(BTreeMap::keys);
            unknown.extend(
                names
                    .filter(|name| scopes::find_node_config(name).is_none())
                    .map(|name| (name, source)),
            );
        }
        all.extend(
            unknown
                .into_iter()
                .map(|(name, source)| unknown_entry(name, source)),
        );
        all
    }

    /// What is set on all nodes.
    pub fn cluster_configs(&self) -> Vec<ConfigEntry> {
        let set = self.set_on_cluster();
        let entry = |(name, value): (&String, &String)| {
            let Some(def) = scopes::find_node_config(name) else {
                return unknown_entry(name, ConfigSource::Cluster);
            };
            let synonym = Synonym {
                name: def.name,
                value: value.clone(),
                source: ConfigSource::Cluster,
            };
            ConfigEntry {
                name: name.clone(),
                value: Some(value.clone()),
                source: ConfigSource::Cluster,
                kind: Some(def.kind),
                read_only: !def.dynamic,
                sensitive: false,
                doc: def.doc,
                synonyms: vec![synonym],
            }
        };
        set.iter().map(entry).collect()
    }

    /// All configs of a group, whether or not there is such a group.
    pub fn group_configs(&self, group: &str, started: &Configs) -> Vec<ConfigEntry> {
        let scope = Scope::Group(group.to_owned());
        let default = |def: &ScopeConfigDef| {
            let of_node = self.node_synonyms(def.node_name.unwrap_or_default(), started);
            of_node
                .into_iter()
                .next()
                .map_or_else(|| def.default.to_owned(), |one| one.value)
        };
        self.scope_entries(&scope, GROUP_CONFIGS, ConfigSource::Group, default, true)
    }

    /// All configs of a subscription of client metrics.
    pub fn client_metrics_configs(&self, name: &str) -> Vec<ConfigEntry> {
        let scope = Scope::ClientMetrics(name.to_owned());
        let default = |def: &ScopeConfigDef| def.default.to_owned();
        self.scope_entries(
            &scope,
            CLIENT_METRICS_CONFIGS,
            ConfigSource::ClientMetrics,
            default,
            false,
        )
    }

    /// Changes configs one by one.
    ///
    /// # Errors
    /// The thing or a config is unknown, a value is illegal, something that is no list is to grow, or the log takes nothing.
    pub async fn alter_configs(
        &self,
        target: &ConfigTarget,
        ops: &[(String, ConfigOp)],
        validate_only: bool,
    ) -> Result<(), BrokerError> {
        self.edit_configs(target, validate_only, |configs, kind, default| {
            for (name, op) in ops {
                apply(configs, name, op, kind(name), default)?;
            }
            Ok(())
        })
        .await
    }

    /// Puts configs in the place of all that are set.
    ///
    /// # Errors
    /// As [`Broker::alter_configs`].
    pub async fn replace_configs(
        &self,
        target: &ConfigTarget,
        wanted: Configs,
        validate_only: bool,
    ) -> Result<(), BrokerError> {
        self.edit_configs(target, validate_only, |configs, _, _| {
            *configs = wanted;
            Ok(())
        })
        .await
    }

    async fn edit_configs(
        &self,
        target: &ConfigTarget,
        validate_only: bool,
        edit: impl FnOnce(
            &mut Configs,
            &dyn Fn(&str) -> Option<ConfigKind>,
            &dyn Fn(&str) -> String,
        ) -> Result<(), BrokerError>,
    ) -> Result<(), BrokerError> {
        let durables = self.catalog.change(|catalog| {
            let change = match target {
                ConfigTarget::Topic(name) => {
                    let topic = catalog
                        .topic(name)
                        .ok_or_else(|| MetaError::UnknownTopic(name.clone()))?;
                    let mut configs = topic.configs.clone();
                    let default = |name: &str| match catalog.topic_defaults().get(name) {
                        Some(default) => default.clone(),
                        None => configs::find(name).map_or("", |def| def.default).to_owned(),
                    };
                    edit(
                        &mut configs,
                        &|name| Some(configs::find(name)?.kind),
                        &default,
                    )?;
                    catalog.configure(name, configs)?
                }
                ConfigTarget::Scope(scope) => {
                    let mut configs = catalog.scope(scope).cloned().unwrap_or_default();
                    let before = configs.contains_key(MIN_INSYNC_REPLICAS);
                    edit(
                        &mut configs,
                        &|name| scopes::kind_of(scope, name),
                        &default_of_scope,
                    )?;
                    let after = configs.contains_key(MIN_INSYNC_REPLICAS);
                    if elected_among_eligible(catalog.feature(ELIGIBLE_LEADER_REPLICAS)) {
                        check_min_insync(scope, before, after).map_err(MetaError::from)?;
                    }
                    let change = catalog.configure_scope(scope, configs.clone())?;
                    if matches!(scope, Scope::Group(_)) {
                        scopes::check_group_bounds(&configs, Self::group_bounds())
                            .map_err(MetaError::from)?;
                    }
                    change
                }
            };
            Ok(Plan::of(vec![change], validate_only))
        })?;
        settle(durables).await
    }

    /// Kafka's defaults of `group.consumer.{min,max}.*`.
    const fn group_bounds() -> GroupBounds {
        GroupBounds {
            heartbeat: (5_000, 15_000),
            session: (45_000, 60_000),
        }
    }

    /// What is set on all nodes, by clients or from the first day.
    fn set_on_cluster(&self) -> Configs {
        let catalog = self.catalog.current();
        let mut set = catalog.scope(&Scope::Cluster).cloned().unwrap_or_default();
        if elected_among_eligible(catalog.feature(ELIGIBLE_LEADER_REPLICAS)) {
            set.entry(MIN_INSYNC_REPLICAS.to_owned())
                .or_insert_with(|| MIN_INSYNC_REPLICAS_VALUE.to_owned());
        }
        set
    }

    fn node_scope(&self) -> Scope {
        Scope::Node(self.config().node_id)
    }

    /// All values that a config of this node has, the one in force first.
    fn node_synonyms(&self, name: &str, started: &Configs) -> Vec<Synonym> {
        let Some(def) = scopes::find_node_config(name) else {
            return Vec::new();
        };
        let catalog = self.catalog.current();
        let set = |scope: &Scope| catalog.scope(scope)?.get(name).cloned();
        let values = [
            (set(&self.node_scope()), ConfigSource::Node),
            (self.set_on_cluster().remove(name), ConfigSource::Cluster),
            (started.get(name).cloned(), ConfigSource::Static),
            (def.default.map(str::to_owned), ConfigSource::Default),
        ];
        let synonym = |(value, source): (Option<String>, ConfigSource)| {
            Some(Synonym {
                name: def.name,
                value: value?,
                source,
            })
        };
        values.into_iter().filter_map(synonym).collect()
    }

    fn scope_entries(
        &self,
        scope: &Scope,
        defs: &[ScopeConfigDef],
        source: ConfigSource,
        default: impl Fn(&ScopeConfigDef) -> String,
        with_default: bool,
    ) -> Vec<ConfigEntry> {
        let catalog = self.catalog.current();
        let set = catalog.scope(scope);
        let entry = |def: &ScopeConfigDef| {
            let own = set.and_then(|configs| configs.get(def.name)).cloned();
            let synonym = |value: String, source| Synonym {
                name: def.name,
                value,
                source,
            };
            let mut synonyms: Vec<Synonym> = own
                .clone()
                .map(|value| synonym(value, source))
                .into_iter()
                .collect();
            if with_default && synonyms.is_empty() {
                synonyms.push(synonym(default(def), ConfigSource::Default));
            }
            ConfigEntry {
                name: def.name.to_owned(),
                source: if own.is_some() {
                    source
                } else {
                    ConfigSource::Default
                },
                value: Some(own.unwrap_or_else(|| default(def))),
                kind: Some(def.kind),
                read_only: false,
                sensitive: false,
                doc: def.doc,
                synonyms,
            }
        };
        defs.iter().map(entry).collect()
    }
}

/// What nobody knows might be a secret, so that only its name is told.
fn unknown_entry(name: &str, source: ConfigSource) -> ConfigEntry {
    ConfigEntry {
        name: name.to_owned(),
        value: None,
        source,
        kind: None,
        read_only: false,
        sensitive: true,
        doc: "",
        synonyms: Vec::new(),
    }
}

fn default_of_scope(name: &str) -> String {
    scopes::find_node_config(name)
        .and_then(|def| def.default)
        .unwrap_or_default()
        .to_owned()
}

fn apply(
    configs: &mut Configs,
    name: &str,
    op: &ConfigOp,
    kind: Option<ConfigKind>,
    default: &dyn Fn(&str) -> String,
) -> Result<(), BrokerError> {
    let (words, append) = match op {
        ConfigOp::Set(value) => {
            configs.insert(name.to_owned(), value.clone());
            return Ok(());
        }
        ConfigOp::Delete => {
            configs.remove(name);
            return Ok(());
        }
        ConfigOp::Append(words) => (words, true),
        ConfigOp::Subtract(words) => (words, false),
    };
    if !matches!(kind, Some(ConfigKind::List(_))) {
        let verb = if append { "APPEND" } else { "SUBTRACT" };
        let text = format!("Can't {verb} to key {name} because its type is not LIST.");
        return Err(MetaError::Scope(ScopeError::Config(text)).into());
    }
    let current = configs.get(name).cloned().unwrap_or_else(|| default(name));
    configs.insert(name.to_owned(), merge(&current, words, append));
    Ok(())
}

/// Adds the words of one list to another, or takes them away.
fn merge(current: &str, change: &str, append: bool) -> String {
    let words = |list: &str| {
        list.split(',')
            .map(str::trim)
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let (mut list, change) = (words(current), words(change));
    list.retain(|word| append || !change.contains(word));
    if append {
        let new: Vec<String> = change
            .into_iter()
            .filter(|word| !list.contains(word))
            .collect();
        list.extend(new);
    }
    list.join(",")
}

/// Whether leaders are elected among eligible replicas.
fn elected_among_eligible(level: Option<i16>) -> bool {
    level.unwrap_or(ELIGIBLE_LEADER_REPLICAS_LEVEL) > 0
}

/// What may become of `min.insync.replicas` then. The texts are Kafka's.
fn check_min_insync(scope: &Scope, before: bool, after: bool) -> Result<(), ScopeError> {
    let text = match (scope, before, after) {
        (Scope::Cluster, true, false) => {
            "Cluster-level min.insync.replicas cannot be removed while ELR is enabled."
        }
        (Scope::Node(_), _, true) => {
            "Broker-level min.insync.replicas cannot be altered while ELR is enabled."
        }
        _ => return Ok(()),
    };
    Err(ScopeError::Config(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::merge;

    #[test]
    fn lists_grow_and_shrink_by_words() {
        assert_eq!(merge("delete", "compact", true), "delete,compact");
        assert_eq!(merge("delete", "delete", true), "delete");
        assert_eq!(merge("delete,compact", "delete", false), "compact");
        assert_eq!(merge("", "a, b", true), "a,b");
    }
}
