//! DescribeUserScramCredentials, v0 (KIP-554): who has a password of which mechanism. Keys are never told.

use std::collections::BTreeMap;

use headwater_broker::ScramMechanism;
use headwater_wire::messages::describe_user_scram_credentials_response::{
    CredentialInfo, DescribeUserScramCredentialsResult,
};
use headwater_wire::messages::{
    DescribeUserScramCredentialsRequestData, DescribeUserScramCredentialsResponseData,
};
use headwater_wire::{ErrorCode, Versions};

use crate::authorize::{Operation, Resource};
use crate::call::{Call, Handle, plain, text};
use crate::codes::{Refusal, code_of, message_of};

impl Handle for DescribeUserScramCredentialsRequestData {
    const VERSIONS: Versions = Versions::new(0, 0);

    async fn answer(self, call: Call) -> DescribeUserScramCredentialsResponseData {
        let permit = call.permit(Operation::Describe, Resource::Cluster);
        if permit.is_err() {
            return DescribeUserScramCredentialsResponseData {
                error_code: code_of(&permit),
                error_message: message_of(&permit),
                ..Default::default()
            };
        }
        let users = call.broker().scram_users();
        let mut wanted: BTreeMap<String, usize> = BTreeMap::new();
        for user in self.users.iter().flatten() {
            *wanted.entry(plain(&user.name)).or_default() += 1;
        }
        if wanted.is_empty() {
            wanted = users.iter().map(|(user, _)| (user.clone(), 1)).collect();
        }
        let result = |(user, times): (String, usize)| {
            let infos = match (users.user(&user), times) {
                (Some(credentials), 1) => Ok(credentials
                    .iter()
                    .map(|(mechanism, kept)| info(*mechanism, kept.iterations))
                    .collect()),
                (_, times) => Err(refusal(&user, times)),
            };
            DescribeUserScramCredentialsResult {
                error_code: code_of(&infos),
                error_message: message_of(&infos),
                credential_infos: infos.unwrap_or_default(),
                user: text(user),
                ..Default::default()
            }
        };
        DescribeUserScramCredentialsResponseData {
            results: wanted.into_iter().map(result).collect(),
            ..Default::default()
        }
    }
}

fn info(mechanism: ScramMechanism, iterations: i32) -> CredentialInfo {
    CredentialInfo {
        mechanism: mechanism.code(),
        iterations,
        ..Default::default()
    }
}

fn refusal(user: &str, times: usize) -> Refusal {
    match times {
        1 => Refusal::new(
            ErrorCode::ResourceNotFound,
            format!("Attempt to describe a user credential that does not exist: {user}"),
        ),
        _ => Refusal::new(
            ErrorCode::DuplicateResource,
            format!(
                "Cannot describe SCRAM credentials for the same user twice in a single request: {user}"
            ),
        ),
    }
}
