//! ApiVersions, v0-4.
//!
//! v1 adds the throttle time; v3 is flexible, with the client's name and version and features; v4 allows features from 0.
//! An unknown version gets a v0 body with UNSUPPORTED_VERSION and the versions of this API (KIP-511). Tagged fields with default
//! values stay out: librdkafka 2.0 skips them wrongly.

use headwater_wire::messages::api_versions_response::ApiVersion;
use headwater_wire::messages::{
    ApiVersionsRequestData, ApiVersionsResponseData, ProduceRequestData,
};
use headwater_wire::{ErrorCode, Request, Versions, encode_response};

use crate::call::{Call, Handle, Later, Reply};
use crate::features;
use crate::registry::{APIS, Api};

/// What is told to be the oldest version of Produce, although the oldest spoken is 3: librdkafka sends nothing compressed to a
/// broker that has not got v0 (KAFKA-18659).
const PRODUCE_TOLD_MIN: i16 = 0;

impl Handle for ApiVersionsRequestData {
    const VERSIONS: Versions = Versions::new(0, 4);

    async fn answer(self, call: Call) -> ApiVersionsResponseData {
        let named = is_name(self.client_software_name.as_str())
            && is_name(self.client_software_version.as_str());
        let flexible = call.version >= 3;
        if flexible && !named {
            return ApiVersionsResponseData {
                error_code: ErrorCode::InvalidRequest.code(),
                ..Default::default()
            };
        }
        ApiVersionsResponseData {
            api_keys: APIS.iter().map(line).collect(),
            supported_features: match flexible {
                true => features::supported(call.version),
                false => Vec::new(),
            },
            finalized_features_epoch: match flexible {
                true => call.broker().metadata_end(),
                false => -1,
            },
            finalized_features: match flexible {
                true => features::finalized(&call),
                false => Vec::new(),
            },
            ..Default::default()
        }
    }
}

fn line(api: &Api) -> ApiVersion {
    let (min_version, max_version) = match api.key {
        ProduceRequestData::KEY => (PRODUCE_TOLD_MIN, api.versions.max),
        _ => (api.versions.min, api.versions.max),
    };
    ApiVersion {
        api_key: api.key,
        min_version,
        max_version,
        ..Default::default()
    }
}

/// Letters and digits, with dots and dashes inside.
fn is_name(name: &str) -> bool {
    let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    let outside = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    outside(name.chars().next()) && outside(name.chars().last()) && name.chars().all(inside)
}

/// The answer to a version that is not spoken: only this API has one, whose reader knows no versions yet.
pub(crate) fn refuse_version(key: i16, _version: i16, correlation_id: i32) -> Option<Later> {
    if key != ApiVersionsRequestData::KEY {
        return None;
    }
    let response = ApiVersionsResponseData {
        error_code: ErrorCode::UnsupportedVersion.code(),
        api_keys: APIS.iter().filter(|api| api.key == key).map(line).collect(),
        ..Default::default()
    };
    Some(Box::pin(async move {
        let frame = encode_response::<ApiVersionsRequestData>(0, correlation_id, &response)?;
        Ok(Reply::Frame {
            segments: vec![frame],
            memory: None,
        })
    }))
}

#[cfg(test)]
mod tests {
    use super::is_name;

    #[test]
    fn software_names_follow_kafkas_pattern() {
        for good in ["a", "librdkafka", "1.2.3-rc1"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "-a", "a.", "a b", "ä"] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
