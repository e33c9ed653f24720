//! UpdateFeatures, v0-2 (KIP-584). v1 has kinds of upgrades and can only check; v2 tells one outcome for all.

use headwater_wire::ErrorCode;
use headwater_wire::Versions;
use headwater_wire::messages::update_features_request::FeatureUpdateKey;
use headwater_wire::messages::update_features_response::UpdatableFeatureResult;
use headwater_wire::messages::{UpdateFeaturesRequestData, UpdateFeaturesResponseData};

use crate::authorize::{Operation, Resource};
use crate::call::{Call, Handle, plain};
use crate::codes::{Refusal, code_of, message_of};
use crate::features::{METADATA_VERSION, METADATA_VERSION_SAFE_MIN, find};

/// Kafka's `FeatureUpdate.UpgradeType`.
const UPGRADE: i8 = 1;
const SAFE_DOWNGRADE: i8 = 2;
const UNSAFE_DOWNGRADE: i8 = 3;
/// First version that tells one outcome for all features.
const ONE_OUTCOME_FROM: i16 = 2;

impl Handle for UpdateFeaturesRequestData {
    const VERSIONS: Versions = Versions::new(0, 2);

    async fn answer(self, call: Call) -> UpdateFeaturesResponseData {
        let outcome = update(&self, &call).await;
        let result = |update: &FeatureUpdateKey| UpdatableFeatureResult {
            feature: update.feature.clone(),
            error_code: code_of(&outcome),
            error_message: message_of(&outcome),
            ..Default::default()
        };
        let each = call.version < ONE_OUTCOME_FROM;
        UpdateFeaturesResponseData {
            error_code: code_of(&outcome),
            error_message: message_of(&outcome),
            results: match each {
                true => self.feature_updates.iter().map(result).collect(),
                false => Vec::new(),
            },
            ..Default::default()
        }
    }
}

async fn update(request: &UpdateFeaturesRequestData, call: &Call) -> Result<(), Refusal> {
    call.permit(Operation::Alter, Resource::Cluster)?;
    let mut levels = Vec::new();
    for update in &request.feature_updates {
        check(update, call).map_err(|why| {
            let text = format!(
                "The update failed for all features since the following feature had an error: {why}"
            );
            Refusal::new(ErrorCode::InvalidUpdateVersion, text)
        })?;
        levels.push((plain(&update.feature), update.max_version_level));
    }
    if !request.validate_only {
        call.broker().set_features(&levels).await?;
    }
    Ok(())
}

fn check(update: &FeatureUpdateKey, call: &Call) -> Result<(), String> {
    let (name, level) = (update.feature.as_str(), update.max_version_level);
    let invalid = |why: String| {
        Err(format!(
            "Invalid update version {level} for feature {name}. {why}"
        ))
    };
    let node = call.node.id();
    if level < 0 {
        return invalid("A feature version cannot be less than 0.".into());
    }
    let downgrade = match (call.version, update.upgrade_type) {
        (0, _) => update.allow_downgrade,
        (_, UPGRADE) => false,
        (_, SAFE_DOWNGRADE | UNSAFE_DOWNGRADE) => true,
        _ => return invalid("The controller does not support the given upgrade type.".into()),
    };
    let Some(feature) = find(name) else {
        return invalid(format!(
            "Local controller {node} does not support this feature."
        ));
    };
    if !(feature.min..=feature.max).contains(&level) {
        let (min, max) = (feature.min, feature.max);
        return invalid(format!(
            "Local controller {node} only supports versions {min}-{max}"
        ));
    }
    let current = feature.level(call);
    if level < current && !downgrade {
        return invalid("Can't downgrade the version of this feature without setting the upgrade type to either safe or unsafe downgrade.".into());
    }
    if name == METADATA_VERSION && level < METADATA_VERSION_SAFE_MIN {
        return Err(format!(
            "Invalid metadata.version {level}. Refusing to perform the requested downgrade because it might delete metadata information."
        ));
    }
    Ok(())
}
