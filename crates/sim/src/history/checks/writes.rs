//! What writers were promised: everything acked is there once, in order, and nothing else is.

use std::collections::{BTreeMap, HashMap};

use super::finding;
use crate::history::event::{Id, Isolation, Place};
use crate::history::model::{Model, Sent};
use crate::history::{Finding, Kind};

/// Whether the record counts when its transaction counts.
fn must_be_there(model: &Model, id: &Id, sent: &Sent) -> bool {
    let granted = sent.txn.is_none() || model.txn_of(id).is_some_and(|txn| txn.committed.is_some());
    sent.acked && granted
}

/// Acked records that neither isolation shows at the end.
pub fn lost(model: &Model) -> Vec<Finding> {
    let mut places: HashMap<&Id, i64> = HashMap::new();
    for (_, records) in model.all_held(Isolation::Committed) {
        places.extend(records.iter().map(|(offset, id)| (id, *offset)));
    }
    let missing = |(id, sent): &(&Id, &Sent)| {
        let trimmed = |offset| offset < model.start(&sent.at);
        must_be_there(model, id, sent)
            && !places.contains_key(*id)
            && !model.compacted.contains(&sent.at)
            && !sent.offset.is_some_and(trimmed)
            && (sent.offset.is_some() || model.start(&sent.at) <= 0)
    };
    let tell = |(id, sent): (&Id, &Sent)| {
        let (at, offset) = (&sent.at, sent.offset);
        finding(
            Kind::Lost,
            format!("{id:?} was acked in {at:?} at {offset:?} and is gone"),
        )
    };
    let mut found: Vec<Finding> = model.sent.iter().filter(missing).map(tell).collect();
    found.sort_by(|a, b| a.what.cmp(&b.what));
    found
}

/// Keys of compacted partitions whose newest record is gone.
pub fn newest_lost(model: &Model) -> Vec<Finding> {
    let mut newest: BTreeMap<(&Place, &str), (i64, &Id)> = BTreeMap::new();
    for (id, sent) in &model.sent {
        let (Some(key), Some(offset)) = (&sent.key, sent.offset) else {
            continue;
        };
        if model.compacted.contains(&sent.at) && must_be_there(model, id, sent) {
            let one = newest.entry((&sent.at, key)).or_insert((offset, id));
            *one = (*one).max((offset, id));
        }
    }
    let empty = BTreeMap::new();
    let mut found = Vec::new();
    for ((at, key), (offset, id)) in newest {
        let held = model.held(Isolation::Committed, at).unwrap_or(&empty);
        let same = |id: &&Id| {
            model
                .sent
                .get(*id)
                .is_some_and(|sent| sent.key.as_deref() == Some(key))
        };
        if !held.range(offset..).any(|(_, id)| same(&id)) {
            let what = format!(
                "{id:?}, the newest of key {key}, was acked in {at:?} at {offset} and is gone"
            );
            found.push(finding(Kind::Lost, what));
        }
    }
    found
}

/// Records that are held twice, or elsewhere than their ack said.
pub fn duplicated(model: &Model) -> Vec<Finding> {
    let mut first: HashMap<&Id, i64> = HashMap::new();
    let mut found = Vec::new();
    for (at, records) in model.all_held(Isolation::Uncommitted) {
        for (offset, id) in records {
            if let Some(before) = first.insert(id, *offset) {
                let what = format!("{id:?} is in {at:?} at {before} and at {offset}");
                found.push(finding(Kind::Duplicated, what));
            }
            let told = model.sent.get(id).and_then(|sent| sent.offset);
            if told.is_some_and(|told| told != *offset) {
                let what = format!("{id:?} is in {at:?} at {offset}, its ack said {told:?}");
                found.push(finding(Kind::Differs, what));
            }
        }
    }
    found
}

/// Records of one writer in another order than it sent them.
pub fn reordered(model: &Model) -> Vec<Finding> {
    let mut found = Vec::new();
    for (at, records) in model.all_held(Isolation::Uncommitted) {
        let mut newest: HashMap<&str, (u64, i64)> = HashMap::new();
        for (offset, id) in records {
            let before = newest.insert(&id.writer, (id.n, *offset));
            if let Some((n, earlier)) = before.filter(|(n, _)| *n > id.n) {
                let what = format!(
                    "{at:?}: number {n} of {} at {earlier} is before {} at {offset}",
                    id.writer, id.n
                );
                found.push(finding(Kind::Reordered, what));
            }
        }
    }
    found
}

/// Records that nobody sent, or that were sent to another partition.
pub fn invented(model: &Model) -> Vec<Finding> {
    let mut found = Vec::new();
    for read in &model.reads {
        for (offset, id) in &read.records {
            if model.sent.get(id).is_none_or(|sent| sent.at != read.at) {
                let what = format!("{} read {id:?} in {:?} at {offset}", read.reader, read.at);
                found.push(finding(Kind::Invented, what));
            }
        }
    }
    found
}

/// Records that a writer sent, and commits it asked for, after a newer writer of its transactional id had its epoch.
pub fn fenced(model: &Model) -> Vec<Finding> {
    let mut ends: HashMap<&str, usize> = HashMap::new();
    for writers in model.inits.values() {
        for (place, (writer, _, had)) in writers.iter().enumerate() {
            // Answers may overtake each other: only who asked after this one had its epoch is newer for certain.
            let newer =
                |other: &&(String, u64, usize)| other.0 != *writer && other.1 > model.times[*had];
            if let Some(fence) = writers[place..].iter().find(newer) {
                ends.insert(writer, fence.2);
            }
        }
    }
    let mut found = Vec::new();
    for (isolation, late) in [
        (Isolation::Uncommitted, "sent"),
        (Isolation::Committed, "committed"),
    ] {
        for (at, records) in model.all_held(isolation) {
            for (offset, id) in records {
                let Some(end) = ends.get(id.writer.as_str()) else {
                    continue;
                };
                let sent = model.sent.get(id).map(|sent| sent.when);
                let asked = model.txn_of(id).and_then(|txn| txn.commit);
                let when = if isolation == Isolation::Uncommitted {
                    sent
                } else {
                    asked
                };
                if when.is_some_and(|when| when > *end) {
                    let what = format!(
                        "{id:?} in {at:?} at {offset} was {late} after its writer was fenced"
                    );
                    found.push(finding(Kind::FencedWrite, what));
                }
            }
        }
    }
    found
}
