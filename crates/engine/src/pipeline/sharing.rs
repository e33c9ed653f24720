//! One decode for all pipelines that read a source: a bounded ring of pieces of its partitions, decoded for whoever reads most.
//!
//! Who comes first decodes, who comes after it takes the piece as it is, and who is so far behind that the pieces are gone decodes
//! for itself. A piece has the columns of all readers; those that one of them does not read do not change its results, because
//! which records are dead letters does not depend on what is read.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Weak};
use std::time::Duration;

use datafusion::arrow::datatypes::{DataType, Fields, Schema, SchemaRef};
use headwater_base::Offset;
use parking_lot::{Condvar, Mutex};

use super::decoders::Decoders;
use super::input::Taken;

/// Most bytes of the pieces of one source, as records and as rows.
const BYTES_MAX: usize = 32 * 1024 * 1024;
/// How long a piece that somebody else decodes is waited for at a time.
const PATIENCE: Duration = Duration::from_millis(200);

/// The sources that are read, by their definition and topic.
#[derive(Default)]
pub struct Sharings(Mutex<HashMap<String, Weak<Sharing>>>);

impl Sharings {
    /// The one of a source; `key` says all that decides how its records are decoded.
    pub fn of(&self, key: String) -> Arc<Sharing> {
        let mut known = self.0.lock();
        known.retain(|_, sharing| sharing.strong_count() > 0);
        if let Some(sharing) = known.get(&key).and_then(Weak::upgrade) {
            return sharing;
        }
        let fresh = Arc::new(Sharing::default());
        known.insert(key, Arc::downgrade(&fresh));
        fresh
    }
}

/// See the module's description.
#[derive(Default)]
pub struct Sharing {
    state: Mutex<State>,
    decoded: Condvar,
}

#[derive(Default)]
struct State {
    next_id: u64,
    readers: Vec<u64>,
    /// What all readers read together, and how often that has grown.
    read: Option<SchemaRef>,
    version: u64,
    decoders: Option<Arc<Decoders>>,
    pieces: BTreeMap<(i32, Offset), Slot>,
    order: VecDeque<(i32, Offset)>,
    bytes: usize,
}

enum Slot {
    /// Somebody is at it.
    Busy,
    Ready(Piece),
}

struct Piece {
    taken: Taken,
    end: Offset,
    version: u64,
    bytes: usize,
    /// Readers that have had it.
    had: usize,
}

/// A reader's place among the others.
pub struct Member {
    sharing: Arc<Sharing>,
    id: u64,
    /// Pieces before this version lack some of its columns.
    since: u64,
}

enum Found {
    Piece(Taken, Offset),
    /// To be decoded and put there.
    Missing(Arc<Decoders>, u64),
    /// Behind the others.
    Late,
}

impl Member {
    /// Joins those who read a source. `read` is the part of `whole` that this one reads; `make` makes decoders for a part.
    pub fn join(
        sharing: &Arc<Sharing>,
        whole: &SchemaRef,
        read: &SchemaRef,
        make: impl FnOnce(SchemaRef) -> Decoders,
    ) -> Self {
        let mut state = sharing.state.lock();
        let known = match &state.read {
            Some(known) => Arc::new(Schema::new(both(
                whole.fields(),
                known.fields(),
                read.fields(),
            ))),
            None => Arc::clone(read),
        };
        if state.read.as_ref() != Some(&known) {
            state.version += 1;
            state.decoders = Some(Arc::new(make(Arc::clone(&known))));
            state.read = Some(known);
        }
        state.next_id += 1;
        let (id, since) = (state.next_id, state.version);
        state.readers.push(id);
        drop(state);
        Self {
            sharing: Arc::clone(sharing),
            id,
            since,
        }
    }

    /// Whether anybody else reads the source.
    pub fn has_others(&self) -> bool {
        self.sharing.state.lock().readers.len() > 1
    }

    /// What comes at `from` of a partition, decoded; `read` reads it from the log. `None`: whoever asks has to do it.
    pub fn take(
        &self,
        partition: i32,
        from: Offset,
        read: impl FnOnce() -> std::io::Result<(Taken, Offset)>,
    ) -> std::io::Result<Option<(Taken, Offset)>> {
        let (decoders, version) = match self.find(partition, from) {
            Found::Piece(taken, end) => return Ok(Some((taken, end))),
            Found::Late => return Ok(None),
            Found::Missing(decoders, version) => (decoders, version),
        };
        // Also when it fails, those who wait must not do so for ever.
        let mut busy = Busy {
            sharing: &self.sharing,
            at: Some((partition, from)),
        };
        let (mut taken, end) = read()?;
        if taken.range.next <= from {
            return Ok(Some((taken, end)));
        }
        let decoded = decoders.decode(&taken).map_err(std::io::Error::other)?;
        taken.decoded = Some(decoded);
        busy.at = None;
        self.sharing.put(&taken, end, version);
        Ok(Some((taken, end)))
    }

    fn find(&self, partition: i32, from: Offset) -> Found {
        let mut state = self.sharing.state.lock();
        loop {
            let newest = (partition, Offset::MIN)..=(partition, from);
            let near = state.pieces.range(newest).next_back();
            match near.map(|(at, slot)| (*at, slot)) {
                Some(((_, begin), Slot::Busy)) if begin == from => {
                    let waited = self.sharing.decoded.wait_for(&mut state, PATIENCE);
                    if waited.timed_out() {
                        return Found::Late;
                    }
                }
                Some((at, Slot::Ready(piece))) if piece.taken.range.next > from => {
                    if piece.version < self.since {
                        return Found::Late;
                    }
                    let found = (piece.taken.from(from), piece.end);
                    state.had(at);
                    return Found::Piece(found.0, found.1);
                }
                _ => return state.begin(partition, from),
            }
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut state = self.sharing.state.lock();
        state.readers.retain(|id| *id != self.id);
        if state.readers.len() <= 1 {
            state.pieces.retain(|_, slot| matches!(slot, Slot::Busy));
            state.order.clear();
            state.bytes = 0;
        }
    }
}

impl Sharing {
    fn put(&self, taken: &Taken, end: Offset, version: u64) {
        let rows = taken.decoded.as_ref();
        let rows = rows.map_or(0, |decoded| decoded.rows.get_array_memory_size());
        let bytes = taken.bytes() + rows;
        let at = (taken.range.partition, taken.range.from);
        let piece = Piece {
            taken: taken.clone(),
            end,
            version,
            bytes,
            had: 1,
        };
        let mut state = self.state.lock();
        state.pieces.insert(at, Slot::Ready(piece));
        state.order.push_back(at);
        state.bytes += bytes;
        while state.bytes > BYTES_MAX {
            let Some(oldest) = state.order.pop_front() else {
                break;
            };
            state.remove(oldest);
        }
        drop(state);
        self.decoded.notify_all();
    }
}

impl State {
    /// Makes a place for a piece that is not there, unless newer ones are: they are not to be driven out by who is behind.
    fn begin(&mut self, partition: i32, from: Offset) -> Found {
        let newer = (partition, from)..=(partition, Offset::MAX);
        let (Some(decoders), None) = (&self.decoders, self.pieces.range(newer).next()) else {
            return Found::Late;
        };
        let found = Found::Missing(Arc::clone(decoders), self.version);
        self.pieces.insert((partition, from), Slot::Busy);
        found
    }

    /// One more reader has had a piece; after the last nobody needs it.
    fn had(&mut self, at: (i32, Offset)) {
        let readers = self.readers.len();
        if let Some(Slot::Ready(piece)) = self.pieces.get_mut(&at) {
            piece.had += 1;
            if piece.had >= readers {
                self.remove(at);
                self.order.retain(|known| *known != at);
            }
        }
    }

    fn remove(&mut self, at: (i32, Offset)) {
        if let Some(Slot::Ready(piece)) = self.pieces.remove(&at) {
            self.bytes = self.bytes.saturating_sub(piece.bytes);
        }
    }
}

/// Takes the mark of a piece away that did not come about.
struct Busy<'a> {
    sharing: &'a Sharing,
    at: Option<(i32, Offset)>,
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        if let Some(at) = self.at {
            self.sharing.state.lock().pieces.remove(&at);
            self.sharing.decoded.notify_all();
        }
    }
}

/// What is in one part of `whole` or in the other.
fn both(whole: &Fields, one: &Fields, other: &Fields) -> Fields {
    let field = |field: &Arc<datafusion::arrow::datatypes::Field>| {
        let found = |part: &Fields| part.find(field.name()).map(|(_, part)| Arc::clone(part));
        match (found(one), found(other)) {
            (Some(a), Some(b)) => match (field.data_type(), a.data_type(), b.data_type()) {
                (DataType::Struct(whole), DataType::Struct(a), DataType::Struct(b)) => {
                    let joined = DataType::Struct(both(whole, a, b));
                    Some(Arc::new(field.as_ref().clone().with_data_type(joined)))
                }
                _ => Some(Arc::clone(field)),
            },
            (one, other) => one.or(other),
        }
    };
    whole.iter().filter_map(field).collect()
}

#[cfg(test)]
#[path = "sharing_tests.rs"]
mod tests;
