//! ListConfigResources, v0-1 (KIP-1142). v0 was ListClientMetricsResources (KIP-714) and knows nothing else.

use headwater_broker::Scope;
use headwater_wire::messages::list_config_resources_response::ConfigResource;
use headwater_wire::messages::{ListConfigResourcesRequestData, ListConfigResourcesResponseData};
use headwater_wire::{ErrorCode, Versions};

use crate::apis::shared::{
    RESOURCE_BROKER, RESOURCE_CLIENT_METRICS, RESOURCE_GROUP, RESOURCE_LOGGER, RESOURCE_TOPIC,
};
use crate::authorize::{Operation, Resource};
use crate::call::{Call, Handle, text};

const ALL: &[i8] = &[
    RESOURCE_TOPIC,
    RESOURCE_BROKER,
    RESOURCE_LOGGER,
    RESOURCE_CLIENT_METRICS,
    RESOURCE_GROUP,
];

impl Handle for ListConfigResourcesRequestData {
    const VERSIONS: Versions = Versions::new(0, 1);

    async fn answer(self, call: Call) -> ListConfigResourcesResponseData {
        let fail = |error: ErrorCode| ListConfigResourcesResponseData {
            error_code: error.code(),
            ..Default::default()
        };
        if let Err(error) = call.check(Operation::DescribeConfigs, Resource::Cluster) {
            return fail(error);
        }
        let wanted: &[i8] = match (call.version, self.resource_types.as_slice()) {
            (0, _) => &[RESOURCE_CLIENT_METRICS],
            (_, []) => ALL,
            (_, wanted) => wanted,
        };
        if !wanted.iter().all(|kind| ALL.contains(kind)) {
            return fail(ErrorCode::UnsupportedVersion);
        }
        let one = |kind: &i8| {
            let kind = *kind;
            names(&call, kind)
                .into_iter()
                .map(move |name| ConfigResource {
                    resource_name: text(name),
                    resource_type: kind,
                    ..Default::default()
                })
        };
        ListConfigResourcesResponseData {
            config_resources: wanted.iter().flat_map(one).collect(),
            ..Default::default()
        }
    }
}

fn names(call: &Call, kind: i8) -> Vec<String> {
    let catalog = call.broker().catalog();
    let of_scopes = |name: fn(&Scope) -> Option<&String>| {
        catalog
            .scopes()
            .filter_map(|(scope, _)| name(scope).cloned())
            .collect()
    };
    match kind {
        RESOURCE_TOPIC => {
            let told = catalog.topics().filter(|topic| !topic.is_internal());
            told.map(|topic| topic.name.clone()).collect()
        }
        RESOURCE_BROKER | RESOURCE_LOGGER => vec![call.node.id().to_string()],
        RESOURCE_GROUP => of_scopes(|scope| match scope {
            Scope::Group(name) => Some(name),
            _ => None,
        }),
        RESOURCE_CLIENT_METRICS => of_scopes(|scope| match scope {
            Scope::ClientMetrics(name) => Some(name),
            _ => None,
        }),
        _ => Vec::new(),
    }
}
