//! AlterConfigs, v0-2, of topics: replaces everything that was set. v2 is flexible.

use headwater_broker::BrokerError;
use headwater_wire::Versions;
use headwater_wire::messages::alter_configs_request::AlterConfigsResource;
use headwater_wire::messages::alter_configs_response::AlterConfigsResourceResponse;
use headwater_wire::messages::{AlterConfigsRequestData, AlterConfigsResponseData};

use crate::apis::shared::RESOURCE_TOPIC;
use crate::call::{Call, Handle, plain};
use crate::codes::{code_of, message_of};

impl Handle for AlterConfigsRequestData {
    const VERSIONS: Versions = Versions::new(0, 2);

    async fn answer(self, call: Call) -> AlterConfigsResponseData {
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
        AlterConfigsResponseData {
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
    let set = resource
        .configs
        .iter()
        .filter_map(|config| Some((plain(&config.name), plain(config.value.as_ref()?))));
    let wanted = set.collect();
    let replace = |configs: &mut std::collections::BTreeMap<String, String>| {
        *configs = wanted;
        Ok(())
    };
    call.broker()
        .configure_topic(resource.resource_name.as_str(), validate_only, replace)
        .await
}

/// Only topics can be changed while the node runs.
pub(crate) fn check_resource(resource_type: i8) -> Result<(), BrokerError> {
    match resource_type {
        RESOURCE_TOPIC => Ok(()),
        other => Err(BrokerError::InvalidRequest(format!(
            "configs of resources of type {other} cannot be changed; only topics'"
        ))),
    }
}
