//! AlterUserScramCredentials, v0 (KIP-554).

use headwater_broker::{BrokerError, ScramUpsertion};
use headwater_wire::messages::alter_user_scram_credentials_request::{
    ScramCredentialDeletion, ScramCredentialUpsertion,
};
use headwater_wire::messages::alter_user_scram_credentials_response::AlterUserScramCredentialsResult;
use headwater_wire::messages::{
    AlterUserScramCredentialsRequestData, AlterUserScramCredentialsResponseData,
};
use headwater_wire::{KafkaString, Versions};

use crate::authorize::{Operation, Resource};
use crate::call::{Call, Handle, plain, text};
use crate::codes::{Refusal, code_of, message_of};

impl Handle for AlterUserScramCredentialsRequestData {
    const VERSIONS: Versions = Versions::new(0, 0);

    async fn answer(self, call: Call) -> AlterUserScramCredentialsResponseData {
        if let Err(refusal) = call.permit(Operation::Alter, Resource::Cluster) {
            return refuse_all(&self, &refusal);
        }
        let deletion = |one: ScramCredentialDeletion| (plain(&one.name), one.mechanism);
        let deletions: Vec<_> = self.deletions.into_iter().map(deletion).collect();
        let upsertions: Vec<_> = self.upsertions.into_iter().map(upsertion).collect();
        let outcomes = call
            .broker()
            .alter_scram_users(&deletions, &upsertions)
            .await;
        let result = |(user, outcome): (String, Result<(), BrokerError>)| {
            result(text(user), &outcome.map_err(Refusal::from))
        };
        AlterUserScramCredentialsResponseData {
            results: outcomes.into_iter().map(result).collect(),
            ..Default::default()
        }
    }
}

fn upsertion(from: ScramCredentialUpsertion) -> ScramUpsertion {
    ScramUpsertion {
        user: plain(&from.name),
        mechanism: from.mechanism,
        iterations: from.iterations,
        salt: from.salt.to_vec(),
        salted_password: from.salted_password.to_vec(),
    }
}

fn refuse_all(
    request: &AlterUserScramCredentialsRequestData,
    refusal: &Refusal,
) -> AlterUserScramCredentialsResponseData {
    let deleted = request.deletions.iter().map(|one| &one.name);
    let mut users: Vec<&KafkaString> = deleted
        .chain(request.upsertions.iter().map(|one| &one.name))
        .collect();
    users.sort_by_key(|user| user.as_str());
    users.dedup_by_key(|user| user.as_str());
    let refused = Err(refusal.clone());
    AlterUserScramCredentialsResponseData {
        results: users
            .into_iter()
            .map(|user| result(user.clone(), &refused))
            .collect(),
        ..Default::default()
    }
}

fn result(user: KafkaString, outcome: &Result<(), Refusal>) -> AlterUserScramCredentialsResult {
    AlterUserScramCredentialsResult {
        user,
        error_code: code_of(outcome),
        error_message: message_of(outcome),
        ..Default::default()
    }
}
