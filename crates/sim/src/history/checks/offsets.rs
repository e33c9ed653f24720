//! What only grows: high watermarks, stable offsets, start offsets, committed offsets.

use super::finding;
use crate::history::model::{Model, Offset};
use crate::history::{Finding, Kind};

/// Extents of a partition that one client saw fall.
pub fn marks_fall(model: &Model) -> Vec<Finding> {
    let mut found = Vec::new();
    for ((reader, at), marks) in &model.marks {
        for pair in marks.windows(2) {
            let fell = [
                ("start", pair[0].start, pair[1].start),
                ("high watermark", pair[0].high, pair[1].high),
                ("stable offset", pair[0].stable, pair[1].stable),
            ];
            for (name, before, after) in
                fell.into_iter().filter(|(_, before, after)| after < before)
            {
                let what =
                    format!("{reader} saw the {name} of {at:?} fall from {before} to {after}");
                found.push(finding(Kind::WentBack, what));
            }
            if pair[1].stable > pair[1].high {
                let what = format!(
                    "{reader} saw a stable offset of {at:?} above its high watermark: {:?}",
                    pair[1]
                );
                found.push(finding(Kind::WentBack, what));
            }
        }
    }
    found
}

/// Committed offsets below one that was acked before. Members commit what they have read since they got the
/// partition, from its committed offset on, so that offsets only grow; one whose outcome nobody knows may come late.
pub fn positions_fall(model: &Model) -> Vec<Finding> {
    let mut found = Vec::new();
    for ((group, at), all) in &model.offsets {
        for (place, one) in all.iter().enumerate() {
            let Offset::Seen { since, offset } = one else {
                continue;
            };
            let acked = |one: &Offset| match one {
                Offset::Offered {
                    acked: Some(acked),
                    offset,
                } if acked < since => Some(*offset),
                Offset::Seen {
                    since: before,
                    offset,
                } if before < since => Some(*offset),
                _ => None,
            };
            let newest = all[..place].iter().filter_map(acked).max().unwrap_or(-1);
            let late = |one: &Offset| matches!(one, Offset::Offered { acked: None, offset: open } if open == offset);
            if *offset < newest && !all.iter().any(late) {
                let what =
                    format!("group {group} is at {offset} of {at:?} after it was at {newest}");
                found.push(finding(Kind::WentBack, what));
            }
        }
    }
    found
}
