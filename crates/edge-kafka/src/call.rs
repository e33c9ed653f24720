//! What a handler gets and what it gives back.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use headwater_broker::Broker;
use headwater_wire::{KafkaString, Request, Versions, WireError, decode_request, encode_response};
use tokio::sync::OwnedSemaphorePermit;

use crate::fetch_sessions::FetchSessions;
use crate::server::EdgeConfig;

/// What all connections share.
pub(crate) struct Node {
    pub broker: Arc<Broker>,
    pub config: EdgeConfig,
    pub fetch_sessions: FetchSessions,
}

impl Node {
    pub fn id(&self) -> i32 {
        self.broker.config().node_id
    }
}

/// One request's circumstances.
#[derive(Clone)]
pub(crate) struct Call {
    pub node: Arc<Node>,
    /// Address of the client, without its port.
    pub client_host: Arc<str>,
    pub client_id: Option<KafkaString>,
    pub version: i16,
    pub correlation_id: i32,
}

impl Call {
    pub fn broker(&self) -> &Broker {
        &self.node.broker
    }
}

/// The outcome of a request.
pub(crate) enum Reply {
    /// One frame in segments, and what accounts for their memory.
    Frame {
        segments: Vec<Bytes>,
        memory: Option<OwnedSemaphorePermit>,
    },
    /// The client asked not to be answered.
    Nothing,
    /// All that is left to say is to hang up.
    Close,
}

/// The answer to come. Polled only when all earlier requests of the connection have been answered.
pub(crate) type Later = Pin<Box<dyn Future<Output = Result<Reply, WireError>> + Send>>;

/// An ordinary API: one request, one response, nothing begun before its turn.
pub(crate) trait Handle: Request + Send + 'static {
    /// What is advertised, and therefore answered.
    const VERSIONS: Versions;

    fn answer(self, call: Call) -> impl Future<Output = Self::Response> + Send;
}

/// Reads the request at once and handles it in its turn.
pub(crate) fn begin<R: Handle>(call: Call, body: Bytes) -> Result<Later, WireError> {
    let request: R = decode_request(call.version, body)?;
    Ok(Box::pin(async move {
        let (version, correlation_id) = (call.version, call.correlation_id);
        let response = request.answer(call).await;
        let frame = encode_response::<R>(version, correlation_id, &response)?;
        Ok(Reply::Frame {
            segments: vec![frame],
            memory: None,
        })
    }))
}

/// Text of the protocol from ours.
pub(crate) fn text(ours: impl Into<String>) -> KafkaString {
    KafkaString::from(ours.into())
}

/// Our text from the protocol's.
pub(crate) fn plain(theirs: &KafkaString) -> String {
    theirs.as_str().to_owned()
}

/// Our text from the protocol's, if there is any.
pub(crate) fn plain_option(theirs: Option<&KafkaString>) -> Option<String> {
    theirs.map(plain)
}

/// The same text in memory of its own. As it was decoded it is a part of its request's frame, which it would keep from being
/// used again for the next one until it is dropped, too.
pub(crate) fn detached(theirs: &KafkaString) -> KafkaString {
    text(theirs.as_str())
}
