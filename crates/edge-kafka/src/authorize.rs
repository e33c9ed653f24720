//! Asking whether the client of a call may do what it asks for, in the terms of Kafka's handlers.
//!
//! Every client is `User:ANONYMOUS` until there is SASL. Each handler asks before it looks at what it is asked about, so that
//! the answer does not tell whether a thing exists that the client may not see.

pub(crate) use headwater_broker::Operation;
use headwater_broker::{ResourceType, Who};
use headwater_wire::ErrorCode;

use crate::call::Call;
use crate::codes::Refusal;

/// Who a client is that has not said who it is.
pub(crate) const ANONYMOUS: &str = "User:ANONYMOUS";
/// The name of the only resource of its type.
const CLUSTER_NAME: &str = "kafka-cluster";

/// What a client wants to do something to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resource<'a> {
    Topic(&'a str),
    Group(&'a str),
    Cluster,
    TransactionalId(&'a str),
}

impl<'a> Resource<'a> {
    const fn parts(self) -> (ResourceType, &'a str) {
        match self {
            Self::Topic(name) => (ResourceType::Topic, name),
            Self::Group(name) => (ResourceType::Group, name),
            Self::Cluster => (ResourceType::Cluster, CLUSTER_NAME),
            Self::TransactionalId(name) => (ResourceType::TransactionalId, name),
        }
    }

    /// The error of a client that may not.
    pub(crate) const fn refusal(self) -> ErrorCode {
        match self {
            Self::Topic(_) => ErrorCode::TopicAuthorizationFailed,
            Self::Group(_) => ErrorCode::GroupAuthorizationFailed,
            Self::Cluster => ErrorCode::ClusterAuthorizationFailed,
            Self::TransactionalId(_) => ErrorCode::TransactionalIdAuthorizationFailed,
        }
    }
}

impl Call {
    fn who(&self) -> Who<'_> {
        Who {
            principal: ANONYMOUS,
            host: &self.client_host,
        }
    }

    /// Whether the client may do this.
    pub(crate) fn may(&self, operation: Operation, resource: Resource<'_>) -> bool {
        let (resource, name) = resource.parts();
        self.broker().may(self.who(), operation, resource, name)
    }

    /// As [`Call::may`], with the code of the refusal.
    pub(crate) fn check(
        &self,
        operation: Operation,
        resource: Resource<'_>,
    ) -> Result<(), ErrorCode> {
        match self.may(operation, resource) {
            true => Ok(()),
            false => Err(resource.refusal()),
        }
    }

    /// As [`Call::check`], with a text.
    pub(crate) fn permit(
        &self,
        operation: Operation,
        resource: Resource<'_>,
    ) -> Result<(), Refusal> {
        Ok(self.check(operation, resource)?)
    }

    /// Whether the client may do this to at least one topic (KIP-679: idempotent producers).
    pub(crate) fn may_on_some_topic(&self, operation: Operation) -> bool {
        self.broker()
            .may_some(self.who(), operation, ResourceType::Topic)
    }

    /// Kafka's bits of what the client may do to the cluster: nothing for those that may not know.
    pub(crate) fn cluster_operations(&self) -> i32 {
        match self.may(Operation::Describe, Resource::Cluster) {
            true => self.operations(Resource::Cluster),
            false => 0,
        }
    }

    /// Kafka's bits of what the client may do to a resource, of all that makes sense on it.
    pub(crate) fn operations(&self, resource: Resource<'_>) -> i32 {
        let all = resource.parts().0.operations().iter();
        let may = all.filter(|operation| self.may(**operation, resource));
        may.fold(0, |bits, operation| bits | (1 << operation.code()))
    }
}
