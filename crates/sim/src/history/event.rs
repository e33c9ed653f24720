//! What is written down. Events are noted by the client that does or sees something, at the moment it does.
//!
//! ```json
//! {"t": 1200, "e": {"Send": {"writer": "p1", "n": 7, "at": ["orders", 0], "txn": null, "source": null}}}
//! {"t": 1350, "e": {"Ack": {"writer": "p1", "n": 7, "offset": 41}}}
//! {"t": 1400, "e": {"Read": {"reader": "c1", "since": 1300, "isolation": "Committed", "at": ["orders", 0], "from": 40, "next": 42, "records": [[41, "p1", 7]]}}}
//! ```

use serde::{Deserialize, Serialize};

/// The reader whose reads at the end are what the log holds.
pub const AUDIT: &str = "audit";

/// An event and when it happened: any unit, the same for all clients.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    pub t: u64,
    pub e: Event,
}

/// A partition: topic and index.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place(pub String, pub i32);

/// A record: its writer, and its number there. Writers are idempotent and number what they send from 0.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Id {
    pub writer: String,
    pub n: u64,
}

/// Where a record was copied from by consume-transform-produce.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Source {
    pub group: String,
    pub at: Place,
    pub offset: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Isolation {
    Committed,
    Uncommitted,
}

/// What happened. `since` is when the question was asked whose answer is noted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// A record is sent for the first time.
    Send {
        writer: String,
        n: u64,
        at: Place,
        /// Number of the writer's transaction that it belongs to.
        #[serde(default)]
        txn: Option<u64>,
        #[serde(default)]
        source: Option<Source>,
        /// Where the partition is compacted.
        #[serde(default)]
        key: Option<String>,
    },
    /// It is durable, at this offset unless that is unknown.
    Ack {
        writer: String,
        n: u64,
        #[serde(default)]
        offset: Option<i64>,
    },
    /// A transactional writer has its epoch: writers of this transactional id that had theirs when it asked are fenced from
    /// now on.
    Init {
        writer: String,
        transactional_id: String,
        since: u64,
    },
    /// A commit is asked for.
    Commit { writer: String, txn: u64 },
    /// It is granted.
    Committed { writer: String, txn: u64 },
    /// An abort is asked for, or the commit was refused for good.
    Abort { writer: String, txn: u64 },
    /// A reader's position moved from `from` to `next`; records with their offset, writer and number.
    Read {
        reader: String,
        since: u64,
        isolation: Isolation,
        at: Place,
        from: i64,
        next: i64,
        records: Vec<(i64, String, u64)>,
    },
    /// What an answer said of a partition.
    Marks {
        reader: String,
        since: u64,
        at: Place,
        start: i64,
        high: i64,
        stable: i64,
    },
    /// A committed offset is sent.
    Offer {
        group: String,
        at: Place,
        offset: i64,
    },
    /// It was acked.
    Offered {
        group: String,
        at: Place,
        offset: i64,
    },
    /// It was refused: it must not count.
    OfferRefused {
        group: String,
        at: Place,
        offset: i64,
    },
    /// The committed offset as the coordinator says; none yet: -1.
    Position {
        group: String,
        since: u64,
        at: Place,
        offset: i64,
    },
    /// From a partition records may go for which newer ones of the same key are there.
    Compacted { at: Place },
    /// Records before this offset are deleted, acked.
    Trimmed { at: Place, before: i64 },
}
