//! Config resources of the protocol: naming them, asking for the right to them, and what AlterConfigs and
//! IncrementalAlterConfigs have in common.

use std::collections::BTreeMap;
use std::future::Future;

use headwater_broker::{ConfigTarget, Scope};
use headwater_wire::KafkaString;

use crate::apis::shared::{
    RESOURCE_BROKER, RESOURCE_CLIENT_METRICS, RESOURCE_GROUP, RESOURCE_LOGGER, RESOURCE_TOPIC,
};
use crate::authorize::{Operation, Resource};
use crate::call::Call;
use crate::codes::Refusal;

/// Asks for the right to see or to change the configs of a resource.
///
/// # Errors
/// The client may not.
pub(crate) fn permit(
    call: &Call,
    operation: Operation,
    resource_type: i8,
    name: &str,
) -> Result<(), Refusal> {
    match resource_type {
        RESOURCE_TOPIC => call.permit(operation, Resource::Topic(name)),
        RESOURCE_GROUP => call.permit(operation, Resource::Group(name)),
        RESOURCE_BROKER | RESOURCE_LOGGER | RESOURCE_CLIENT_METRICS => {
            call.permit(operation, Resource::Cluster)
        }
        _ => Ok(()),
    }
}

/// What a resource that is to be changed is for the broker.
///
/// # Errors
/// There is no such resource, or it cannot be changed.
pub(crate) fn target(call: &Call, resource_type: i8, name: &str) -> Result<ConfigTarget, Refusal> {
    let scope = match resource_type {
        RESOURCE_TOPIC => return Ok(ConfigTarget::Topic(name.to_owned())),
        RESOURCE_BROKER if name.is_empty() => Scope::Cluster,
        RESOURCE_BROKER => Scope::Node(node_of(call, name)?),
        RESOURCE_GROUP if name.is_empty() => {
            return Err(Refusal::request("Default group resources are not allowed."));
        }
        RESOURCE_GROUP => Scope::Group(name.to_owned()),
        RESOURCE_CLIENT_METRICS if name.is_empty() => {
            return Err(Refusal::request("Subscription name can't be empty"));
        }
        RESOURCE_CLIENT_METRICS => Scope::ClientMetrics(name.to_owned()),
        other => return Err(Refusal::request(format!("Unknown resource type {other}"))),
    };
    Ok(ConfigTarget::Scope(scope))
}

/// Whether the loggers of this node are meant.
///
/// # Errors
/// Those of another node are, or of none.
pub(crate) fn check_loggers(call: &Call, name: &str) -> Result<(), Refusal> {
    match name.is_empty() {
        true => Err(Refusal::request("Broker id must not be empty")),
        false => node_of(call, name).map(|_| ()),
    }
}

fn node_of(call: &Call, name: &str) -> Result<i32, Refusal> {
    let node = name
        .parse::<i32>()
        .map_err(|_| Refusal::request(format!("Node id must be an integer, but it is: {name}")))?;
    let this = call.node.id();
    match node == this {
        true => Ok(node),
        false => Err(Refusal::request(format!(
            "Unexpected broker id, expected {this}, but received {node}"
        ))),
    }
}

/// Changes each resource with `alter`, unless it is named twice or the client may not. Outcomes in the order of the resources.
pub(crate) async fn alter_each<R, T, F: Future<Output = Result<(), Refusal>>>(
    call: &Call,
    resources: Vec<R>,
    named: impl Fn(&R) -> (i8, KafkaString),
    target: impl Fn(i8, &str) -> Result<T, Refusal>,
    alter: impl Fn(R, T) -> F,
) -> Vec<((i8, KafkaString), Result<(), Refusal>)> {
    let mut times: BTreeMap<(i8, String), usize> = BTreeMap::new();
    for resource in &resources {
        let (kind, name) = named(resource);
        *times.entry((kind, name.as_str().to_owned())).or_default() += 1;
    }
    let mut outcomes = Vec::with_capacity(resources.len());
    for resource in resources {
        let (kind, name) = named(&resource);
        let twice = times.get(&(kind, name.as_str().to_owned())) != Some(&1);
        let target = match twice {
            true => Err(Refusal::request("Each resource must appear at most once.")),
            false => permit(call, Operation::AlterConfigs, kind, name.as_str())
                .and_then(|()| target(kind, name.as_str())),
        };
        let outcome = match target {
            Ok(target) => alter(resource, target).await,
            Err(refusal) => Err(refusal),
        };
        outcomes.push(((kind, name), outcome));
    }
    outcomes
}

/// The values to set, by name, each named once.
///
/// # Errors
/// A name comes twice.
pub(crate) fn check_names<'a>(names: impl Iterator<Item = &'a KafkaString>) -> Result<(), Refusal> {
    let mut seen = std::collections::HashSet::new();
    let mut names = names;
    match names.all(|name| seen.insert(name.as_str())) {
        true => Ok(()),
        false => Err(Refusal::request("Error due to duplicate config keys")),
    }
}

/// A config without a value where there must be one.
pub(crate) fn null_value(name: &str) -> Refusal {
    Refusal::request(format!("Null value not supported for : {name}"))
}
