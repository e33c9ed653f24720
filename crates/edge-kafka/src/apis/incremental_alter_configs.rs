//! IncrementalAlterConfigs, v0-1, of topics (KIP-339). v1 is flexible.

use std::collections::{BTreeMap, HashSet};

use headwater_broker::{BrokerError, MetaError, configs};
use headwater_wire::Versions;
use headwater_wire::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use headwater_wire::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use headwater_wire::messages::{
    IncrementalAlterConfigsRequestData, IncrementalAlterConfigsResponseData,
};

use crate::apis::alter_configs::check_resource;
use crate::call::{Call, Handle, plain};
use crate::codes::{code_of, message_of};

/// Kafka's `AlterConfigOp.OpType`.
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

impl Handle for IncrementalAlterConfigsRequestData {
    const VERSIONS: Versions = Versions::new(0, 1);

    async fn answer(self, call: Call) -> IncrementalAlterConfigsResponseData {
        let mut responses = Vec::with_capacity(self.resources.len());
        for resource in self.resources {
            let outcome = alter(&call, &resource, self.validate_only).await;
            responses.push(AlterConfigsResourceResponse {
                error_code: code_of(&outcome),
                error_message: message_of(&outcome),
                resource_type: resource.resource_type,
                resource_name: resource.resource_name,
                ..Default::default()
            });
        }
        IncrementalAlterConfigsResponseData {
            responses,
            ..Default::default()
        }
    }
}

async fn alter(
    call: &Call,
    resource: &AlterConfigsResource,
    validate_only: bool,
) -> Result<(), BrokerError> {
    check_resource(resource.resource_type)?;
    let mut names = HashSet::new();
    if !resource
        .configs
        .iter()
        .all(|config| names.insert(config.name.as_str()))
    {
        return Err(BrokerError::InvalidRequest(
            "a config is named twice".into(),
        ));
    }
    let edit = |configs: &mut BTreeMap<String, String>| {
        resource
            .configs
            .iter()
            .try_for_each(|config| apply(configs, config))
    };
    call.broker()
        .configure_topic(resource.resource_name.as_str(), validate_only, edit)
        .await
}

fn apply(
    configs: &mut BTreeMap<String, String>,
    change: &AlterableConfig,
) -> Result<(), BrokerError> {
    let name = plain(&change.name);
    if change.config_operation == DELETE {
        configs.remove(&name);
        return Ok(());
    }
    let invalid = |why: String| BrokerError::Meta(MetaError::InvalidConfig(why));
    let value = change
        .value
        .as_ref()
        .map(plain)
        .ok_or_else(|| invalid(format!("Null value not supported for {name}")))?;
    match change.config_operation {
        SET => {
            configs.insert(name, value);
        }
        operation @ (APPEND | SUBTRACT) => {
            let def =
                configs::find(&name).filter(|def| matches!(def.kind, configs::ConfigKind::List(_)));
            let def = def.ok_or_else(|| invalid(format!("{name} is not a list")))?;
            let current = configs.get(&name).map_or(def.default, String::as_str);
            configs.insert(name, merge(current, &value, operation == APPEND));
        }
        other => {
            return Err(BrokerError::InvalidRequest(format!(
                "there is no operation {other} on configs"
            )));
        }
    }
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
