//! One socket to one node: requests go out in order without waiting for answers, answers come back in the same order.
//!
//! Two tasks own the halves of the socket. When either ends, everything that waits fails at once and the connection is over;
//! whoever holds it asks the [`super::Client`] for another.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use headwater_base::limits::FRAME_BYTES_MAX;
use headwater_wire::messages::{ApiVersionsRequestData, ApiVersionsResponseData};
use headwater_wire::{Request, Versions, decode, decode_response, encode_request, frame, header};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};

use super::error::ClientError;
use super::versions::spoken;

/// How long a connection may take to come up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an ordinary request may take.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Requests that may wait in a connection, on both sides of the socket.
const QUEUE_MAX: usize = 64;
const READ_BYTES_MIN: usize = 16 * 1024;

/// A live connection. Cheap to share.
#[derive(Debug)]
pub struct Connection {
    address: String,
    client_id: String,
    versions: BTreeMap<i16, Versions>,
    correlation: AtomicI32,
    out: mpsc::Sender<Queued>,
    broken: Arc<AtomicBool>,
    tasks: [tokio::task::AbortHandle; 2],
}

#[derive(Debug)]
struct Queued {
    frame: Bytes,
    /// `None` when no answer comes (Produce with acks 0).
    reply: Option<oneshot::Sender<Bytes>>,
}

/// An answer on its way.
#[derive(Debug)]
pub struct Pending<R> {
    connection: Arc<Connection>,
    reply: oneshot::Receiver<Bytes>,
    version: i16,
    correlation: i32,
    request: PhantomData<fn() -> R>,
}

impl Connection {
    /// Connects and asks for the versions that the node speaks.
    ///
    /// # Errors
    /// Nothing listens there, it is too slow, or it does not speak Kafka's protocol.
    pub async fn open(address: &str, client_id: &str) -> Result<Arc<Self>, ClientError> {
        let socket = connect(address).await?;
        let (read, write) = socket.into_split();
        let (out, queue) = mpsc::channel(QUEUE_MAX);
        let (expect, expected) = mpsc::channel(QUEUE_MAX);
        let broken = Arc::new(AtomicBool::new(false));
        let writer = tokio::spawn(write_all(write, queue, expect, Guard(Arc::clone(&broken))));
        let reader = tokio::spawn(read_all(read, expected, Guard(Arc::clone(&broken))));
        let mut connection = Self {
            address: address.to_owned(),
            client_id: client_id.to_owned(),
            versions: BTreeMap::new(),
            correlation: AtomicI32::new(1),
            out,
            broken,
            tasks: [writer.abort_handle(), reader.abort_handle()],
        };
        connection.versions = connection.negotiate().await?;
        Ok(Arc::new(connection))
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }

    /// The version in which this connection sends an API.
    ///
    /// # Errors
    /// [`ClientError::Unsupported`] when the node has none that this client speaks.
    pub fn version<R: Request>(&self) -> Result<i16, ClientError> {
        let offered = self.versions.get(&R::KEY);
        let common = offered.and_then(|offered| spoken::<R>().highest_common(*offered));
        common.ok_or_else(|| ClientError::Unsupported {
            address: self.address.clone(),
            api: R::NAME,
        })
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// The connection breaks, or the answer is late or unreadable.
    pub async fn call<R: Request>(
        self: &Arc<Self>,
        request: &R,
    ) -> Result<R::Response, ClientError> {
        self.call_within(request, CALL_TIMEOUT).await
    }

    /// As [`Connection::call`] with another limit, for requests that the node holds back.
    ///
    /// # Errors
    /// As [`Connection::call`].
    pub async fn call_within<R: Request>(
        self: &Arc<Self>,
        request: &R,
        timeout: Duration,
    ) -> Result<R::Response, ClientError> {
        self.enqueue(request).await?.answer(timeout).await
    }

    /// Puts a request behind those already sent; requests of one caller stay in order.
    ///
    /// # Errors
    /// The connection is broken, or the request does not fit the node's version.
    pub async fn enqueue<R: Request>(
        self: &Arc<Self>,
        request: &R,
    ) -> Result<Pending<R>, ClientError> {
        let version = self.version::<R>()?;
        let (sender, reply) = oneshot::channel();
        let correlation = self.send(version, request, Some(sender)).await?;
        Ok(Pending {
            connection: Arc::clone(self),
            reply,
            version,
            correlation,
            request: PhantomData,
        })
    }

    /// Sends a request that is not answered.
    ///
    /// # Errors
    /// As [`Connection::enqueue`].
    pub async fn fire<R: Request>(&self, request: &R) -> Result<(), ClientError> {
        self.send(self.version::<R>()?, request, None)
            .await
            .map(drop)
    }

    async fn send<R: Request>(
        &self,
        version: i16,
        request: &R,
        reply: Option<oneshot::Sender<Bytes>>,
    ) -> Result<i32, ClientError> {
        let correlation = self.correlation.fetch_add(1, Ordering::Relaxed);
        let frame = encode_request(version, correlation, &self.client_id, request)
            .map_err(|error| ClientError::protocol(&self.address, &error))?;
        self.out
            .send(Queued { frame, reply })
            .await
            .map_err(|_| self.broke())?;
        Ok(correlation)
    }

    fn broke(&self) -> ClientError {
        ClientError::Broken {
            address: self.address.clone(),
            reason: "closed by the other side".to_owned(),
        }
    }

    /// Gives the connection up, so that all who wait on it fail now.
    fn abandon(&self) {
        self.broken.store(true, Ordering::Release);
        self.tasks.iter().for_each(tokio::task::AbortHandle::abort);
    }

    async fn negotiate(&self) -> Result<BTreeMap<i16, Versions>, ClientError> {
        const VERSION: i16 = 3;
        let request = ApiVersionsRequestData {
            client_software_name: "headwater".to_owned().into(),
            client_software_version: env!("CARGO_PKG_VERSION").to_owned().into(),
            ..ApiVersionsRequestData::default()
        };
        let (sender, reply) = oneshot::channel();
        self.send(VERSION, &request, Some(sender)).await?;
        let answer = tokio::time::timeout(CONNECT_TIMEOUT, reply).await;
        let mut frame = answer
            .map_err(|_| self.late(CONNECT_TIMEOUT))?
            .map_err(|_| self.broke())?;
        let wrong = |error| ClientError::protocol(&self.address, &error);
        header::decode_response_header(&mut frame, ApiVersionsRequestData::KEY, VERSION)
            .map_err(wrong)?;
        // A node too old for our version answers in version 0 with an error and what it does speak.
        let version = if frame.starts_with(&[0, 0]) {
            VERSION
        } else {
            0
        };
        let response: ApiVersionsResponseData = decode(version, frame).map_err(wrong)?;
        let offers = response.api_keys.iter();
        Ok(offers
            .map(|api| (api.api_key, Versions::new(api.min_version, api.max_version)))
            .collect())
    }

    fn late(&self, timeout: Duration) -> ClientError {
        let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        ClientError::Timeout {
            address: self.address.clone(),
            timeout_ms,
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // The writer ends by itself once the queue is empty (a last acks=0 batch still goes out), the reader with it.
        self.broken.store(true, Ordering::Release);
    }
}

impl<R: Request> Pending<R> {
    /// Waits for the answer. One that is late takes the connection with it, because all that follow are behind it.
    ///
    /// # Errors
    /// As [`Connection::call`].
    pub async fn answer(self, timeout: Duration) -> Result<R::Response, ClientError> {
        let connection = &self.connection;
        let Ok(answer) = tokio::time::timeout(timeout, self.reply).await else {
            connection.abandon();
            return Err(connection.late(timeout));
        };
        let frame = answer.map_err(|_| connection.broke())?;
        decode_response::<R>(self.version, self.correlation, frame).map_err(|error| {
            connection.abandon();
            ClientError::protocol(&connection.address, &error)
        })
    }
}

async fn connect(address: &str) -> Result<TcpStream, ClientError> {
    let attempt = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await;
    let timeout_ms = u64::try_from(CONNECT_TIMEOUT.as_millis()).unwrap_or(u64::MAX);
    let address = || address.to_owned();
    let outcome = attempt.map_err(|_| ClientError::Timeout {
        address: address(),
        timeout_ms,
    })?;
    let socket = outcome.map_err(|error| match error.kind() {
        std::io::ErrorKind::ConnectionRefused => ClientError::NotListening { address: address() },
        std::io::ErrorKind::InvalidInput => ClientError::Address {
            address: address(),
            reason: error.to_string(),
        },
        _ => ClientError::Broken {
            address: address(),
            reason: error.to_string(),
        },
    })?;
    // Requests are whole frames; waiting to fill a packet only adds delay.
    let _ = socket.set_nodelay(true);
    Ok(socket)
}

/// Marks the connection broken when a task ends, however it ends.
struct Guard(Arc<AtomicBool>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

async fn write_all(
    mut socket: OwnedWriteHalf,
    mut queue: mpsc::Receiver<Queued>,
    expect: mpsc::Sender<oneshot::Sender<Bytes>>,
    _guard: Guard,
) {
    while let Some(queued) = queue.recv().await {
        if let Some(reply) = queued.reply
            && expect.send(reply).await.is_err()
        {
            return;
        }
        if socket.write_all(&queued.frame).await.is_err() {
            return;
        }
    }
}

async fn read_all(
    mut socket: OwnedReadHalf,
    mut expected: mpsc::Receiver<oneshot::Sender<Bytes>>,
    _guard: Guard,
) {
    let mut buffer = BytesMut::with_capacity(READ_BYTES_MIN);
    loop {
        match frame::take_response(&mut buffer, FRAME_BYTES_MAX) {
            Ok(Some(frame)) => {
                let Ok(reply) = expected.try_recv() else {
                    return;
                };
                // Who asked may have stopped waiting.
                let _ = reply.send(frame);
                continue;
            }
            Ok(None) => {}
            Err(_) => return,
        }
        buffer.reserve(frame::reserve_hint(&buffer, READ_BYTES_MIN));
        match socket.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
}
