//! The codecs of format v2. Unfolding is bounded by what comes out, never by a length the input claims.

use std::io::{Read, Write};

use bytes::Bytes;

use crate::error::BatchError;
use crate::header::ATTR_CODEC_MASK;
use crate::xerial;

/// How a batch's records are compressed, as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Codec {
    #[default]
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl Codec {
    pub const ALL: [Codec; 5] = [
        Codec::None,
        Codec::Gzip,
        Codec::Snappy,
        Codec::Lz4,
        Codec::Zstd,
    ];

    pub fn from_attributes(attributes: i16) -> Result<Self, BatchError> {
        let code = (attributes & ATTR_CODEC_MASK) as u8;
        Self::ALL
            .get(usize::from(code))
            .copied()
            .ok_or(BatchError::UnknownCodec(code))
    }

    /// The low bits of a batch's attributes.
    pub fn attribute_bits(self) -> i16 {
        self as i16
    }

    /// Kafka's name of it (`compression.type`).
    pub fn name(self) -> &'static str {
        match self {
            Codec::None => "none",
            Codec::Gzip => "gzip",
            Codec::Snappy => "snappy",
            Codec::Lz4 => "lz4",
            Codec::Zstd => "zstd",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.name() == name)
    }
}

/// Unfolds `input` to at most `max_bytes`. Uncompressed input is shared, not copied.
pub fn decompress(codec: Codec, input: &Bytes, max_bytes: usize) -> Result<Bytes, BatchError> {
    match codec {
        Codec::None => Ok(input.clone()),
        Codec::Gzip => bounded(
            codec,
            flate2::bufread::MultiGzDecoder::new(&input[..]),
            max_bytes,
        ),
        Codec::Snappy => xerial::decompress(input, max_bytes),
        Codec::Lz4 => bounded(
            codec,
            lz4_flex::frame::FrameDecoder::new(&input[..]),
            max_bytes,
        ),
        // The window is allocated by what the frame says, but as memory that nobody has touched:
        // only what comes out of the stream becomes resident.
        Codec::Zstd => {
            let decoder = zstd::stream::read::Decoder::with_buffer(&input[..])
                .map_err(|e| failed(codec, &e))?;
            bounded(codec, decoder, max_bytes)
        }
    }
}

fn bounded(codec: Codec, reader: impl Read, max_bytes: usize) -> Result<Bytes, BatchError> {
    let mut out = Vec::new();
    reader
        .take(max_bytes as u64 + 1)
        .read_to_end(&mut out)
        .map_err(|e| failed(codec, &e))?;
    if out.len() > max_bytes {
        return Err(BatchError::TooLarge { max_bytes });
    }
    Ok(out.into())
}

fn failed(codec: Codec, error: &std::io::Error) -> BatchError {
    BatchError::Decompress {
        codec: codec.name(),
        reason: error.to_string(),
    }
}

/// How hard to compress, where the codec has levels: gzip 0-9, zstd as its library. LZ4 and Snappy have one each here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Level(pub Option<i32>);

impl Level {
    fn gzip(self) -> flate2::Compression {
        let level = self.0.and_then(|level| u32::try_from(level).ok());
        level.map_or_else(flate2::Compression::default, |level| {
            flate2::Compression::new(level.min(9))
        })
    }

    fn zstd(self) -> i32 {
        self.0.unwrap_or(3)
    }
}

/// Appends the compressed `input` to `out`.
pub(crate) fn compress(codec: Codec, level: Level, input: &[u8], out: &mut Vec<u8>) {
    // Writing into a Vec cannot fail; what can (a codec's own limits) falls back to nothing written, which
    // the builder would notice as an undecodable batch, so it is asserted on the way.
    let written = match codec {
        Codec::None => out.write_all(input),
        Codec::Gzip => gzip(input, level.gzip(), out),
        Codec::Snappy => xerial::compress(input, out),
        Codec::Lz4 => lz4(input, out),
        Codec::Zstd => zstd::stream::copy_encode(input, out, level.zstd()),
    };
    assert!(
        written.is_ok(),
        "compressing into memory failed: {written:?}"
    );
}

fn gzip(input: &[u8], level: flate2::Compression, out: &mut Vec<u8>) -> std::io::Result<()> {
    let mut encoder = flate2::write::GzEncoder::new(out, level);
    encoder.write_all(input)?;
    encoder.finish().map(|_| ())
}

/// Independent blocks of 64 KiB without content size, as Kafka's Java client writes them.
fn lz4(input: &[u8], out: &mut Vec<u8>) -> std::io::Result<()> {
    let info = lz4_flex::frame::FrameInfo::new().block_size(lz4_flex::frame::BlockSize::Max64KB);
    let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, out);
    encoder.write_all(input)?;
    encoder.finish().map(|_| ()).map_err(std::io::Error::other)
}
