//! Fetch sessions (KIP-227): what a client reads is remembered, so that a consumer of ten thousand partitions names only those whose
//! position moved, and is told only of those with news.
//!
//! Epochs guard against lost or repeated requests: each must carry the number that the one before was followed by. Sessions are
//! a cache: bounded in number and in partitions, and a client whose session is gone names everything again.
//!
//! Knows positions and what was told; reads no log.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use headwater_broker::{FetchItem, TopicRef};
use headwater_wire::ErrorCode;
use headwater_wire::messages::fetch_response::PartitionData;
use parking_lot::Mutex;

/// Sessions at most (Kafka's `max.incremental.fetch.session.cache.slots`).
const SESSIONS_MAX: usize = 1_000;
/// Partitions of all sessions at most: about 100 MB.
const PARTITIONS_MAX: usize = 500_000;
/// How long a session is safe from being replaced (Kafka's `min.incremental.fetch.session.eviction.ms`).
const SAFE_MS: i64 = 120_000;

/// `session_id` of a request or an answer without a session.
pub(crate) const NO_SESSION: i32 = 0;
/// `session_epoch` of a request that wants no session, and ends the one it names.
pub(crate) const FINAL_EPOCH: i32 = -1;
/// `session_epoch` of a request that wants a new session.
pub(crate) const INITIAL_EPOCH: i32 = 0;
/// What is remembered of a partition that was told with an error: anything that comes next is news.
const NOTHING_TOLD: i64 = -1;

/// A partition as requests name it.
type Key = (TopicRef, i32);

/// A partition of a session, and what the client was last told of it.
struct Cached {
    item: FetchItem,
    high_watermark: i64,
    log_start: i64,
}

/// What one client reads.
pub(crate) struct Session {
    pub id: i32,
    /// That the next request has to carry.
    epoch: i32,
    /// Whether topics are named by id.
    by_id: bool,
    /// In the order in which they are served.
    queue: BTreeMap<u64, Cached>,
    places: HashMap<Key, u64>,
    next_place: u64,
}

impl Session {
    fn new(id: i32, by_id: bool, items: &[FetchItem]) -> Self {
        let mut session = Self {
            id,
            epoch: after(INITIAL_EPOCH),
            by_id,
            queue: BTreeMap::new(),
            places: HashMap::new(),
            next_place: 0,
        };
        items.iter().for_each(|item| session.set(item.clone()));
        session
    }

    /// Adds a partition behind all others, or moves its position.
    fn set(&mut self, item: FetchItem) {
        let key = (item.topic.clone(), item.partition);
        if let Some(known) = self
            .places
            .get(&key)
            .and_then(|place| self.queue.get_mut(place))
        {
            known.item = item;
            return;
        }
        self.places.insert(key, self.next_place);
        let cached = Cached {
            item,
            high_watermark: NOTHING_TOLD,
            log_start: NOTHING_TOLD,
        };
        self.queue.insert(self.next_place, cached);
        self.next_place += 1;
    }

    fn forget(&mut self, key: &Key) {
        if let Some(place) = self.places.remove(key) {
            self.queue.remove(&place);
        }
    }

    fn items(&self) -> Vec<FetchItem> {
        self.queue
            .values()
            .map(|cached| cached.item.clone())
            .collect()
    }

    /// Whether there is news in an answer. A partition that gave records goes behind all others, so that none starves.
    pub fn tell(&mut self, topic: &TopicRef, data: &PartitionData, has_records: bool) -> bool {
        let key = (topic.clone(), data.partition_index);
        let Some(place) = self.places.get_mut(&key) else {
            return true;
        };
        let Some(cached) = self.queue.get_mut(place) else {
            return true;
        };
        let news = has_records
            || data.error_code != 0
            || cached.high_watermark != data.high_watermark
            || cached.log_start != data.log_start_offset;
        cached.high_watermark = match data.error_code {
            0 => data.high_watermark,
            _ => NOTHING_TOLD,
        };
        cached.log_start = data.log_start_offset;
        if has_records && let Some(cached) = self.queue.remove(place) {
            *place = self.next_place;
            self.queue.insert(self.next_place, cached);
            self.next_place += 1;
        }
        news
    }
}

/// Epochs go on with 1 after the largest.
fn after(epoch: i32) -> i32 {
    epoch.checked_add(1).unwrap_or(1)
}

/// A session and what decides about its place in the cache.
struct Slot {
    session: Arc<Mutex<Session>>,
    partitions: usize,
    created_ms: i64,
    used_ms: i64,
}

/// What a request asks for after its session has been looked up.
pub(crate) struct Context {
    /// `None`: without a session.
    pub session: Option<Arc<Mutex<Session>>>,
    /// Only news is told.
    pub incremental: bool,
    pub items: Vec<FetchItem>,
}

impl Context {
    fn without_session(items: Vec<FetchItem>) -> Self {
        Self {
            session: None,
            incremental: false,
            items,
        }
    }
}

/// A request's part about its session.
pub(crate) struct Request {
    pub session_id: i32,
    pub epoch: i32,
    pub by_id: bool,
    pub items: Vec<FetchItem>,
    pub forgotten: Vec<(TopicRef, i32)>,
}

/// All sessions of a node.
#[derive(Default)]
pub(crate) struct FetchSessions(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    slots: HashMap<i32, Slot>,
    partitions: usize,
}

impl FetchSessions {
    /// Finds, makes or ends the session of a request. `random` names a new one.
    ///
    /// # Errors
    /// The session is not there (any more), or the request is not the one that it waits for.
    pub fn open(
        &self,
        request: Request,
        now_ms: i64,
        random: impl FnMut() -> i32,
    ) -> Result<Context, ErrorCode> {
        let mut inner = self.0.lock();
        match request.epoch {
            FINAL_EPOCH => {
                inner.end(request.session_id);
                Ok(Context::without_session(request.items))
            }
            INITIAL_EPOCH => {
                inner.end(request.session_id);
                Ok(inner.begin(request, now_ms, random))
            }
            _ => inner.go_on(request, now_ms),
        }
    }
}

impl Inner {
    fn end(&mut self, id: i32) {
        if let Some(slot) = self.slots.remove(&id) {
            self.partitions -= slot.partitions;
        }
    }

    fn begin(&mut self, request: Request, now_ms: i64, mut random: impl FnMut() -> i32) -> Context {
        let partitions = request.items.len();
        if partitions == 0 || !self.make_room(partitions, now_ms) {
            return Context::without_session(request.items);
        }
        let id = loop {
            let id = random() & i32::MAX;
            if id != NO_SESSION && !self.slots.contains_key(&id) {
                break id;
            }
        };
        let session = Session::new(id, request.by_id, &request.items);
        let session = Arc::new(Mutex::new(session));
        let slot = Slot {
            session: Arc::clone(&session),
            partitions,
            created_ms: now_ms,
            used_ms: now_ms,
        };
        self.slots.insert(id, slot);
        self.partitions += partitions;
        Context {
            session: Some(session),
            incremental: false,
            items: request.items,
        }
    }

    /// Whether a session of so many partitions may be kept; others that are stale, or old and smaller, give way.
    fn make_room(&mut self, partitions: usize, now_ms: i64) -> bool {
        while self.slots.len() >= SESSIONS_MAX || self.partitions + partitions > PARTITIONS_MAX {
            let stale = self
                .slots
                .iter()
                .filter(|(_, slot)| now_ms - slot.used_ms > SAFE_MS)
                .min_by_key(|(id, slot)| (slot.used_ms, **id));
            let smaller = self
                .slots
                .iter()
                .filter(|(_, slot)| {
                    now_ms - slot.created_ms > SAFE_MS && slot.partitions <= partitions
                })
                .min_by_key(|(id, slot)| (slot.partitions, **id));
            let Some(id) = stale.or(smaller).map(|(id, _)| *id) else {
                return false;
            };
            self.end(id);
        }
        true
    }

    fn go_on(&mut self, request: Request, now_ms: i64) -> Result<Context, ErrorCode> {
        let slot = self
            .slots
            .get_mut(&request.session_id)
            .ok_or(ErrorCode::FetchSessionIdNotFound)?;
        let shared = Arc::clone(&slot.session);
        let mut session = shared.lock();
        if request.epoch != session.epoch {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        if request.by_id != session.by_id {
            return Err(ErrorCode::FetchSessionTopicIdError);
        }
        session.epoch = after(session.epoch);
        request.items.into_iter().for_each(|item| session.set(item));
        request.forgotten.iter().for_each(|key| session.forget(key));
        slot.used_ms = now_ms;
        let (before, now) = (slot.partitions, session.queue.len());
        slot.partitions = now;
        self.partitions = self.partitions + now - before;
        if now == 0 || self.partitions > PARTITIONS_MAX {
            // Nothing to remember, or too much: the client is told that there is no session any more.
            let items = session.items();
            self.end(request.session_id);
            return Ok(Context::without_session(items));
        }
        let items = session.items();
        drop(session);
        Ok(Context {
            session: Some(shared),
            incremental: true,
            items,
        })
    }
}

#[cfg(test)]
mod tests;
