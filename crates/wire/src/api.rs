//! Each request tied to its key, its versions and its response, and the two directions of both.
//!
//! The versions are those of the schemas: what a server advertises is its own, smaller or equal, choice.

use bytes::{Bytes, BytesMut};
use kacrab_protocol::generated as m;

use crate::error::WireError;
use crate::header::{RequestHeader, decode_response_header, encode_response_header};

/// An inclusive range of versions of one API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    pub min: i16,
    pub max: i16,
}

impl Versions {
    pub const fn new(min: i16, max: i16) -> Self {
        Self { min, max }
    }

    pub const fn contains(self, version: i16) -> bool {
        self.min <= version && version <= self.max
    }

    /// The highest version that both sides know.
    pub fn highest_common(self, other: Self) -> Option<i16> {
        let max = self.max.min(other.max);
        (max >= self.min && max >= other.min).then_some(max)
    }
}

/// A message body in both directions.
pub trait Message: Sized {
    /// Reads the body; fields that hold bytes share the buffer.
    ///
    /// # Errors
    /// The bytes end early or break the schema of this version.
    fn read_from(body: &mut Bytes, version: i16) -> Result<Self, WireError>;

    /// Appends the body.
    ///
    /// # Errors
    /// A field is set that this version does not have, or is too long for its length.
    fn write_to(&self, out: &mut BytesMut, version: i16) -> Result<(), WireError>;

    /// Length of the body in this version, in bytes.
    ///
    /// # Errors
    /// As [`Message::write_to`].
    fn len_of(&self, version: i16) -> Result<usize, WireError>;
}

/// A request: which API it is and what answers it.
pub trait Request: Message {
    const KEY: i16;
    const NAME: &'static str;
    /// The versions that the schemas describe.
    const SCHEMA: Versions;
    type Response: Message;
}

macro_rules! message {
    ($type:ty) => {
        impl Message for $type {
            fn read_from(body: &mut Bytes, version: i16) -> Result<Self, WireError> {
                Ok(Self::read(body, version)?)
            }

            fn write_to(&self, out: &mut BytesMut, version: i16) -> Result<(), WireError> {
                Ok(self.write(out, version)?)
            }

            fn len_of(&self, version: i16) -> Result<usize, WireError> {
                Ok(self.encoded_len(version)?)
            }
        }
    };
}

macro_rules! apis {
    ($($name:ident = $key:literal, $min:literal ..= $max:literal, $request:ident -> $response:ident;)*) => {
        $(
            message!(m::$request);
            message!(m::$response);
            impl Request for m::$request {
                const KEY: i16 = $key;
                const NAME: &'static str = stringify!($name);
                const SCHEMA: Versions = Versions::new($min, $max);
                type Response = m::$response;
            }
        )*

        /// The versions of an API that the schemas describe; `None` for a key that is not spoken by clients.
        pub const fn schema_versions(key: i16) -> Option<Versions> {
            match key {
                $($key => Some(Versions::new($min, $max)),)*
                _ => None,
            }
        }

        /// Reads a request of any API and drops it: for whoever only asks whether it can be read.
        ///
        /// # Errors
        /// As [`decode_request`]; a key that is not spoken by clients is read as nothing.
        pub fn read_any(key: i16, version: i16, body: Bytes) -> Result<(), WireError> {
            match key {
                $($key => decode_request::<m::$request>(version, body).map(drop),)*
                _ => Ok(()),
            }
        }

        /// The name of an API in Kafka's documentation.
        pub const fn name(key: i16) -> Option<&'static str> {
            match key {
                $($key => Some(stringify!($name)),)*
                _ => None,
            }
        }
    };
}

apis! {
    Produce = 0, 3..=13, ProduceRequestData -> ProduceResponseData;
    Fetch = 1, 4..=18, FetchRequestData -> FetchResponseData;
    ListOffsets = 2, 1..=11, ListOffsetsRequestData -> ListOffsetsResponseData;
    Metadata = 3, 0..=13, MetadataRequestData -> MetadataResponseData;
    OffsetCommit = 8, 2..=10, OffsetCommitRequestData -> OffsetCommitResponseData;
    OffsetFetch = 9, 1..=10, OffsetFetchRequestData -> OffsetFetchResponseData;
    FindCoordinator = 10, 0..=6, FindCoordinatorRequestData -> FindCoordinatorResponseData;
    JoinGroup = 11, 0..=9, JoinGroupRequestData -> JoinGroupResponseData;
    Heartbeat = 12, 0..=4, HeartbeatRequestData -> HeartbeatResponseData;
    LeaveGroup = 13, 0..=5, LeaveGroupRequestData -> LeaveGroupResponseData;
    SyncGroup = 14, 0..=5, SyncGroupRequestData -> SyncGroupResponseData;
    DescribeGroups = 15, 0..=6, DescribeGroupsRequestData -> DescribeGroupsResponseData;
    ListGroups = 16, 0..=5, ListGroupsRequestData -> ListGroupsResponseData;
    SaslHandshake = 17, 0..=1, SaslHandshakeRequestData -> SaslHandshakeResponseData;
    ApiVersions = 18, 0..=4, ApiVersionsRequestData -> ApiVersionsResponseData;
    CreateTopics = 19, 2..=7, CreateTopicsRequestData -> CreateTopicsResponseData;
    DeleteTopics = 20, 1..=6, DeleteTopicsRequestData -> DeleteTopicsResponseData;
    DeleteRecords = 21, 0..=2, DeleteRecordsRequestData -> DeleteRecordsResponseData;
    InitProducerId = 22, 0..=6, InitProducerIdRequestData -> InitProducerIdResponseData;
    OffsetForLeaderEpoch = 23, 2..=4, OffsetForLeaderEpochRequestData -> OffsetForLeaderEpochResponseData;
    AddPartitionsToTxn = 24, 0..=5, AddPartitionsToTxnRequestData -> AddPartitionsToTxnResponseData;
    AddOffsetsToTxn = 25, 0..=4, AddOffsetsToTxnRequestData -> AddOffsetsToTxnResponseData;
    EndTxn = 26, 0..=5, EndTxnRequestData -> EndTxnResponseData;
    WriteTxnMarkers = 27, 1..=2, WriteTxnMarkersRequestData -> WriteTxnMarkersResponseData;
    TxnOffsetCommit = 28, 0..=5, TxnOffsetCommitRequestData -> TxnOffsetCommitResponseData;
    DescribeAcls = 29, 1..=3, DescribeAclsRequestData -> DescribeAclsResponseData;
    CreateAcls = 30, 1..=3, CreateAclsRequestData -> CreateAclsResponseData;
    DeleteAcls = 31, 1..=3, DeleteAclsRequestData -> DeleteAclsResponseData;
    DescribeConfigs = 32, 1..=4, DescribeConfigsRequestData -> DescribeConfigsResponseData;
    AlterConfigs = 33, 0..=2, AlterConfigsRequestData -> AlterConfigsResponseData;
    AlterReplicaLogDirs = 34, 1..=2, AlterReplicaLogDirsRequestData -> AlterReplicaLogDirsResponseData;
    DescribeLogDirs = 35, 1..=5, DescribeLogDirsRequestData -> DescribeLogDirsResponseData;
    SaslAuthenticate = 36, 0..=2, SaslAuthenticateRequestData -> SaslAuthenticateResponseData;
    CreatePartitions = 37, 0..=3, CreatePartitionsRequestData -> CreatePartitionsResponseData;
    CreateDelegationToken = 38, 1..=3, CreateDelegationTokenRequestData -> CreateDelegationTokenResponseData;
    RenewDelegationToken = 39, 1..=2, RenewDelegationTokenRequestData -> RenewDelegationTokenResponseData;
    ExpireDelegationToken = 40, 1..=2, ExpireDelegationTokenRequestData -> ExpireDelegationTokenResponseData;
    DescribeDelegationToken = 41, 1..=3, DescribeDelegationTokenRequestData -> DescribeDelegationTokenResponseData;
    DeleteGroups = 42, 0..=2, DeleteGroupsRequestData -> DeleteGroupsResponseData;
    ElectLeaders = 43, 0..=2, ElectLeadersRequestData -> ElectLeadersResponseData;
    IncrementalAlterConfigs = 44, 0..=1, IncrementalAlterConfigsRequestData -> IncrementalAlterConfigsResponseData;
    AlterPartitionReassignments = 45, 0..=1, AlterPartitionReassignmentsRequestData -> AlterPartitionReassignmentsResponseData;
    ListPartitionReassignments = 46, 0..=0, ListPartitionReassignmentsRequestData -> ListPartitionReassignmentsResponseData;
    OffsetDelete = 47, 0..=0, OffsetDeleteRequestData -> OffsetDeleteResponseData;
    DescribeClientQuotas = 48, 0..=1, DescribeClientQuotasRequestData -> DescribeClientQuotasResponseData;
    AlterClientQuotas = 49, 0..=1, AlterClientQuotasRequestData -> AlterClientQuotasResponseData;
    DescribeUserScramCredentials = 50, 0..=0, DescribeUserScramCredentialsRequestData -> DescribeUserScramCredentialsResponseData;
    AlterUserScramCredentials = 51, 0..=0, AlterUserScramCredentialsRequestData -> AlterUserScramCredentialsResponseData;
    DescribeQuorum = 55, 0..=2, DescribeQuorumRequestData -> DescribeQuorumResponseData;
    UpdateFeatures = 57, 0..=2, UpdateFeaturesRequestData -> UpdateFeaturesResponseData;
    DescribeCluster = 60, 0..=2, DescribeClusterRequestData -> DescribeClusterResponseData;
    DescribeProducers = 61, 0..=0, DescribeProducersRequestData -> DescribeProducersResponseData;
    UnregisterBroker = 64, 0..=0, UnregisterBrokerRequestData -> UnregisterBrokerResponseData;
    DescribeTransactions = 65, 0..=0, DescribeTransactionsRequestData -> DescribeTransactionsResponseData;
    ListTransactions = 66, 0..=2, ListTransactionsRequestData -> ListTransactionsResponseData;
    ConsumerGroupHeartbeat = 68, 0..=1, ConsumerGroupHeartbeatRequestData -> ConsumerGroupHeartbeatResponseData;
    ConsumerGroupDescribe = 69, 0..=1, ConsumerGroupDescribeRequestData -> ConsumerGroupDescribeResponseData;
    ListConfigResources = 74, 0..=1, ListConfigResourcesRequestData -> ListConfigResourcesResponseData;
    DescribeTopicPartitions = 75, 0..=0, DescribeTopicPartitionsRequestData -> DescribeTopicPartitionsResponseData;
    AddRaftVoter = 80, 0..=1, AddRaftVoterRequestData -> AddRaftVoterResponseData;
    RemoveRaftVoter = 81, 0..=0, RemoveRaftVoterRequestData -> RemoveRaftVoterResponseData;
}

/// Reads a request's body in the version of its header.
///
/// # Errors
/// As [`Message::read_from`]; Produce is also refused when it names more partitions than any client has reason to.
pub fn decode_request<R: Request>(version: i16, mut body: Bytes) -> Result<R, WireError> {
    if R::KEY == m::ProduceRequestData::KEY {
        crate::produce::check_counts(body.clone(), version)?;
    }
    R::read_from(&mut body, version)
}

/// Reads any message.
///
/// # Errors
/// As [`Message::read_from`].
pub fn decode<M: Message>(version: i16, mut body: Bytes) -> Result<M, WireError> {
    M::read_from(&mut body, version)
}

/// A response as one frame, its length first. For Fetch use [`crate::fetch::encode`], which does not copy records.
///
/// # Errors
/// As [`Message::write_to`].
pub fn encode_response<R: Request>(
    version: i16,
    correlation_id: i32,
    response: &R::Response,
) -> Result<Bytes, WireError> {
    let mut out = BytesMut::with_capacity(16 + response.len_of(version)?);
    out.extend_from_slice(&[0; 4]);
    encode_response_header(&mut out, R::KEY, version, correlation_id);
    response.write_to(&mut out, version)?;
    finish(out)
}

/// A request as one frame, its length first.
///
/// # Errors
/// As [`Message::write_to`].
pub fn encode_request<R: Request>(
    version: i16,
    correlation_id: i32,
    client_id: &str,
    request: &R,
) -> Result<Bytes, WireError> {
    let header = RequestHeader {
        key: R::KEY,
        version,
        correlation_id,
        client_id: Some(client_id.to_owned().into()),
    };
    let mut out = BytesMut::with_capacity(32 + client_id.len() + request.len_of(version)?);
    out.extend_from_slice(&[0; 4]);
    header.encode(&mut out)?;
    request.write_to(&mut out, version)?;
    finish(out)
}

/// Reads a response frame (without its length) to the request with this correlation id.
///
/// # Errors
/// [`WireError::Correlation`] when it answers another one, else as [`Message::read_from`].
pub fn decode_response<R: Request>(
    version: i16,
    correlation_id: i32,
    mut frame: Bytes,
) -> Result<R::Response, WireError> {
    let got = decode_response_header(&mut frame, R::KEY, version)?;
    if got != correlation_id {
        return Err(WireError::Correlation {
            expected: correlation_id,
            got,
        });
    }
    R::Response::read_from(&mut frame, version)
}

/// Writes the length over the four bytes kept free for it.
fn finish(mut out: BytesMut) -> Result<Bytes, WireError> {
    let payload = out.len().saturating_sub(4);
    let length = i32::try_from(payload).map_err(|_| WireError::FrameLength {
        bytes: payload as i64,
        max_bytes: i32::MAX as usize,
    })?;
    if let Some(prefix) = out.first_chunk_mut::<4>() {
        *prefix = length.to_be_bytes();
    }
    Ok(out.freeze())
}

#[cfg(test)]
mod tests;
