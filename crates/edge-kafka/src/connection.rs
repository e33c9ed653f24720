//! One connection: requests are read and begun as they come, answered in their order.
//!
//! ```text
//! socket -> frames -> begin (Produce: submitted to the log) -> bounded queue -> await, in order -> socket
//! ```
//! A Produce is on its way to the disk before the former one is durable; everything else starts in its turn. The queue and the
//! byte budgets are bounded: when they are full, nothing more is read from the socket.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use headwater_base::limits::FRAME_BYTES_MAX;
use headwater_wire::{RequestHeader, WireError, frame};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::Instant;

use crate::apis::api_versions;
use crate::call::{Call, Later, Node, Reply, detached};
use crate::registry;
use crate::send::send_all;

/// Requests of one connection that may wait for their answers.
const IN_FLIGHT_MAX: usize = 128;
/// Room made for each read of a busy connection.
const READ_BYTES: usize = 64 * 1024;
/// Room made for a frame of which nothing has come yet.
const EXPECTED_BYTES_MAX: usize = 512 * 1024;
/// Of the length in front of a frame.
const LENGTH_BYTES: usize = 4;
/// Room made while nothing is expected: thousands of connections are idle.
const IDLE_READ_BYTES: usize = 512;
/// Silence after which a connection is idle.
const IDLE_AFTER: Duration = Duration::from_secs(2);
/// Answers are gathered for one write up to so many bytes.
const GATHER_BYTES_MAX: usize = 256 * 1024;
/// A longer frame is accounted for before it is read.
const SMALL_FRAME_BYTES: usize = READ_BYTES;
/// How long a peer may stay silent in the middle of a long frame.
const FRAME_SILENCE: Duration = Duration::from_secs(30);
/// Slowest that a long frame may arrive, in bytes a second, beyond that silence.
const FRAME_BYTES_A_SECOND_MIN: usize = 64 * 1024;
/// How long answers may take when the node stops.
const STOP_PATIENCE: Duration = Duration::from_millis(500);
/// How long a peer may stay silent between requests (Kafka's `connections.max.idle.ms`).
const IDLE: Duration = Duration::from_secs(600);

/// Connections open now, for the console.
static OPEN: AtomicU64 = AtomicU64::new(0);

/// Kafka connections that are open now, all listeners of this process together.
pub fn connections() -> u64 {
    OPEN.load(Ordering::Relaxed)
}

/// Counts a connection for as long as it lives.
struct Counted;

impl Counted {
    fn new() -> Self {
        OPEN.fetch_add(1, Ordering::Relaxed);
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Bytes of requests that may be in memory.
#[derive(Clone)]
pub(crate) struct Budget {
    pub node: Arc<Semaphore>,
    pub bytes_max: usize,
}

/// A request that waits for its turn to be answered.
struct Pending {
    later: Later,
    memory: Memory,
}

/// Accounts for a frame until it has been answered.
struct Memory {
    _connection: Option<OwnedSemaphorePermit>,
    _node: Option<OwnedSemaphorePermit>,
}

/// Why no more requests are read.
enum End {
    /// The peer went away: nobody is there to be answered.
    Gone,
    /// The node stops.
    Stopping,
    /// The peer broke the protocol: what came before is answered, then the connection is closed.
    Refused(Refusal),
}

/// What a peer did that ends its connection, as Kafka does.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("API key {0} is not spoken here")]
    Key(i16),
    #[error("version {version} of {api} is not spoken here")]
    Version { api: &'static str, version: i16 },
}

/// Serves one connection to its end.
pub(crate) async fn run<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
    (read, write): (R, W),
    peer: IpAddr,
    node: Arc<Node>,
    budget: Budget,
    mut stopped: watch::Receiver<bool>,
) {
    let _counted = Counted::new();
    let (send, receive) = mpsc::channel(IN_FLIGHT_MAX);
    let unanswered = Arc::new(AtomicUsize::new(0));
    let connection_budget = Arc::new(Semaphore::new(FRAME_BYTES_MAX.min(budget.bytes_max)));
    let inbox = Inbox {
        read,
        buffer: BytesMut::new(),
        room: IDLE_READ_BYTES,
        budget,
        connection_budget,
        unanswered: Arc::clone(&unanswered),
        node: Arc::clone(&node),
        produced: 0,
    };
    let client_host = Arc::from(peer.to_canonical().to_string());
    let reader = read_requests(inbox, node, client_host, send);
    let writer = write_answers(write, receive, unanswered);
    tokio::pin!(writer);
    let end = tokio::select! {
        biased;
        end = reader => end,
        () = &mut writer => return,
        _ = stopped.wait_for(|stopped| *stopped) => End::Stopping,
    };
    match end {
        End::Gone => {}
        End::Stopping => {
            // What is on its way to the disk is answered; who waits for news is not.
            let _ = tokio::time::timeout(STOP_PATIENCE, writer).await;
        }
        End::Refused(error) => {
            tracing::debug!(%peer, %error, "connection closed");
            let _ = tokio::time::timeout(FRAME_SILENCE, writer).await;
        }
    }
}

async fn read_requests<R: AsyncRead + Unpin>(
    mut inbox: Inbox<R>,
    node: Arc<Node>,
    client_host: Arc<str>,
    send: mpsc::Sender<Pending>,
) -> End {
    loop {
        let (frame, memory) = match inbox.next_frame().await {
            Ok(next) => next,
            Err(end) => return end,
        };
        inbox.produced += usize::from(frame::is_produce(&frame));
        let later = match dispatch(frame, &node, &client_host) {
            Ok(later) => later,
            Err(error) => return End::Refused(error),
        };
        inbox.unanswered.fetch_add(1, Ordering::Relaxed);
        if let Err(TrySendError::Full(pending) | TrySendError::Closed(pending)) =
            send.try_send(Pending { later, memory })
        {
            inbox.write_produced();
            if send.send(pending).await.is_err() {
                return End::Gone;
            }
        }
    }
}

fn dispatch(mut frame: Bytes, node: &Arc<Node>, client_host: &Arc<str>) -> Result<Later, Refusal> {
    let header = RequestHeader::decode(&mut frame)?;
    let RequestHeader {
        key,
        version,
        correlation_id,
        client_id,
    } = header;
    let api = registry::find(key).ok_or(Refusal::Key(key))?;
    metrics::counter!("headwater_kafka_requests_total", "api" => api.name).increment(1);
    if !api.versions.contains(version) {
        return api_versions::refuse_version(key, version, correlation_id).ok_or(
            Refusal::Version {
                api: api.name,
                version,
            },
        );
    }
    let call = Call {
        node: Arc::clone(node),
        client_host: Arc::clone(client_host),
        client_id: client_id.as_ref().map(detached),
        version,
        correlation_id,
    };
    Ok((api.begin)(call, frame)?)
}

/// Answers in the order of the requests; those that are ready together go out in one write.
async fn write_answers<W: AsyncWrite + Unpin>(
    mut write: W,
    mut receive: mpsc::Receiver<Pending>,
    unanswered: Arc<AtomicUsize>,
) {
    let mut next = None;
    loop {
        let Some(mut pending) = (match next.take() {
            Some(pending) => Some(pending),
            None => receive.recv().await,
        }) else {
            return;
        };
        let mut out = Outbox::default();
        let first = pending.later.as_mut().await;
        out.add(first, pending.memory);
        while !out.is_full() {
            let Ok(mut pending) = receive.try_recv() else {
                break;
            };
            match futures::poll!(pending.later.as_mut()) {
                Poll::Ready(reply) => out.add(reply, pending.memory),
                Poll::Pending => {
                    next = Some(pending);
                    break;
                }
            }
        }
        if send_all(&mut write, out.segments).await.is_err() || out.close {
            return;
        }
        unanswered.fetch_sub(out.answers, Ordering::Relaxed);
    }
}

/// Answers for one write.
#[derive(Default)]
struct Outbox {
    segments: Vec<Bytes>,
    bytes: usize,
    answers: usize,
    /// Nothing may follow.
    close: bool,
    /// Accounts for requests and answers until they have been written.
    held: Vec<(Memory, Option<OwnedSemaphorePermit>)>,
}

impl Outbox {
    fn add(&mut self, reply: Result<Reply, WireError>, memory: Memory) {
        self.answers += 1;
        match reply {
            Ok(Reply::Frame {
                segments,
                memory: answer,
            }) => {
                self.bytes += segments.iter().map(Bytes::len).sum::<usize>();
                self.segments.extend(segments);
                self.held.push((memory, answer));
            }
            Ok(Reply::Nothing) => {}
            Ok(Reply::Close) => self.close = true,
            Err(error) => {
                tracing::error!(%error, "an answer could not be written");
                self.close = true;
            }
        }
    }

    fn is_full(&self) -> bool {
        self.close || self.bytes >= GATHER_BYTES_MAX
    }
}

/// However reading ends, what was given to the log is written.
impl<R> Drop for Inbox<R> {
    fn drop(&mut self) {
        if self.produced > 0 {
            self.node.broker.write_produced(false);
        }
    }
}

/// The reading half: bytes in, accounted frames out.
struct Inbox<R> {
    read: R,
    buffer: BytesMut,
    /// Room for the next read: grows while reads fill it.
    room: usize,
    budget: Budget,
    connection_budget: Arc<Semaphore>,
    /// Requests whose answers have not been written yet.
    unanswered: Arc<AtomicUsize>,
    node: Arc<Node>,
    /// Requests given to the log, and not yet to the disk: the next one may be there already, to share the write.
    produced: usize,
}

impl<R: AsyncRead + Unpin> Inbox<R> {
    async fn next_frame(&mut self) -> Result<(Bytes, Memory), End> {
        let mut memory = None;
        let mut deadline = None;
        loop {
            if let Some(frame) =
                frame::take_request(&mut self.buffer).map_err(|error| End::Refused(error.into()))?
            {
                self.expect(frame.len());
                let memory = match memory {
                    Some(memory) => memory,
                    None => self.account(frame.len()).await,
                };
                return Ok((frame, memory));
            }
            self.write_produced();
            if memory.is_none()
                && let Some(bytes) = self.claimed().filter(|bytes| *bytes > SMALL_FRAME_BYTES)
            {
                memory = Some(self.account(bytes).await);
                let seconds = (bytes / FRAME_BYTES_A_SECOND_MIN) as u64;
                deadline = Some(Instant::now() + FRAME_SILENCE + Duration::from_secs(seconds));
            }
            self.read_more(deadline).await?;
        }
    }

    fn write_produced(&mut self) {
        let produced = std::mem::take(&mut self.produced);
        if produced > 0 {
            // While this thread waited for the disk, no other answer of the connection would go out.
            let nothing_else = self.unanswered.load(Ordering::Relaxed) <= produced;
            self.node.broker.write_produced(nothing_else);
        }
    }

    /// Long frames come in rows of about one length: room for a whole one spares copying its beginning.
    fn expect(&mut self, bytes: usize) {
        if self.room >= READ_BYTES {
            self.room = (bytes + LENGTH_BYTES).clamp(READ_BYTES, EXPECTED_BYTES_MAX);
        }
    }

    /// The length that the frame at the front claims to have; its bounds have been checked.
    fn claimed(&self) -> Option<usize> {
        let prefix = self.buffer.first_chunk::<4>()?;
        usize::try_from(i32::from_be_bytes(*prefix)).ok()
    }

    /// Waits until there is room for the frame.
    async fn account(&mut self, bytes: usize) -> Memory {
        // A frame larger than half of everything would have to wait until nobody else waits for anything.
        let most = (self.budget.bytes_max / 2).min(FRAME_BYTES_MAX);
        let permits = u32::try_from(bytes.min(most)).unwrap_or(u32::MAX);
        let both = [&self.connection_budget, &self.budget.node].map(Arc::clone);
        if both
            .iter()
            .any(|budget| budget.available_permits() < permits as usize)
        {
            // What would make room may wait for this.
            self.write_produced();
        }
        let [connection, node] = both.map(|budget| budget.acquire_many_owned(permits));
        Memory {
            _connection: connection.await.ok(),
            _node: node.await.ok(),
        }
    }

    /// Reads what is there. In a long frame the peer has until `deadline`, since memory is set aside for it.
    async fn read_more(&mut self, deadline: Option<Instant>) -> Result<(), End> {
        let silent_since = Instant::now();
        loop {
            let hint = frame::reserve_hint(&self.buffer, self.room);
            self.buffer.reserve(hint);
            let room = self.buffer.capacity() - self.buffer.len();
            let idles = self.buffer.is_empty() && self.room > IDLE_READ_BYTES;
            let until = match deadline {
                Some(deadline) => deadline,
                None if idles => silent_since + IDLE_AFTER,
                None => silent_since + IDLE,
            };
            match tokio::time::timeout_at(until, self.read.read_buf(&mut self.buffer)).await {
                Ok(Ok(0) | Err(_)) => return Err(End::Gone),
                Ok(Ok(read)) => {
                    if read == room {
                        self.room = self.room.max((self.room * 8).min(READ_BYTES));
                    }
                    return Ok(());
                }
                Err(_) if idles => {
                    self.buffer = BytesMut::new();
                    self.room = IDLE_READ_BYTES;
                }
                // Silence is fine while the peer waits for us, however long: a JoinGroup is held back until all have joined.
                Err(_) if deadline.is_none() && self.unanswered.load(Ordering::Relaxed) > 0 => {
                    return Ok(());
                }
                Err(_) => return Err(End::Gone),
            }
        }
    }
}
