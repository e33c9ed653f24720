//! What readers were promised: everybody reads the same, and nothing is left out or comes back.

use std::collections::{BTreeMap, HashMap};

use super::finding;
use crate::history::event::{Id, Place};
use crate::history::model::Model;
use crate::history::{Finding, Kind};

/// Offsets that were read as two different records, or as one that is not there at the end.
pub fn differ(model: &Model) -> Vec<Finding> {
    let mut seen: HashMap<(&Place, i64), (&Id, &str)> = HashMap::new();
    let mut found = Vec::new();
    for read in &model.reads {
        for (offset, id) in &read.records {
            let (first, by) = *seen
                .entry((&read.at, *offset))
                .or_insert((id, &read.reader));
            if first != id {
                let what = format!(
                    "{:?} at {offset}: {by} read {first:?}, {} read {id:?}",
                    read.at, read.reader
                );
                found.push(finding(Kind::Differs, what));
            }
        }
    }
    found
}

/// Reads that do not hold exactly what the log holds in their range.
pub fn skipped(model: &Model) -> Vec<Finding> {
    let empty = BTreeMap::new();
    let mut found = Vec::new();
    let whole = |at: &Place| !model.compacted.contains(at);
    for read in model
        .reads
        .iter()
        .filter(|read| read.from < read.next && whole(&read.at))
    {
        let start = model.start(&read.at).max(read.from);
        let held = model.held(read.isolation, &read.at).unwrap_or(&empty);
        let got: BTreeMap<i64, &Id> = read
            .records
            .iter()
            .map(|(offset, id)| (*offset, id))
            .collect();
        if start < read.next {
            let missing = held
                .range(start..read.next)
                .find(|(offset, _)| !got.contains_key(*offset));
            if let Some((offset, id)) = missing {
                let what = format!(
                    "{} went from {} to {} in {:?} and was not given {id:?} at {offset}",
                    read.reader, read.from, read.next, read.at
                );
                found.push(finding(Kind::Skipped, what));
            }
        }
        let extra = got
            .iter()
            .find(|(offset, _)| **offset >= start && !held.contains_key(*offset));
        if let Some((offset, id)) = extra {
            let what = format!(
                "{} read {id:?} in {:?} at {offset}, where nothing is at the end",
                read.reader, read.at
            );
            found.push(finding(Kind::Differs, what));
        }
        if let Some((offset, id)) = got
            .iter()
            .find(|(offset, _)| !(read.from..read.next).contains(*offset))
        {
            let what = format!(
                "{} asked {:?} from {} and got {id:?} at {offset}",
                read.reader, read.at, read.from
            );
            found.push(finding(Kind::Differs, what));
        }
    }
    found
}

/// Deleted records that were read again.
pub fn resurrected(model: &Model) -> Vec<Finding> {
    let mut found = Vec::new();
    for read in &model.reads {
        let trims = model.trims.get(&read.at).into_iter().flatten();
        let before = trims
            .filter(|(when, _)| *when < read.since)
            .map(|trim| trim.1)
            .max();
        let Some(before) = before else { continue };
        if let Some((offset, id)) = read.records.iter().find(|(offset, _)| *offset < before) {
            let what = format!(
                "{} read {id:?} in {:?} at {offset}, deleted before {before}",
                read.reader, read.at
            );
            found.push(finding(Kind::Resurrected, what));
        }
    }
    found
}
