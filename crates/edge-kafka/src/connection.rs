//! One connection: requests are read and begun as they come, answered in their order.
//!
//! ```text
//! socket -> frames -> begin (Produce: submitted to the log) -> bounded queue -> await, in order -> socket
//! ```
//! A Produce is on its way to the disk before the former one is durable; everything else starts in its turn. The queue and the
//! byte budgets are bounded: when they are full, nothing more is read from the socket.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use headwater_base::limits::FRAME_BYTES_MAX;
use headwater_wire::{RequestHeader, WireError, frame};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::Instant;

use crate::apis::api_versions;
use crate::call::{Call, Later, Node, Reply};
use crate::registry;
use crate::send::send_all;

/// Requests of one connection that may wait for their answers.
const IN_FLIGHT_MAX: usize = 128;
/// Room made for each read.
const READ_BYTES: usize = 64 * 1024;
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
    _memory: Memory,
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
    let connection_budget = Arc::new(Semaphore::new(FRAME_BYTES_MAX.min(budget.bytes_max)));
    let inbox = Inbox {
        read,
        buffer: BytesMut::new(),
        budget,
        connection_budget,
    };
    let client_host = Arc::from(peer.to_canonical().to_string());
    let reader = read_requests(inbox, node, client_host, send);
    let writer = write_answers(write, receive);
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
        let (frame, memory) = match inbox.next_frame(&send).await {
            Ok(next) => next,
            Err(end) => return end,
        };
        let later = match dispatch(frame, &node, &client_host) {
            Ok(later) => later,
            Err(error) => return End::Refused(error),
        };
        if send
            .send(Pending {
                later,
                _memory: memory,
            })
            .await
            .is_err()
        {
            return End::Gone;
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
        client_id,
        version,
        correlation_id,
    };
    Ok((api.begin)(call, frame)?)
}

async fn write_answers<W: AsyncWrite + Unpin>(mut write: W, mut receive: mpsc::Receiver<Pending>) {
    while let Some(pending) = receive.recv().await {
        let Pending { later, _memory } = pending;
        match later.await {
            Ok(Reply::Frame {
                segments,
                memory: _held,
            }) => {
                if send_all(&mut write, segments).await.is_err() {
                    return;
                }
            }
            Ok(Reply::Nothing) => {}
            Ok(Reply::Close) => return,
            Err(error) => {
                tracing::error!(%error, "an answer could not be written");
                return;
            }
        }
    }
}

/// The reading half: bytes in, accounted frames out.
struct Inbox<R> {
    read: R,
    buffer: BytesMut,
    budget: Budget,
    connection_budget: Arc<Semaphore>,
}

impl<R: AsyncRead + Unpin> Inbox<R> {
    async fn next_frame(&mut self, queue: &mpsc::Sender<Pending>) -> Result<(Bytes, Memory), End> {
        let mut memory = None;
        let mut deadline = None;
        loop {
            if let Some(frame) =
                frame::take_request(&mut self.buffer).map_err(|error| End::Refused(error.into()))?
            {
                let memory = match memory {
                    Some(memory) => memory,
                    None => self.account(frame.len()).await,
                };
                return Ok((frame, memory));
            }
            if memory.is_none()
                && let Some(bytes) = self.claimed().filter(|bytes| *bytes > SMALL_FRAME_BYTES)
            {
                memory = Some(self.account(bytes).await);
                let seconds = (bytes / FRAME_BYTES_A_SECOND_MIN) as u64;
                deadline = Some(Instant::now() + FRAME_SILENCE + Duration::from_secs(seconds));
            }
            self.read_more(deadline, queue).await?;
        }
    }

    /// The length that the frame at the front claims to have; its bounds have been checked.
    fn claimed(&self) -> Option<usize> {
        let prefix = self.buffer.first_chunk::<4>()?;
        usize::try_from(i32::from_be_bytes(*prefix)).ok()
    }

    /// Waits until there is room for the frame.
    async fn account(&self, bytes: usize) -> Memory {
        // A frame larger than half of everything would have to wait until nobody else waits for anything.
        let most = (self.budget.bytes_max / 2).min(FRAME_BYTES_MAX);
        let permits = u32::try_from(bytes.min(most)).unwrap_or(u32::MAX);
        let take = |from: &Arc<Semaphore>| Arc::clone(from).acquire_many_owned(permits);
        let connection = take(&self.connection_budget).await.ok();
        Memory {
            _connection: connection,
            _node: take(&self.budget.node).await.ok(),
        }
    }

    /// Reads what is there. In a long frame the peer has until `deadline`, since memory is set aside for it.
    async fn read_more(
        &mut self,
        deadline: Option<Instant>,
        queue: &mpsc::Sender<Pending>,
    ) -> Result<(), End> {
        self.buffer
            .reserve(frame::reserve_hint(&self.buffer, READ_BYTES));
        let until = deadline.unwrap_or_else(|| Instant::now() + IDLE);
        match tokio::time::timeout_at(until, self.read.read_buf(&mut self.buffer)).await {
            Ok(Ok(0) | Err(_)) => Err(End::Gone),
            Ok(Ok(_)) => Ok(()),
            // Silence is fine while the peer waits for us.
            Err(_) if deadline.is_none() && queue.capacity() < queue.max_capacity() => Ok(()),
            Err(_) => Err(End::Gone),
        }
    }
}
