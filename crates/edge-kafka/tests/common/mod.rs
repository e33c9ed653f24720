//! A node on a memory log behind a real socket, and the plainest client there can be.
#![allow(clippy::unwrap_used, dead_code)]

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use headwater_base::SystemClock;
use headwater_broker::{Broker, BrokerConfig};
use headwater_edge_kafka::{EdgeConfig, serve};
use headwater_log::{Log, MemoryLog};
use headwater_wire::{Request, decode_response, encode_request, frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub struct Node {
    pub log: Arc<MemoryLog>,
    pub broker: Arc<Broker>,
    pub port: u16,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<()>,
}

impl Node {
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub async fn start_with(change: impl FnOnce(&mut EdgeConfig)) -> Self {
        let log = Arc::new(MemoryLog::new(4));
        let broker = Broker::open(
            Arc::clone(&log) as Arc<dyn Log>,
            Arc::new(SystemClock),
            BrokerConfig::default(),
        )
        .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (stop, stopped) = oneshot::channel();
        let shutdown = async move {
            let _ = stopped.await;
        };
        let mut config = EdgeConfig::new("127.0.0.1", port);
        change(&mut config);
        let served = tokio::spawn(serve(listener, Arc::clone(&broker), config, shutdown));
        Self {
            log,
            broker,
            port,
            stop: Some(stop),
            served,
        }
    }

    pub async fn client(&self) -> Client {
        Client {
            refusals: None,
            stream: TcpStream::connect(("127.0.0.1", self.port)).await.unwrap(),
            buffer: BytesMut::new(),
            next: 0,
        }
    }

    pub async fn stop(mut self) {
        let _ = self.stop.take().unwrap().send(());
        self.served.await.unwrap();
    }
}

pub struct Client {
    /// The APIs that have refused at least one version for want of rights, if that is asked.
    pub refusals: Option<Vec<i16>>,
    pub stream: TcpStream,
    buffer: BytesMut,
    next: i32,
}

impl Client {
    pub async fn call<R: Request>(&mut self, version: i16, request: &R) -> R::Response {
        let id = self.send(version, request).await;
        let frame = self
            .frame()
            .await
            .unwrap_or_else(|| panic!("{} v{version}: the connection was closed", R::NAME));
        decode_response::<R>(version, id, frame).unwrap()
    }

    pub async fn send<R: Request>(&mut self, version: i16, request: &R) -> i32 {
        self.next += 1;
        let bytes = encode_request(version, self.next, "test", request).unwrap();
        self.stream.write_all(&bytes).await.unwrap();
        self.next
    }

    /// The next response frame without its length; none when the connection is closed.
    pub async fn frame(&mut self) -> Option<Bytes> {
        loop {
            if let Some(frame) = frame::take_response(&mut self.buffer, 1 << 30).unwrap() {
                return Some(frame);
            }
            if self.stream.read_buf(&mut self.buffer).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }
}
