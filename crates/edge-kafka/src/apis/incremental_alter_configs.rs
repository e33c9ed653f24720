//! IncrementalAlterConfigs, v0-1 (KIP-339): changes configs one by one. v1 is flexible.

use headwater_broker::{ConfigOp, ConfigTarget};
use headwater_wire::Versions;
use headwater_wire::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use headwater_wire::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use headwater_wire::messages::{
    IncrementalAlterConfigsRequestData, IncrementalAlterConfigsResponseData,
};

use crate::apis::config_resources::{alter_each, check_loggers, check_names, null_value, target};
use crate::apis::shared::RESOURCE_LOGGER;
use crate::call::{Call, Handle, plain};
use crate::codes::{Refusal, code_of, message_of};
use crate::loggers;

/// Kafka's `AlterConfigOp.OpType`.
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

/// What is changed.
enum Target {
    Configs(ConfigTarget),
    /// The loggers of this node (KIP-412).
    Loggers,
}

impl Handle for IncrementalAlterConfigsRequestData {
    const VERSIONS: Versions = Versions::new(0, 1);

    async fn answer(self, call: Call) -> IncrementalAlterConfigsResponseData {
        let validate_only = self.validate_only;
        let named = |resource: &AlterConfigsResource| {
            (resource.resource_type, resource.resource_name.clone())
        };
        let target = |kind, name: &str| match kind {
            RESOURCE_LOGGER => check_loggers(&call, name).map(|()| Target::Loggers),
            _ => target(&call, kind, name).map(Target::Configs),
        };
        let alter = |resource, target| alter(&call, resource, target, validate_only);
        let outcomes = alter_each(&call, self.resources, named, target, alter).await;
        let respond = |((resource_type, resource_name), outcome)| AlterConfigsResourceResponse {
            error_code: code_of(&outcome),
            error_message: message_of(&outcome),
            resource_type,
            resource_name,
            ..Default::default()
        };
        IncrementalAlterConfigsResponseData {
            responses: outcomes.into_iter().map(respond).collect(),
            ..Default::default()
        }
    }
}

async fn alter(
    call: &Call,
    resource: AlterConfigsResource,
    target: Target,
    validate_only: bool,
) -> Result<(), Refusal> {
    check_names(resource.configs.iter().map(|config| &config.name))?;
    let ops: Vec<(String, ConfigOp)> = resource.configs.iter().map(op).collect::<Result<_, _>>()?;
    match target {
        Target::Loggers => loggers::alter(&ops, validate_only),
        Target::Configs(target) => Ok(call
            .broker()
            .alter_configs(&target, &ops, validate_only)
            .await?),
    }
}

fn op(config: &AlterableConfig) -> Result<(String, ConfigOp), Refusal> {
    let name = plain(&config.name);
    let value = || {
        let value = config.value.as_ref().map(plain);
        value.ok_or_else(|| null_value(&name))
    };
    let op = match config.config_operation {
        SET => ConfigOp::Set(value()?),
        DELETE => ConfigOp::Delete,
        APPEND => ConfigOp::Append(value()?),
        SUBTRACT => ConfigOp::Subtract(value()?),
        other => {
            return Err(Refusal::request(format!(
                "Unknown operation type {other} for config {name}"
            )));
        }
    };
    Ok((name, op))
}
