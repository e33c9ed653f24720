//! The features of a cluster and their levels (KIP-584): what ApiVersions tells, and UpdateFeatures changes.
//!
//! The levels are those that Kafka 4.1 gives a new cluster; clients choose by them which transactions and groups they speak.

use headwater_broker::{ELIGIBLE_LEADER_REPLICAS, ELIGIBLE_LEADER_REPLICAS_LEVEL};
use headwater_wire::messages::api_versions_response::{FinalizedFeatureKey, SupportedFeatureKey};

use crate::call::{Call, text};

/// A feature, its supported levels, and the level of a new cluster; 0 is off.
pub(crate) struct Feature {
    pub name: &'static str,
    pub min: i16,
    pub max: i16,
    default: i16,
}

pub(crate) const METADATA_VERSION: &str = "metadata.version";
/// Kafka 4.0: below it are things that a node may hold and that level could not.
pub(crate) const METADATA_VERSION_SAFE_MIN: i16 = 25;
/// First version of ApiVersions that may tell of a lowest level of 0 (KAFKA-17011).
const MIN_ZERO_FROM: i16 = 4;

const FEATURES: &[Feature] = &[
    // On as in Kafka, where it is about leaders among several nodes: with it min.insync.replicas is the cluster's.
    feature(
        ELIGIBLE_LEADER_REPLICAS,
        0,
        1,
        ELIGIBLE_LEADER_REPLICAS_LEVEL,
    ),
    feature("group.version", 0, 1, 1),
    feature("kraft.version", 0, 1, 0),
    // 3.3-IV3 to 4.1-IV1.
    feature(METADATA_VERSION, 7, 27, 27),
    feature("transaction.version", 0, 2, 2),
];

const fn feature(name: &'static str, min: i16, max: i16, default: i16) -> Feature {
    Feature {
        name,
        min,
        max,
        default,
    }
}

pub(crate) fn find(name: &str) -> Option<&'static Feature> {
    FEATURES.iter().find(|feature| feature.name == name)
}

impl Feature {
    /// The level in force.
    pub fn level(&self, call: &Call) -> i16 {
        call.broker().feature(self.name).unwrap_or(self.default)
    }
}

pub(crate) fn supported(version: i16) -> Vec<SupportedFeatureKey> {
    let told = FEATURES
        .iter()
        .filter(|feature| feature.min > 0 || version >= MIN_ZERO_FROM);
    let key = |feature: &Feature| SupportedFeatureKey {
        name: text(feature.name),
        min_version: feature.min,
        max_version: feature.max,
        ..Default::default()
    };
    told.map(key).collect()
}

pub(crate) fn finalized(call: &Call) -> Vec<FinalizedFeatureKey> {
    let key = |feature: &Feature| {
        let level = feature.level(call);
        (level > 0).then(|| FinalizedFeatureKey {
            name: text(feature.name),
            max_version_level: level,
            min_version_level: level,
            ..Default::default()
        })
    };
    FEATURES.iter().filter_map(key).collect()
}
