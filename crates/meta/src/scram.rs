//! SCRAM users (RFC 5802, KIP-554): what is kept of a password, and the rules for changing it.
//!
//! A client sends the salted password; kept are only the two keys that follow from it, so that whoever reads the log can
//! check a login but not make one.

use std::collections::BTreeMap;

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256, Sha512};

/// Fewest iterations, of both mechanisms.
pub const ITERATIONS_MIN: i32 = 4_096;
/// Most iterations that a request may ask for.
pub const ITERATIONS_MAX: i32 = 16_384;

/// The mechanisms, with Kafka's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ScramMechanism {
    #[serde(rename = "SCRAM-SHA-256")]
    Sha256 = 1,
    #[serde(rename = "SCRAM-SHA-512")]
    Sha512 = 2,
}

impl ScramMechanism {
    pub const fn code(self) -> i8 {
        self as i8
    }

    pub const fn of(code: i8) -> Option<Self> {
        match code {
            1 => Some(Self::Sha256),
            2 => Some(Self::Sha512),
            _ => None,
        }
    }
}

/// What is kept of a password.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScramCredential {
    pub iterations: i32,
    pub salt: Vec<u8>,
    pub stored_key: Vec<u8>,
    pub server_key: Vec<u8>,
}

impl std::fmt::Debug for ScramCredential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Keys do not belong into logs.
        write!(f, "ScramCredential({} iterations)", self.iterations)
    }
}

impl ScramCredential {
    fn new(upsertion: &ScramUpsertion, mechanism: ScramMechanism) -> Option<Self> {
        let password = &upsertion.salted_password;
        let (stored_key, server_key) = match mechanism {
            ScramMechanism::Sha256 => (
                Sha256::digest(sha256(password, CLIENT_KEY)?).to_vec(),
                sha256(password, SERVER_KEY)?,
            ),
            ScramMechanism::Sha512 => (
                Sha512::digest(sha512(password, CLIENT_KEY)?).to_vec(),
                sha512(password, SERVER_KEY)?,
            ),
        };
        Some(Self {
            iterations: upsertion.iterations,
            salt: upsertion.salt.clone(),
            stored_key,
            server_key,
        })
    }
}

const CLIENT_KEY: &[u8] = b"Client Key";
const SERVER_KEY: &[u8] = b"Server Key";

fn sha256(key: &[u8], text: &[u8]) -> Option<Vec<u8>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(text);
    Some(mac.finalize().into_bytes().to_vec())
}

fn sha512(key: &[u8], text: &[u8]) -> Option<Vec<u8>> {
    let mut mac = Hmac::<Sha512>::new_from_slice(key).ok()?;
    mac.update(text);
    Some(mac.finalize().into_bytes().to_vec())
}

/// A credential to make or to replace.
#[derive(Clone, Debug)]
pub struct ScramUpsertion {
    pub user: String,
    /// Kafka's number.
    pub mechanism: i8,
    pub iterations: i32,
    pub salt: Vec<u8>,
    pub salted_password: Vec<u8>,
}

/// Why a credential is not changed. The texts are Kafka's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScramError {
    #[error("Unknown SCRAM mechanism")]
    UnknownMechanism,
    #[error("{0}")]
    Unacceptable(&'static str),
    #[error("A user credential cannot be altered twice in the same request")]
    Twice,
    #[error("Attempt to delete a user credential that does not exist")]
    NotThere,
}

/// One record about SCRAM users.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScramChange {
    pub user: String,
    pub mechanism: ScramMechanism,
    /// None deletes.
    pub credential: Option<ScramCredential>,
}

/// All users.
#[derive(Clone, Debug, Default)]
pub struct ScramUsers {
    users: BTreeMap<String, BTreeMap<ScramMechanism, ScramCredential>>,
}

impl ScramUsers {
    pub fn user(&self, name: &str) -> Option<&BTreeMap<ScramMechanism, ScramCredential>> {
        self.users.get(name)
    }

    pub fn iter(
        &self,
    ) -> impl Iterator<Item = (&String, &BTreeMap<ScramMechanism, ScramCredential>)> {
        self.users.iter()
    }

    pub(crate) fn apply(&mut self, change: &ScramChange) {
        match &change.credential {
            Some(credential) => {
                let user = self.users.entry(change.user.clone()).or_default();
                user.insert(change.mechanism, credential.clone());
            }
            None => {
                if let Some(user) = self.users.get_mut(&change.user) {
                    user.remove(&change.mechanism);
                    if user.is_empty() {
                        self.users.remove(&change.user);
                    }
                }
            }
        }
    }

    pub(crate) fn snapshot(&self) -> impl Iterator<Item = ScramChange> + '_ {
        let of = |(user, credentials): (&String, &BTreeMap<ScramMechanism, ScramCredential>)| {
            let user = user.clone();
            let one =
                move |(mechanism, credential): (&ScramMechanism, &ScramCredential)| ScramChange {
                    user: user.clone(),
                    mechanism: *mechanism,
                    credential: Some(credential.clone()),
                };
            credentials.iter().map(one).collect::<Vec<_>>()
        };
        self.users.iter().flat_map(of)
    }

    /// Checks a request: one outcome per user, upserted ones first, each in the order of first mention.
    pub fn plan(
        &self,
        deletions: &[(String, i8)],
        upsertions: &[ScramUpsertion],
    ) -> Vec<(String, Result<ScramChange, ScramError>)> {
        let upserts = upsertions
            .iter()
            .map(|one| (one.user.as_str(), plan_upsertion(one)));
        let deletes = deletions
            .iter()
            .map(|(user, mechanism)| (user.as_str(), self.plan_deletion(user, *mechanism)));
        let mut out: Vec<(String, Result<ScramChange, ScramError>)> = Vec::new();
        let mut places: BTreeMap<&str, usize> = BTreeMap::new();
        for (user, planned) in upserts.chain(deletes) {
            match places.get(user).and_then(|place| out.get_mut(*place)) {
                // What was wrong with the first mention is told rather than that there is a second one.
                Some((_, first @ Ok(_))) => *first = Err(ScramError::Twice),
                Some(_) => {}
                None => {
                    places.insert(user, out.len());
                    out.push((user.to_owned(), planned));
                }
            }
        }
        out
    }

    fn plan_deletion(&self, user: &str, mechanism: i8) -> Result<ScramChange, ScramError> {
        check_user(user)?;
        let mechanism = ScramMechanism::of(mechanism).ok_or(ScramError::UnknownMechanism)?;
        let known = self
            .users
            .get(user)
            .is_some_and(|user| user.contains_key(&mechanism));
        if !known {
            return Err(ScramError::NotThere);
        }
        Ok(ScramChange {
            user: user.to_owned(),
            mechanism,
            credential: None,
        })
    }
}

fn plan_upsertion(upsertion: &ScramUpsertion) -> Result<ScramChange, ScramError> {
    check_user(&upsertion.user)?;
    let mechanism = ScramMechanism::of(upsertion.mechanism).ok_or(ScramError::UnknownMechanism)?;
    match upsertion.iterations {
        ..ITERATIONS_MIN => return Err(ScramError::Unacceptable("Too few iterations")),
        ITERATIONS_MIN..=ITERATIONS_MAX => {}
        _ => return Err(ScramError::Unacceptable("Too many iterations")),
    }
    if upsertion.salted_password.is_empty() {
        return Err(ScramError::Unacceptable(
            "The salted password must not be empty",
        ));
    }
    let credential = ScramCredential::new(upsertion, mechanism).ok_or(ScramError::Unacceptable(
        "The salted password cannot be used as a key",
    ))?;
    Ok(ScramChange {
        user: upsertion.user.clone(),
        mechanism,
        credential: Some(credential),
    })
}

fn check_user(user: &str) -> Result<(), ScramError> {
    match user.is_empty() {
        true => Err(ScramError::Unacceptable("Username must not be empty")),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn upsertion(user: &str, mechanism: i8, iterations: i32) -> ScramUpsertion {
        ScramUpsertion {
            user: user.into(),
            mechanism,
            iterations,
            salt: b"salt".to_vec(),
            salted_password: vec![7; 32],
        }
    }

    fn one(users: &ScramUsers, upsertion: ScramUpsertion) -> Result<ScramChange, ScramError> {
        users.plan(&[], &[upsertion]).pop().unwrap().1
    }

    #[test]
    fn keys_are_those_of_the_rfc() {
        // The example of RFC 7677: user "user", password "pencil", 4096 iterations.
        let salted_password =
            hex("c4a49510323ab4f952cac1fa99441939e78ea74d6be81ddf7096e87513dc615d");
        let change = one(
            &ScramUsers::default(),
            ScramUpsertion {
                salted_password,
                ..upsertion("user", 1, 4096)
            },
        );
        let kept = change.unwrap().credential.unwrap();
        assert_eq!(
            kept.stored_key,
            hex("586e5df283e6dceb5c3e791d8b8528ec191e664045ce971792e2e6b5bb13e2a6")
        );
        assert_eq!(
            kept.server_key,
            hex("c1f3cbc1c13a9d35a14c0990eed97629ea225863e566a4314ab99f3f00e5d9d5")
        );
    }

    fn hex(text: &str) -> Vec<u8> {
        let byte = |at: usize| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap();
        (0..text.len() / 2).map(byte).collect()
    }

    #[test]
    fn what_kafka_refuses_is_refused() {
        let users = ScramUsers::default();
        let refused = |change: ScramUpsertion| one(&users, change).unwrap_err().to_string();
        assert_eq!(refused(upsertion("u", 1, 4_095)), "Too few iterations");
        assert_eq!(refused(upsertion("u", 1, 16_385)), "Too many iterations");
        assert_eq!(
            refused(upsertion("", 1, 4_096)),
            "Username must not be empty"
        );
        assert_eq!(refused(upsertion("u", 3, 4_096)), "Unknown SCRAM mechanism");
        assert!(one(&users, upsertion("u", 2, 16_384)).is_ok());
    }

    #[test]
    fn a_user_is_changed_once_and_the_others_still_are() {
        let users = ScramUsers::default();
        let all = [
            upsertion("a", 1, 4096),
            upsertion("a", 2, 4096),
            upsertion("b", 1, 4096),
        ];
        let planned = users.plan(&[("c".into(), 1)], &all);
        let outcome = |at: usize| (planned[at].0.as_str(), planned[at].1.as_ref().err());
        assert_eq!(outcome(0), ("a", Some(&ScramError::Twice)));
        assert_eq!(outcome(1), ("b", None));
        assert_eq!(outcome(2), ("c", Some(&ScramError::NotThere)));
        assert_eq!(planned.len(), 3);
        // The first fault is told.
        let planned = users.plan(&[("c".into(), 1), ("c".into(), 2)], &[]);
        assert_eq!(planned, [("c".to_owned(), Err(ScramError::NotThere))]);
    }

    #[test]
    fn users_survive_their_snapshot_and_go_with_their_last_credential() {
        let mut users = ScramUsers::default();
        users.apply(&one(&users, upsertion("a", 1, 4096)).unwrap());
        let mut again = ScramUsers::default();
        for change in users.snapshot() {
            let text = serde_json::to_string(&change).unwrap();
            again.apply(&serde_json::from_str(&text).unwrap());
        }
        assert_eq!(again.users, users.users);
        let delete = again
            .plan(&[("a".into(), 1)], &[])
            .pop()
            .unwrap()
            .1
            .unwrap();
        again.apply(&delete);
        assert!(again.user("a").is_none());
    }
}
