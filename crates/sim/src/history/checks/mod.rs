//! One file per kind of promise; each looks at the whole model and gives what is broken.

mod copies;
mod offsets;
mod reads;
mod transactions;
mod writes;

use super::model::Model;
use super::{Finding, Kind};

/// A promise.
pub type Check = fn(&Model) -> Vec<Finding>;

/// Every promise.
pub const ALL: &[Check] = &[
    writes::lost,
    writes::newest_lost,
    writes::duplicated,
    writes::reordered,
    writes::invented,
    writes::fenced,
    transactions::aborted_reads,
    transactions::dirty_reads,
    transactions::torn,
    transactions::half_visible,
    reads::differ,
    reads::skipped,
    reads::resurrected,
    offsets::marks_fall,
    offsets::positions_fall,
    copies::inexact,
];

fn finding(kind: Kind, what: String) -> Finding {
    Finding { kind, what }
}
