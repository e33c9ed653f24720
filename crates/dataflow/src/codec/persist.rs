//! Numbers and arrays of numbers in snapshots: little endian, every array with its length before it. Lengths are claims until the
//! bytes have come: memory grows with what was read.

use std::io::{self, Read, Write};

const READ_AHEAD: usize = 64 * 1024;

pub(crate) fn invalid(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

pub(crate) fn put_u32(out: &mut dyn Write, value: u32) -> io::Result<()> {
    out.write_all(&value.to_le_bytes())
}

pub(crate) fn put_u64(out: &mut dyn Write, value: u64) -> io::Result<()> {
    out.write_all(&value.to_le_bytes())
}

pub(crate) fn get_u32(from: &mut dyn Read) -> io::Result<u32> {
    let mut bytes = [0; 4];
    from.read_exact(&mut bytes)?;
    Ok(u32::from_le_bytes(bytes))
}

pub(crate) fn get_u64(from: &mut dyn Read) -> io::Result<u64> {
    let mut bytes = [0; 8];
    from.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

pub(crate) fn get_len(from: &mut dyn Read) -> io::Result<usize> {
    usize::try_from(get_u64(from)?).map_err(|_| invalid("length out of range"))
}

/// A version before each operator's state; another one is refused.
pub(crate) fn expect_version(from: &mut dyn Read, known: u32) -> io::Result<()> {
    match get_u32(from)? {
        version if version == known => Ok(()),
        version => Err(invalid(format!(
            "state has version {version}, this program reads {known}"
        ))),
    }
}

pub(crate) fn put_bytes(out: &mut dyn Write, bytes: &[u8]) -> io::Result<()> {
    put_u64(out, bytes.len() as u64)?;
    out.write_all(bytes)
}

pub(crate) fn get_bytes(from: &mut dyn Read) -> io::Result<Vec<u8>> {
    let length = get_len(from)?;
    let mut bytes = Vec::with_capacity(length.min(READ_AHEAD));
    from.take(length as u64).read_to_end(&mut bytes)?;
    match bytes.len() == length {
        true => Ok(bytes),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Fixed-width numbers that snapshots hold arrays of.
pub(crate) trait Number: Copy {
    const BYTES: usize;
    fn put(self, to: &mut [u8]);
    fn get(from: &[u8]) -> Self;
}

macro_rules! numbers {
    ($($t:ty),*) => {$(impl Number for $t {
        const BYTES: usize = size_of::<$t>();
        fn put(self, to: &mut [u8]) {
            to.copy_from_slice(&self.to_le_bytes());
        }
        fn get(from: &[u8]) -> Self {
            let mut bytes = [0; size_of::<$t>()];
            bytes.copy_from_slice(from);
            <$t>::from_le_bytes(bytes)
        }
    })*};
}
numbers!(u8, u32, i32, u64, i64, i128, f64);

pub(crate) fn put_all<T: Number>(out: &mut dyn Write, values: &[T]) -> io::Result<()> {
    put_u64(out, values.len() as u64)?;
    let mut bytes = vec![0; T::BYTES * values.len().min(4096)];
    for part in values.chunks(4096) {
        for (value, to) in part.iter().zip(bytes.chunks_exact_mut(T::BYTES)) {
            value.put(to);
        }
        out.write_all(&bytes[..part.len() * T::BYTES])?;
    }
    Ok(())
}

pub(crate) fn get_all<T: Number>(from: &mut dyn Read) -> io::Result<Vec<T>> {
    let count = get_len(from)?;
    let mut values = Vec::with_capacity(count.min(READ_AHEAD));
    let mut bytes = vec![0; T::BYTES * count.min(4096)];
    while values.len() < count {
        let now = (count - values.len()).min(4096) * T::BYTES;
        from.read_exact(&mut bytes[..now])?;
        values.extend(bytes[..now].chunks_exact(T::BYTES).map(T::get));
    }
    Ok(values)
}
