//! Writing segments without gluing them together first.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;

/// Segments handed to the kernel at a time.
const SLICES_MAX: usize = 256;

/// How long a peer may take nothing of an answer, whose memory is set aside until it has it.
const SILENCE: Duration = Duration::from_secs(60);
/// Slowest that a peer may take an answer, in bytes a second, beyond that silence.
const BYTES_A_SECOND_MIN: usize = 16 * 1024;

/// Writes all segments in order.
///
/// # Errors
/// The peer is gone, or takes nothing, or too slowly.
pub(crate) async fn send_all<W: AsyncWrite + Unpin>(
    out: &mut W,
    segments: Vec<Bytes>,
) -> std::io::Result<()> {
    let mut left: VecDeque<Bytes> = segments
        .into_iter()
        .filter(|segment| !segment.is_empty())
        .collect();
    let bytes: usize = left.iter().map(Bytes::len).sum();
    let patience = SILENCE + Duration::from_secs((bytes / BYTES_A_SECOND_MIN) as u64);
    let deadline = Instant::now() + patience;
    while !left.is_empty() {
        let slices: Vec<IoSlice<'_>> = left
            .iter()
            .take(SLICES_MAX)
            .map(|segment| IoSlice::new(segment))
            .collect();
        let until = deadline.min(Instant::now() + SILENCE);
        let written = tokio::time::timeout_at(until, out.write_vectored(&slices)).await??;
        if written == 0 {
            return Err(std::io::ErrorKind::WriteZero.into());
        }
        advance(&mut left, written);
    }
    Ok(())
}

fn advance(left: &mut VecDeque<Bytes>, mut written: usize) {
    while let Some(first) = left.front_mut() {
        if first.len() > written {
            first.advance(written);
            return;
        }
        written -= first.len();
        left.pop_front();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn many_segments_arrive_in_order_through_a_narrow_pipe() {
        let segments: Vec<Bytes> = (0..500u32)
            .map(|n| Bytes::from(vec![n as u8; (n % 7) as usize]))
            .collect();
        let expected: Vec<u8> = segments.concat();
        let (mut near, mut far) = tokio::io::duplex(5);
        let reader = tokio::spawn(async move {
            let mut got = Vec::new();
            tokio::io::AsyncReadExt::read_to_end(&mut far, &mut got)
                .await
                .unwrap();
            got
        });
        send_all(&mut near, segments).await.unwrap();
        drop(near);
        assert_eq!(reader.await.unwrap(), expected);
    }
}
