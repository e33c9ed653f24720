//! Bytes of many small values in few large chunks: 8 bytes of address a value, freed space given back by compaction.

const CHUNK_BYTES_MIN: usize = 4 * 1024;
const CHUNK_BYTES_MAX: usize = 1024 * 1024;

/// Address of a value: chunk in the upper half, offset in the lower. The value's length stands before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span(u64);

impl Span {
    pub(crate) const NONE: Self = Self(u64::MAX);
}

#[derive(Debug, Default)]
pub(crate) struct Arena {
    chunks: Vec<Vec<u8>>,
    used: usize,
    dead: usize,
    held: usize,
}

impl Arena {
    pub(crate) fn put(&mut self, bytes: &[u8]) -> Span {
        let need = bytes.len() + 5;
        if self
            .chunks
            .last()
            .is_none_or(|c| c.capacity() - c.len() < need)
        {
            let grown = self.held.clamp(CHUNK_BYTES_MIN, CHUNK_BYTES_MAX).max(need);
            self.held += grown;
            self.chunks.push(Vec::with_capacity(grown));
        }
        let at = self.chunks.len() - 1;
        let chunk = &mut self.chunks[at];
        let offset = chunk.len();
        put_length(chunk, bytes.len());
        chunk.extend_from_slice(bytes);
        self.used += chunk.len() - offset;
        Span(((at as u64) << 32) | offset as u64)
    }

    pub(crate) fn get(&self, span: Span) -> &[u8] {
        let chunk = &self.chunks[(span.0 >> 32) as usize];
        let (start, length) = length_at(chunk, (span.0 & 0xffff_ffff) as usize);
        &chunk[start..start + length]
    }

    pub(crate) fn free(&mut self, span: Span) {
        let chunk = &self.chunks[(span.0 >> 32) as usize];
        let offset = (span.0 & 0xffff_ffff) as usize;
        let (start, length) = length_at(chunk, offset);
        self.dead += start + length - offset;
    }

    /// Whether more is dead than alive, enough to be worth a copy.
    pub(crate) fn wasteful(&self) -> bool {
        self.dead > CHUNK_BYTES_MIN && self.dead * 2 > self.used
    }

    /// Moves the values at `spans` into fresh chunks; everything else is dropped.
    pub(crate) fn compact<'a>(&mut self, spans: impl Iterator<Item = &'a mut Span>) {
        let mut fresh = Self::default();
        for span in spans.filter(|s| **s != Span::NONE) {
            *span = fresh.put(self.get(*span));
        }
        *self = fresh;
    }

    pub(crate) fn bytes(&self) -> usize {
        self.held
    }
}

fn put_length(chunk: &mut Vec<u8>, mut length: usize) {
    while length >= 0x80 {
        chunk.push(length as u8 | 0x80);
        length >>= 7;
    }
    chunk.push(length as u8);
}

fn length_at(chunk: &[u8], mut at: usize) -> (usize, usize) {
    let (mut length, mut shift) = (0, 0);
    loop {
        let byte = chunk[at];
        at += 1;
        length |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return (at, length);
        }
        shift += 7;
    }
}
