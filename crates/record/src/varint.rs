//! Zigzag variable-length integers (as in Protocol Buffers), at most 5 bytes for 32 bits and 10 for 64.

use crate::error::BatchError;

const CUT: BatchError = BatchError::Invalid("cut or over-long varint");

/// Reads one at `at` and moves it behind.
#[inline]
pub fn read_i64(bytes: &[u8], at: &mut usize) -> Result<i64, BatchError> {
    match read_short(bytes, at) {
        Some(value) => Ok(value),
        None => read_long(bytes, at, 10),
    }
}

/// As [`read_i64`] for what must fit 32 bits.
#[inline]
pub fn read_i32(bytes: &[u8], at: &mut usize) -> Result<i32, BatchError> {
    match read_short(bytes, at) {
        Some(value) => Ok(value as i32),
        None => i32::try_from(read_long(bytes, at, 5)?).map_err(|_| CUT),
    }
}

/// One of one or two bytes, as nearly all are: lengths, deltas within a batch.
#[inline]
fn read_short(bytes: &[u8], at: &mut usize) -> Option<i64> {
    let first = *bytes.get(*at)?;
    if first < 0x80 {
        *at += 1;
        return Some(unzigzag(u64::from(first)));
    }
    let second = *bytes.get(*at + 1)?;
    if second < 0x80 {
        *at += 2;
        return Some(unzigzag(u64::from(first & 0x7f) | u64::from(second) << 7));
    }
    None
}

#[cold]
fn read_long(bytes: &[u8], at: &mut usize, bytes_max: usize) -> Result<i64, BatchError> {
    let mut value = 0u64;
    for (i, &byte) in bytes
        .get(*at..)
        .ok_or(CUT)?
        .iter()
        .take(bytes_max)
        .enumerate()
    {
        if i == 9 && byte > 1 {
            return Err(CUT);
        }
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte < 0x80 {
            *at += i + 1;
            return Ok(unzigzag(value));
        }
    }
    Err(CUT)
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// Appends one.
pub fn write(out: &mut Vec<u8>, value: i64) {
    let mut rest = zigzag(value);
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// How many bytes [`write`] takes for it.
pub fn size(value: i64) -> usize {
    (64 - (zigzag(value) | 1).leading_zeros() as usize).div_ceil(7)
}
