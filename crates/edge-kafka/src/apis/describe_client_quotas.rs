//! DescribeClientQuotas, v0-1 (KIP-546). v1 is flexible.

use headwater_broker::{NameFilter, QuotaEntity, QuotaFilter, QuotaType, QuotaValues};
use headwater_wire::messages::describe_client_quotas_request::ComponentData;
use headwater_wire::messages::describe_client_quotas_response::{EntityData, EntryData, ValueData};
use headwater_wire::messages::{DescribeClientQuotasRequestData, DescribeClientQuotasResponseData};
use headwater_wire::{ErrorCode, Versions};

use crate::authorize::{Operation, Resource};
use crate::call::{Call, Handle, plain, text};
use crate::codes::{Refusal, code_of, message_of};

/// Kafka's match types.
const EXACT: i8 = 0;
const DEFAULT: i8 = 1;
const ANY: i8 = 2;

impl Handle for DescribeClientQuotasRequestData {
    const VERSIONS: Versions = Versions::new(0, 1);

    async fn answer(self, call: Call) -> DescribeClientQuotasResponseData {
        let entries = find(&self, &call);
        DescribeClientQuotasResponseData {
            error_code: code_of(&entries),
            error_message: message_of(&entries),
            entries: entries.ok(),
            ..Default::default()
        }
    }
}

fn find(request: &DescribeClientQuotasRequestData, call: &Call) -> Result<Vec<EntryData>, Refusal> {
    call.permit(Operation::DescribeConfigs, Resource::Cluster)?;
    let mut filter = QuotaFilter {
        strict: request.strict,
        ..QuotaFilter::default()
    };
    for part in &request.components {
        let kind = part.entity_type.as_str();
        let known = QuotaType::of(kind).ok_or_else(|| {
            let text = format!("Unsupported entity type {kind}");
            Refusal::new(ErrorCode::UnsupportedVersion, text)
        })?;
        if filter.parts.insert(known, name_filter(part)?).is_some() {
            return Err(Refusal::request(format!(
                "Entity type {kind} cannot appear more than once in the filter."
            )));
        }
    }
    if filter.parts.contains_key(&QuotaType::Ip) && filter.parts.len() > 1 {
        return Err(Refusal::request(
            "Invalid entity filter component combination. IP filter component should not be used with user or clientId filter component.",
        ));
    }
    let quotas = call.broker().quotas();
    Ok(quotas.picked(&filter).map(entry).collect())
}

fn name_filter(part: &ComponentData) -> Result<NameFilter, Refusal> {
    let named = |kind: &str| {
        Refusal::request(format!(
            "Request specified MATCH_TYPE_{kind}, but also specified a match string."
        ))
    };
    match (part.match_type, &part.r#match) {
        (EXACT, Some(name)) => Ok(NameFilter::Exactly(plain(name))),
        (EXACT, None) => Err(Refusal::request(
            "Request specified MATCH_TYPE_EXACT, but set match string to null.",
        )),
        (DEFAULT, None) => Ok(NameFilter::Default),
        (DEFAULT, Some(_)) => Err(named("DEFAULT")),
        (ANY, None) => Ok(NameFilter::Any),
        (ANY, Some(_)) => Err(named("SPECIFIED")),
        (other, _) => Err(Refusal::request(format!("Unknown match type {other}"))),
    }
}

fn entry((entity, values): (&QuotaEntity, &QuotaValues)) -> EntryData {
    let part = |(kind, name): (&QuotaType, &Option<String>)| EntityData {
        entity_type: text(kind.name()),
        entity_name: name.clone().map(text),
        ..Default::default()
    };
    let value = |(key, value): (&String, &f64)| ValueData {
        key: text(key.clone()),
        value: *value,
        ..Default::default()
    };
    EntryData {
        entity: entity.iter().map(part).collect(),
        values: values.iter().map(value).collect(),
        ..Default::default()
    }
}
