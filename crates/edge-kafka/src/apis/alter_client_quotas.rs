//! AlterClientQuotas, v0-1 (KIP-546). v1 is flexible.

use std::collections::{BTreeMap, BTreeSet};

use headwater_broker::{QuotaEdit, QuotaEntity, QuotaType};
use headwater_wire::Versions;
use headwater_wire::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
use headwater_wire::messages::alter_client_quotas_response as out;
use headwater_wire::messages::{AlterClientQuotasRequestData, AlterClientQuotasResponseData};

use crate::authorize::{Operation, Resource};
use crate::call::{Call, Handle, plain, plain_option};
use crate::codes::{Refusal, code_of, message_of};

impl Handle for AlterClientQuotasRequestData {
    const VERSIONS: Versions = Versions::new(0, 1);

    async fn answer(self, call: Call) -> AlterClientQuotasResponseData {
        let permit = call.permit(Operation::AlterConfigs, Resource::Cluster);
        let mut times: BTreeMap<Vec<(String, Option<String>)>, usize> = BTreeMap::new();
        for entry in &self.entries {
            *times.entry(named(entry)).or_default() += 1;
        }
        let mut entries = Vec::with_capacity(self.entries.len());
        for entry in self.entries {
            let twice = times.get(&named(&entry)).is_some_and(|times| *times > 1);
            let outcome = match &permit {
                Ok(()) => alter(&call, &entry, twice, self.validate_only).await,
                Err(refusal) => Err(refusal.clone()),
            };
            let part = |part: EntityData| out::EntityData {
                entity_type: part.entity_type,
                entity_name: part.entity_name,
                ..Default::default()
            };
            entries.push(out::EntryData {
                error_code: code_of(&outcome),
                error_message: message_of(&outcome),
                entity: entry.entity.into_iter().map(part).collect(),
                ..Default::default()
            });
        }
        AlterClientQuotasResponseData {
            entries,
            ..Default::default()
        }
    }
}

fn named(entry: &EntryData) -> Vec<(String, Option<String>)> {
    let part = |part: &EntityData| {
        (
            plain(&part.entity_type),
            plain_option(part.entity_name.as_ref()),
        )
    };
    let mut parts: Vec<_> = entry.entity.iter().map(part).collect();
    parts.sort();
    parts
}

async fn alter(
    call: &Call,
    entry: &EntryData,
    twice: bool,
    validate_only: bool,
) -> Result<(), Refusal> {
    let mut keys = BTreeSet::new();
    if twice || !entry.ops.iter().all(|op| keys.insert(op.key.as_str())) {
        let name = |(kind, name): (String, Option<String>)| {
            format!("{kind}={}", name.as_deref().unwrap_or("null"))
        };
        let entity: Vec<String> = named(entry).into_iter().map(name).collect();
        let entity = entity.join(", ");
        return Err(Refusal::request(format!(
            "Ignoring duplicate entity ClientQuotaEntity(entries={{{entity}}})"
        )));
    }
    let edit = |op: &OpData| QuotaEdit {
        key: plain(&op.key),
        value: (!op.remove).then_some(op.value),
    };
    let edits: Vec<QuotaEdit> = entry.ops.iter().map(edit).collect();
    let entity = entity_of(&entry.entity)?;
    Ok(call
        .broker()
        .alter_quotas(&entity, &edits, validate_only)
        .await?)
}

fn entity_of(parts: &[EntityData]) -> Result<QuotaEntity, Refusal> {
    let mut entity = QuotaEntity::new();
    for part in parts {
        let kind = part.entity_type.as_str();
        let known = QuotaType::of(kind).ok_or_else(|| {
            Refusal::request(format!("Unhandled client quota entity type: {kind}"))
        })?;
        entity.insert(known, plain_option(part.entity_name.as_ref()));
    }
    Ok(entity)
}
