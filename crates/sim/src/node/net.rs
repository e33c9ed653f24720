//! The network between clients and the node: bytes of a connection stay in order, and that is all that is certain. They come
//! late, connections overtake each other, are cut in the middle of a frame, or fall silent.

use std::sync::Arc;
use std::time::Duration;

use headwater_record::fuzz::Mutator;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::Notify;

use super::Node;

const PIPE_BYTES: usize = 64 * 1024;
const PIECE_BYTES: usize = 4 * 1024;

struct State {
    rng: Mutator,
    /// Of ten thousand pieces so many cut their connection.
    cuts: usize,
}

/// See the module. Clones are the same network.
#[derive(Clone)]
pub struct Network {
    node: Node,
    state: Arc<Mutex<State>>,
    /// Cuts all connections. Not a watch channel: that wakes in an order drawn at random.
    cut_all: Arc<Notify>,
}

impl Network {
    pub fn new(seed: u64, node: Node) -> Self {
        let rng = Mutator::new(seed ^ 0x6e65_7477);
        Self {
            node,
            state: Arc::new(Mutex::new(State { rng, cuts: 0 })),
            cut_all: Arc::default(),
        }
    }

    /// Of ten thousand pieces of data so many cut their connection from now on.
    pub fn set_cuts(&self, of_ten_thousand: usize) {
        self.state.lock().cuts = of_ten_thousand;
    }

    pub fn cut_all(&self) {
        self.cut_all.notify_waiters();
    }

    /// A connection to the node; none when nobody listens.
    pub async fn connect(&self) -> Option<DuplexStream> {
        let wait = self.delay();
        tokio::time::sleep(wait).await;
        let (client, near) = tokio::io::duplex(PIPE_BYTES);
        let (far, server) = tokio::io::duplex(PIPE_BYTES);
        if !self.node.accept(server) {
            return None;
        }
        let network = self.clone();
        tokio::spawn(async move {
            let (near_read, near_write) = tokio::io::split(near);
            let (far_read, far_write) = tokio::io::split(far);
            tokio::select! {
                biased;
                () = network.cut_all.notified() => {}
                () = network.pump(near_read, far_write) => {}
                () = network.pump(far_read, near_write) => {}
            }
        });
        Some(client)
    }

    /// Carries one direction until it is cut.
    async fn pump(&self, mut from: ReadHalf<DuplexStream>, mut to: WriteHalf<DuplexStream>) {
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let Ok(bytes @ 1..) = from.read(&mut piece).await else {
                return;
            };
            tokio::time::sleep(self.delay()).await;
            let keep = match self.is_cut() {
                true => self.state.lock().rng.below(bytes + 1),
                false => bytes,
            };
            if to.write_all(&piece[..keep]).await.is_err() {
                return;
            }
            if keep < bytes {
                return self.silence().await;
            }
        }
    }

    /// A cut is told at once, or not for a while.
    async fn silence(&self) {
        let silent = self.state.lock().rng.below(2) == 0;
        if silent {
            tokio::time::sleep(Duration::from_secs(20)).await;
        }
    }

    fn is_cut(&self) -> bool {
        let mut state = self.state.lock();
        let cuts = state.cuts;
        state.rng.below(10_000) < cuts
    }

    fn delay(&self) -> Duration {
        let mut state = self.state.lock();
        let most_us = match state.rng.below(50) {
            0 => 200_000,
            1..=5 => 20_000,
            _ => 500,
        };
        Duration::from_micros(20 + state.rng.below(most_us) as u64)
    }
}
