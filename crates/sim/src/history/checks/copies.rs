//! Consume-transform-produce: every input below the group's committed offset has exactly one output, and no other has one.

use std::collections::BTreeMap;

use super::finding;
use crate::history::event::{Id, Isolation, Place, Source};
use crate::history::model::{Model, Offset};
use crate::history::{Finding, Kind};

/// See the module.
pub fn inexact(model: &Model) -> Vec<Finding> {
    let mut outputs: BTreeMap<&Source, &Id> = BTreeMap::new();
    let mut found = Vec::new();
    for (_, records) in model.all_held(Isolation::Committed) {
        for id in records.values() {
            let Some(source) = model.sent.get(id).and_then(|sent| sent.source.as_ref()) else {
                continue;
            };
            if let Some(other) = outputs.insert(source, id) {
                found.push(finding(
                    Kind::InexactCopy,
                    format!("{source:?} was copied as {other:?} and as {id:?}"),
                ));
            }
        }
    }
    for (group, at, end) in ends(model, &outputs) {
        let inputs = model.held(Isolation::Committed, at).into_iter().flatten();
        for (offset, input) in inputs {
            let source = Source {
                group: group.to_owned(),
                at: at.clone(),
                offset: *offset,
            };
            let copied = outputs.contains_key(&source);
            if copied != (*offset < end) {
                let what = format!(
                    "group {group} is at {end} of {at:?}; {input:?} at {offset}: copied {copied}"
                );
                found.push(finding(Kind::InexactCopy, what));
            }
        }
    }
    found
}

/// Where each copying group stands at the end, as the last answer said.
fn ends<'a>(
    model: &'a Model,
    outputs: &BTreeMap<&'a Source, &'a Id>,
) -> Vec<(&'a str, &'a Place, i64)> {
    let copies = |group: &str| outputs.keys().any(|source| source.group == group);
    let last = |all: &[Offset]| {
        all.iter().rev().find_map(|one| match one {
            Offset::Seen { offset, .. } => Some(*offset),
            Offset::Offered { .. } => None,
        })
    };
    let groups = model.offsets.iter().filter(|((group, _), _)| copies(group));
    groups
        .filter_map(|((group, at), all)| Some((group.as_str(), at, last(all)?)))
        .collect()
}
