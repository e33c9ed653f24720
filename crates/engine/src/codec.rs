//! Small pieces of the snapshot files' encoding: little-endian integers, bytes with a length, Arrow batches as IPC streams.

use std::io::{self, Cursor, Read, Write};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::ipc::reader::StreamReader;
use datafusion::arrow::ipc::writer::StreamWriter;

/// Bytes of one piece at most: what a corrupt length may claim.
const PIECE_BYTES_MAX: u64 = 16 * 1024 * 1024 * 1024;

pub fn corrupt(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("the snapshot is corrupt: {what}"),
    )
}

pub fn put_u64(out: &mut dyn Write, value: u64) -> io::Result<()> {
    out.write_all(&value.to_le_bytes())
}

pub fn put_i64(out: &mut dyn Write, value: i64) -> io::Result<()> {
    out.write_all(&value.to_le_bytes())
}

pub fn put_bytes(out: &mut dyn Write, bytes: &[u8]) -> io::Result<()> {
    put_u64(out, bytes.len() as u64)?;
    out.write_all(bytes)
}

pub fn get_u64(from: &mut dyn Read) -> io::Result<u64> {
    let mut bytes = [0; 8];
    from.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

pub fn get_i64(from: &mut dyn Read) -> io::Result<i64> {
    Ok(get_u64(from)?.cast_signed())
}

/// Reads no more than is there, whatever the length claims.
pub fn get_bytes(from: &mut dyn Read) -> io::Result<Vec<u8>> {
    let length = get_u64(from)?;
    if length > PIECE_BYTES_MAX {
        return Err(corrupt("a length"));
    }
    let mut bytes = Vec::new();
    from.take(length).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == length {
        Ok(bytes)
    } else {
        Err(corrupt("cut short"))
    }
}

pub fn put_batch(out: &mut dyn Write, batch: &RecordBatch) -> io::Result<()> {
    let mut bytes = Vec::new();
    let mut writer =
        StreamWriter::try_new(&mut bytes, &batch.schema()).map_err(io::Error::other)?;
    writer.write(batch).map_err(io::Error::other)?;
    writer.finish().map_err(io::Error::other)?;
    drop(writer);
    put_bytes(out, &bytes)
}

pub fn get_batch(from: &mut dyn Read) -> io::Result<RecordBatch> {
    let bytes = get_bytes(from)?;
    let mut reader = StreamReader::try_new(Cursor::new(bytes), None).map_err(io::Error::other)?;
    reader
        .next()
        .ok_or_else(|| corrupt("a batch is missing"))?
        .map_err(io::Error::other)
}
