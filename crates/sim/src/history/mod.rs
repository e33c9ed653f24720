//! Histories: what clients did and saw, in the order in which it happened, and what must never be found in one.
//!
//! A history is a file of JSON lines, one [`Line`] each. The simulation and the runs against real processes write the same
//! events, and one checker reads both. It knows Kafka's promises and nothing of how they are kept.
//!
//! Reading order: [`event`], [`model`] (the events sorted by what they are about), [`checks`] (one promise each).

mod checks;
mod event;
mod model;

use std::fmt;

pub use event::{AUDIT, Event, Id, Isolation, Line, Place, Source};

/// A promise that a history breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Acked, and not there at the end.
    Lost,
    /// There more than once.
    Duplicated,
    /// A producer's records in another order than it sent them.
    Reordered,
    /// A record of an aborted transaction reached a read_committed reader (G1a).
    AbortedRead,
    /// A record of a transaction reached a read_committed reader before its producer asked to commit.
    DirtyRead,
    /// A transaction seen in one place and not in another.
    TornTransaction,
    /// A high watermark, stable offset, start offset or committed offset that fell.
    WentBack,
    /// One offset held two different records, or one that is not there at the end.
    Differs,
    /// A reader passed over a record that it should have been given.
    Skipped,
    /// A write of a producer that had been fenced.
    FencedWrite,
    /// A deleted record came back.
    Resurrected,
    /// A record that nobody sent.
    Invented,
    /// Consume-transform-produce handled an input twice, or not at all.
    InexactCopy,
}

/// One broken promise, with the evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub kind: Kind,
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.what)
    }
}

/// Everything that is wrong with a history, which must end with the audit: a whole read of every partition under the name
/// [`AUDIT`], in both isolations.
pub fn check(lines: &[Line]) -> Vec<Finding> {
    let model = model::Model::of(lines);
    checks::ALL.iter().flat_map(|check| check(&model)).collect()
}

/// Reads JSON lines and puts them in order of time.
///
/// # Errors
/// The line that is no event.
pub fn parse(text: &str) -> Result<Vec<Line>, String> {
    let parse = |(number, line)| {
        serde_json::from_str(line).map_err(|error| format!("line {}: {error}: {line}", number + 1))
    };
    let lines = text.lines().enumerate();
    let mut lines: Vec<Line> = lines
        .filter(|(_, line)| !line.trim().is_empty())
        .map(parse)
        .collect::<Result<_, _>>()?;
    lines.sort_by_key(|line: &Line| line.t);
    Ok(lines)
}

#[cfg(test)]
mod tests;
