//! Reading and writing the fields of this crate's records: lengths are checked before anything is taken or allocated.
//!
//! ```text
//! text, bytes: length u32 | bytes        option: 0 u8, or 1 u8 | value        list: count u32 | values
//! ```

use bytes::{Buf, BufMut, Bytes};

pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.put_u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    out.put_slice(bytes);
}

pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    put_bytes(out, text.as_bytes());
}

pub(crate) fn put_option(out: &mut Vec<u8>, text: Option<&str>) {
    out.put_u8(text.is_some().into());
    if let Some(text) = text {
        put_text(out, text);
    }
}

pub(crate) fn put_count(out: &mut Vec<u8>, count: usize) {
    out.put_u32(u32::try_from(count).unwrap_or(u32::MAX));
}

/// What is left of a record. Every method is `None` at its end.
pub(crate) struct Reader(pub Bytes);

impl Reader {
    pub fn u8(&mut self) -> Option<u8> {
        self.0.try_get_u8().ok()
    }

    pub fn i32(&mut self) -> Option<i32> {
        self.0.try_get_i32().ok()
    }

    pub fn i64(&mut self) -> Option<i64> {
        self.0.try_get_i64().ok()
    }

    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        (self.0.len() >= N)
            .then(|| self.0.split_to(N))?
            .as_ref()
            .try_into()
            .ok()
    }

    pub fn bytes(&mut self) -> Option<Bytes> {
        let length = usize::try_from(self.0.try_get_u32().ok()?).ok()?;
        (length <= self.0.len()).then(|| self.0.split_to(length))
    }

    pub fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?.into()).ok()
    }

    pub fn option(&mut self) -> Option<Option<String>> {
        match self.u8()? {
            0 => Some(None),
            1 => self.text().map(Some),
            _ => None,
        }
    }

    /// A list whose elements take at least one byte each, so that no claimed count makes anything large.
    pub fn list<T>(&mut self, mut one: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = usize::try_from(self.0.try_get_u32().ok()?).ok()?;
        if count > self.0.len() {
            return None;
        }
        (0..count).map(|_| one(self)).collect()
    }
}
