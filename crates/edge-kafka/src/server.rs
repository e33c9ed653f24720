//! Accepting connections, until told to stop.

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use headwater_broker::Broker;
#[cfg(target_os = "linux")]
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::call::Node;
use crate::connection::{self, Budget};
use crate::fetch_sessions::FetchSessions;

/// How the node presents itself, and its bounds.
#[derive(Clone, Debug)]
pub struct EdgeConfig {
    /// Where clients shall connect to.
    pub advertised_host: String,
    pub advertised_port: u16,
    /// Shown by DescribeLogDirs.
    pub log_dir: String,
    /// Connections beyond it are closed at once.
    pub connections_max: usize,
    /// Bytes of requests that may be in memory at once, all connections together (Kafka's `queued.max.request.bytes`).
    pub request_bytes_max: usize,
}

impl EdgeConfig {
    pub fn new(advertised_host: impl Into<String>, advertised_port: u16) -> Self {
        Self {
            advertised_host: advertised_host.into(),
            advertised_port,
            log_dir: "headwater-data".into(),
            connections_max: 10_000,
            // Below what the log lets wait for the disk, so that a slow disk pushes back on sockets instead of refusing.
            request_bytes_max: 56 * 1024 * 1024,
        }
    }
}

/// Pause after a failed accept (out of file descriptors, mostly).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long open connections may take to finish what they are at when the node stops.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// What all connections of a node share. Made by [`serve`], or by whoever brings streams of its own.
#[derive(Clone)]
pub struct Edge {
    node: Arc<Node>,
    budget: Budget,
}

impl Edge {
    pub fn new(broker: Arc<Broker>, config: EdgeConfig) -> Self {
        let budget = Budget {
            node: Arc::new(Semaphore::new(config.request_bytes_max)),
            bytes_max: config.request_bytes_max,
        };
        Self {
            node: Arc::new(Node {
                broker,
                config,
                fetch_sessions: FetchSessions::default(),
            }),
            budget,
        }
    }

    /// Serves one connection, given as its two directions, until the peer hangs up or `stopped` says true.
    pub async fn connection<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
        self,
        halves: (R, W),
        peer: IpAddr,
        stopped: watch::Receiver<bool>,
    ) {
        connection::run(halves, peer, self.node, self.budget, stopped).await;
    }
}

/// Every connection and every file of the log takes a descriptor; the limit that shells give is far below what the system allows.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where it is not allowed, the limit stays, and accepting fails with a message when it is reached.
    let _ = setrlimit(Resource::Nofile, limit);
}

/// Only hints: what the system refuses stays as it was.
fn tune(stream: &TcpStream, peer: IpAddr) {
    // Without it small answers wait for the peer's delayed acks.
    let _ = stream.set_nodelay(true);
    // Within one machine nothing is congested, and others (BBR) pace by timers: half as much CPU again for the same bytes.
    #[cfg(target_os = "linux")]
    if peer.to_canonical().is_loopback() {
        let _ = SockRef::from(stream).set_tcp_congestion(b"reno");
    }
}

/// Serves the Kafka protocol until `shutdown` resolves, then lets connections finish what was begun.
pub async fn serve(
    listener: TcpListener,
    broker: Arc<Broker>,
    config: EdgeConfig,
    shutdown: impl Future<Output = ()>,
) {
    let connections_max = config.connections_max;
    raise_descriptor_limit();
    let mut refused: u64 = 0;
    let edge = Edge::new(broker, config);
    let (stop, stopped) = watch::channel(false);
    let mut connections = JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown => break,
            accepted = listener.accept() => accepted,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok(_) if connections.len() >= connections_max => {
                // Dropped, which closes it; whoever tries in a loop shall not fill the log.
                refused += 1;
                if refused.is_power_of_two() {
                    tracing::warn!(connections_max, refused, "too many connections");
                }
            }
            Ok((stream, peer)) => {
                tune(&stream, peer.ip());
                let halves = stream.into_split();
                connections.spawn(edge.clone().connection(halves, peer.ip(), stopped.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    // Nobody left to hear it is fine.
    let _ = stop.send(true);
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(STOP_GRACE, all).await.is_err() {
        connections.abort_all();
    }
}
