//! AlterConfigs, v0-2: replaces everything that was set on a resource. v2 is flexible.

use headwater_broker::{ConfigTarget, Configs};
use headwater_wire::Versions;
use headwater_wire::messages::alter_configs_request::AlterConfigsResource;
use headwater_wire::messages::alter_configs_response::AlterConfigsResourceResponse;
use headwater_wire::messages::{AlterConfigsRequestData, AlterConfigsResponseData};

use crate::apis::config_resources::{alter_each, check_names, null_value, target};
use crate::call::{Call, Handle, plain};
use crate::codes::{Refusal, code_of, message_of};

impl Handle for AlterConfigsRequestData {
    const VERSIONS: Versions = Versions::new(0, 2);

    async fn answer(self, call: Call) -> AlterConfigsResponseData {
        let validate_only = self.validate_only;
        let named = |resource: &AlterConfigsResource| {
            (resource.resource_type, resource.resource_name.clone())
        };
        let target = |kind, name: &str| target(&call, kind, name);
        let alter = |resource, target| alter(&call, resource, target, validate_only);
        let outcomes = alter_each(&call, self.resources, named, target, alter).await;
        let respond = |((resource_type, resource_name), outcome)| AlterConfigsResourceResponse {
            error_code: code_of(&outcome),
            error_message: message_of(&outcome),
            resource_type,
            resource_name,
            ..Default::default()
        };
        AlterConfigsResponseData {
            responses: outcomes.into_iter().map(respond).collect(),
            ..Default::default()
        }
    }
}

async fn alter(
    call: &Call,
    resource: AlterConfigsResource,
    target: ConfigTarget,
    validate_only: bool,
) -> Result<(), Refusal> {
    check_names(resource.configs.iter().map(|config| &config.name))?;
    let mut wanted = Configs::new();
    for config in &resource.configs {
        let name = plain(&config.name);
        let value = config.value.as_ref().ok_or_else(|| null_value(&name))?;
        wanted.insert(name, plain(value));
    }
    Ok(call
        .broker()
        .replace_configs(&target, wanted, validate_only)
        .await?)
}
