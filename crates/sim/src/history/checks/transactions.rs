//! What readers of committed records were promised: whole transactions, once they are committed, and nothing else.

use std::collections::{BTreeMap, HashMap};

use super::finding;
use crate::history::event::{Id, Isolation, Place};
use crate::history::model::{Model, Read};
use crate::history::{Finding, Kind};

fn committed_reads(model: &Model) -> impl Iterator<Item = &Read> {
    let committed = |read: &&Read| read.isolation == Isolation::Committed;
    model.reads.iter().filter(committed)
}

/// Records of transactions that were aborted and never asked to commit (G1a).
pub fn aborted_reads(model: &Model) -> Vec<Finding> {
    let mut found = Vec::new();
    for read in committed_reads(model) {
        for (offset, id) in &read.records {
            let aborted =
                |txn: &&crate::history::model::Txn| txn.abort.is_some() && txn.commit.is_none();
            if model.txn_of(id).as_ref().is_some_and(aborted) {
                let what = format!("{} read {id:?} in {:?} at {offset}", read.reader, read.at);
                found.push(finding(Kind::AbortedRead, what));
            }
        }
    }
    found
}

/// Records that were read before their producer asked to commit.
pub fn dirty_reads(model: &Model) -> Vec<Finding> {
    let mut found = Vec::new();
    for read in committed_reads(model) {
        for (offset, id) in &read.records {
            let Some(txn) = model
                .txn_of(id)
                .filter(|txn| txn.abort.is_none() || txn.commit.is_some())
            else {
                continue;
            };
            if txn.commit.is_none_or(|commit| commit > read.when) {
                let what = format!("{} read {id:?} in {:?} at {offset}", read.reader, read.at);
                found.push(finding(Kind::DirtyRead, what));
            }
        }
    }
    found
}

/// Transactions of which some acked records are there at the end and others are not.
pub fn torn(model: &Model) -> Vec<Finding> {
    let empty = BTreeMap::new();
    let mut found = Vec::new();
    for ((writer, number), txn) in &model.txns {
        let (mut there, mut missing) = (Vec::new(), Vec::new());
        for id in &txn.records {
            let Some(sent) = model.sent.get(id).filter(|sent| sent.acked) else {
                continue;
            };
            if model.start(&sent.at) > 0 || model.compacted.contains(&sent.at) {
                continue;
            }
            let held = model.held(Isolation::Committed, &sent.at).unwrap_or(&empty);
            let is_there = match sent.offset {
                Some(offset) => held.get(&offset) == Some(id),
                None => held.values().any(|one| one == id),
            };
            if is_there { &mut there } else { &mut missing }.push(id.n);
        }
        if !there.is_empty() && !missing.is_empty() {
            let what =
                format!("transaction {number} of {writer}: {there:?} is there, {missing:?} is not");
            found.push(finding(Kind::TornTransaction, what));
        }
    }
    found
}

/// Transactions of which one partition showed records while another still held them back.
pub fn half_visible(model: &Model) -> Vec<Finding> {
    let mut seen: BTreeMap<(&str, u64), u64> = BTreeMap::new();
    for read in committed_reads(model) {
        for (_, id) in &read.records {
            if let Some(number) = model.sent.get(id).and_then(|sent| sent.txn) {
                let first = seen.entry((&id.writer, number)).or_insert(u64::MAX);
                *first = (*first).min(model.times[read.when]);
            }
        }
    }
    let latest = latest_stable(model);
    let mut found = Vec::new();
    for ((writer, number), first) in seen {
        for (at, offset) in places(model, writer, number) {
            let since = latest.get(&(&at, offset)).copied().unwrap_or(0);
            if since > first {
                let what = format!(
                    "transaction {number} of {writer} was read at {first}; asked at {since}, the stable offset of {at:?} was {offset}, where it begins there"
                );
                found.push(finding(Kind::TornTransaction, what));
            }
        }
    }
    found
}

/// When it was asked last that a partition's stable offset was this. A stable offset is the beginning of the oldest
/// transaction that is open.
fn latest_stable(model: &Model) -> HashMap<(&Place, i64), u64> {
    let mut latest = HashMap::new();
    for ((_, at), marks) in &model.marks {
        for mark in marks.iter().filter(|mark| mark.stable < mark.high) {
            let since = latest.entry((at, mark.stable)).or_insert(mark.since);
            *since = mark.since.max(*since);
        }
    }
    latest
}

/// Where the transaction's first record of each partition is.
fn places(model: &Model, writer: &str, number: u64) -> BTreeMap<Place, i64> {
    let txn = model.txns.get(&(writer.to_owned(), number));
    let records = txn.into_iter().flat_map(|txn| &txn.records);
    let mut places = BTreeMap::new();
    for sent in records.filter_map(|id: &Id| model.sent.get(id)) {
        if let Some(offset) = sent.offset {
            let first = places.entry(sent.at.clone()).or_insert(offset);
            *first = offset.min(*first);
        }
    }
    places
}
