//! One client's connection: made anew when it fails.

use std::time::Duration;

use bytes::BytesMut;
use headwater_wire::{Request, decode_response, encode_request, frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use crate::node::Network;

/// How long an answer may take. Longer than any pause that the network makes, shorter than its silence.
const PATIENCE: Duration = Duration::from_secs(8);
const ANSWER_BYTES_MAX: usize = 1 << 30;

/// The outcome is not known: the connection failed, or the answer took too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

/// See the module.
pub struct Conn {
    network: Network,
    name: String,
    stream: Option<DuplexStream>,
    buffer: BytesMut,
    next: i32,
}

impl Conn {
    pub fn new(network: Network, name: &str) -> Self {
        Self {
            network,
            name: name.to_owned(),
            stream: None,
            buffer: BytesMut::new(),
            next: 0,
        }
    }

    /// Asks and waits for the answer.
    ///
    /// # Errors
    /// The outcome is not known; the next call connects anew.
    pub async fn call<R: Request>(
        &mut self,
        version: i16,
        request: &R,
    ) -> Result<R::Response, Gone> {
        let id = self.send(version, request).await?;
        self.receive::<R>(version, id).await
    }

    /// Sends a request without waiting.
    ///
    /// # Errors
    /// The connection failed.
    pub async fn send<R: Request>(&mut self, version: i16, request: &R) -> Result<i32, Gone> {
        if self.stream.is_none() {
            self.buffer.clear();
            self.stream = self.network.connect().await;
        }
        self.next += 1;
        let bytes = encode_request(version, self.next, &self.name, request).map_err(|_| Gone)?;
        let stream = self.stream.as_mut().ok_or(Gone)?;
        let sent = tokio::time::timeout(PATIENCE, stream.write_all(&bytes)).await;
        match sent {
            Ok(Ok(())) => Ok(self.next),
            _ => self.gone(),
        }
    }

    /// Waits for the answer to the oldest request that was not answered.
    ///
    /// # Errors
    /// The outcome is not known.
    pub async fn receive<R: Request>(
        &mut self,
        version: i16,
        id: i32,
    ) -> Result<R::Response, Gone> {
        let answer = tokio::time::timeout(PATIENCE, self.frame()).await;
        let Ok(Some(frame)) = answer else {
            return self.gone();
        };
        match decode_response::<R>(version, id, frame) {
            Ok(response) => Ok(response),
            Err(error) => panic!("{}: {} v{version}: {error}", self.name, R::NAME),
        }
    }

    /// Hangs up.
    pub fn close(&mut self) {
        self.stream = None;
    }

    fn gone<T>(&mut self) -> Result<T, Gone> {
        self.close();
        Err(Gone)
    }

    async fn frame(&mut self) -> Option<bytes::Bytes> {
        loop {
            match frame::take_response(&mut self.buffer, ANSWER_BYTES_MAX) {
                Ok(Some(frame)) => return Some(frame),
                Ok(None) => {}
                Err(_) => return None,
            }
            let stream = self.stream.as_mut()?;
            if stream.read_buf(&mut self.buffer).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }
}
