//! How a batch of one side meets the other side's rows.

use hashbrown::HashSet;
use headwater_sql::graph::JoinKind;

use super::output::Out;
use super::{Arrived, Join};
use crate::codec::hash::Fixed;
use crate::delta::Delta;
use crate::eval::broken;
use crate::keys::NONE;
use crate::operator::{OperatorError, StepContext};

/// Most pairs that a residual condition is asked about at once.
const CANDIDATES_MAX: usize = 65_536;

/// A row that came or went, and took effect.
struct Came {
    row: u32,
    key: u32,
    place: u32,
    weight: i64,
}

/// What a batch has led to so far.
#[derive(Default)]
struct Met {
    out: Vec<Out>,
    /// How many of the other side's rows match each row of the batch; only counted under a residual condition.
    matches: Vec<u32>,
    /// Preserved rows of the other side that matched, and their count of matches before; likewise.
    others: Vec<(u32, u32)>,
    seen: Option<HashSet<u32, Fixed>>,
}

impl Join {
    pub(super) fn drive(
        &mut self,
        side: usize,
        arrived: &Arrived,
        ctx: &mut StepContext,
    ) -> Result<Vec<Delta>, OperatorError> {
        let mut met = Met::default();
        let (came, touched) = self.enter(side, arrived, &mut met.out);
        if self.filter.is_some() {
            met.matches = vec![0; arrived.keys.len()];
            self.meet_under_filter(side, &came, arrived, &mut met, ctx)?;
            self.settle_counted(side, &came, &mut met);
        } else {
            self.meet(side, &came, &mut met.out);
            self.settle_by_key(side, &came, &touched, &mut met.out);
        }
        let out = self.output(&met.out, arrived, side)?;
        self.forget_keys(arrived);
        Ok(out)
    }

    /// Takes the batch into its side's state: the rows that took effect, and (where the other side waits for a first or last match) the keys
    /// that changed, in order, and whether they had no row before.
    fn enter(
        &mut self,
        side: usize,
        arrived: &Arrived,
        out: &mut Vec<Out>,
    ) -> (Vec<Came>, Vec<(u32, bool)>) {
        let mut came = Vec::with_capacity(arrived.changes.len());
        let mut touched: Vec<(u32, bool)> = Vec::new();
        let waited_for = self.preserves(1 - side) && self.filter.is_none();
        let mut seen: HashSet<u32, Fixed> = HashSet::with_hasher(Fixed::with_seed(0));
        for (row, weight) in &arrived.changes {
            let key = arrived.keys[*row as usize];
            if key == NONE {
                if self.preserves(side) {
                    self.stand(*row, *weight, false, out);
                }
                continue;
            }
            if waited_for && seen.insert(key) {
                touched.push((key, self.sides[side].is_empty(key)));
            }
            let bytes = arrived.rows.get(*row as usize);
            let Some(applied) = self.sides[side].apply(key, bytes, *weight) else {
                self.warn_missing();
                continue;
            };
            if let Some(time) = arrived.times.get(*row as usize) {
                self.wait(side, *time, key, applied.row);
            }
            came.push(Came {
                row: *row,
                key,
                place: applied.row,
                weight: applied.weight,
            });
        }
        (came, touched)
    }

    /// Pairs by key alone.
    fn meet(&self, side: usize, came: &[Came], out: &mut Vec<Out>) {
        if self.kind.only_left() {
            return;
        }
        let other = &self.sides[1 - side];
        for one in came {
            for theirs in other.of_key(one.key) {
                let weight = one.weight * i64::from(other.count(theirs));
                out.push(Out::pair(one.row, theirs, weight));
            }
        }
    }

    /// The state of a match follows from the keys: rows that came look for the other side's, preserved rows of the other side turn together.
    fn settle_by_key(
        &self,
        side: usize,
        came: &[Came],
        touched: &[(u32, bool)],
        out: &mut Vec<Out>,
    ) {
        if self.preserves(side) {
            for one in came {
                let matched = !self.sides[1 - side].is_empty(one.key);
                self.stand(one.row, one.weight, matched, out);
            }
        }
        for (key, was_empty) in touched {
            let is_empty = self.sides[side].is_empty(*key);
            if *was_empty != is_empty {
                for place in self.sides[1 - side].of_key(*key) {
                    self.turn(1 - side, place, !is_empty, out);
                }
            }
        }
    }

    /// Pairs that the residual condition holds for, in portions.
    fn meet_under_filter(
        &mut self,
        side: usize,
        came: &[Came],
        arrived: &Arrived,
        met: &mut Met,
        ctx: &mut StepContext,
    ) -> Result<(), OperatorError> {
        let mut pairs = Vec::new();
        for one in came {
            // Rows of one key may be many: portions are cut within a key too.
            let mut place = self.sides[1 - side].first(one.key);
            while place != NONE {
                let weight = one.weight * i64::from(self.sides[1 - side].count(place));
                pairs.push(Out::pair(one.row, place, weight));
                place = self.sides[1 - side].next(place);
                if pairs.len() == CANDIDATES_MAX {
                    let held = self.matching(std::mem::take(&mut pairs), arrived, side, ctx)?;
                    self.count(side, held, came, met);
                }
            }
        }
        let held = self.matching(pairs, arrived, side, ctx)?;
        self.count(side, held, came, met);
        Ok(())
    }

    fn count(&mut self, side: usize, held: Vec<Out>, came: &[Came], met: &mut Met) {
        let others_wait = self.preserves(1 - side);
        let mut at = 0;
        for pair in &held {
            // Pairs come in the order of the rows that came.
            while came.get(at).is_some_and(|c| c.row != pair.ours) {
                at += 1;
            }
            let Some(one) = came.get(at) else { break };
            met.matches[pair.ours as usize] += self.sides[1 - side].count(pair.theirs);
            if others_wait {
                let matches = self.sides[1 - side].matches(pair.theirs);
                let seen = met
                    .seen
                    .get_or_insert_with(|| HashSet::with_hasher(Fixed::with_seed(0)));
                if seen.insert(pair.theirs) {
                    met.others.push((pair.theirs, *matches));
                }
                *matches = (i64::from(*matches) + one.weight).clamp(0, i64::from(u32::MAX)) as u32;
            }
        }
        if !self.kind.only_left() {
            met.out.extend(held);
        }
    }

    /// Under a residual condition each preserved row counts its own matches.
    fn settle_counted(&mut self, side: usize, came: &[Came], met: &mut Met) {
        if self.preserves(side) {
            for one in came {
                let count = met.matches[one.row as usize];
                if self.sides[side].count(one.place) > 0 {
                    *self.sides[side].matches(one.place) = count;
                }
                self.stand(one.row, one.weight, count > 0, &mut met.out);
            }
        }
        for (place, before) in std::mem::take(&mut met.others) {
            let after = *self.sides[1 - side].matches(place);
            if (before == 0) != (after == 0) {
                self.turn(1 - side, place, after > 0, &mut met.out);
            }
        }
    }

    /// What stands for a preserved row of the batch itself, beside its pairs.
    fn stand(&self, row: u32, weight: i64, matched: bool, out: &mut Vec<Out>) {
        let there = match self.kind {
            JoinKind::Semi => matched,
            JoinKind::Mark => true,
            _ => !matched,
        };
        if there {
            out.push(Out {
                mark: matched,
                ..Out::pair(row, NONE, weight)
            });
        }
    }

    /// A preserved row in state has got its first match, or lost its last.
    fn turn(&self, side: usize, place: u32, matched: bool, out: &mut Vec<Out>) {
        let count = i64::from(self.sides[side].count(place));
        let mut add = |mark: bool, weight: i64| {
            out.push(Out {
                mark,
                ..Out::pair(NONE, place, weight)
            });
        };
        let sign = if matched { count } else { -count };
        match self.kind {
            JoinKind::Semi => add(true, sign),
            JoinKind::Mark => {
                add(!matched, -count);
                add(matched, count);
            }
            _ => add(false, -sign),
        }
    }

    fn warn_missing(&self) {
        tracing::warn!(
            operator = self.key,
            "a row was taken back that was not there"
        );
    }

    /// Keys that neither side has any more.
    fn forget_keys(&mut self, arrived: &Arrived) {
        // Netting drops rows, whose keys may be new all the same.
        let goes = arrived.changes.iter().any(|(_, weight)| *weight < 0);
        if !goes && arrived.changes.len() == arrived.keys.len() {
            return;
        }
        let mut gone: Vec<u32> = arrived.keys.clone();
        gone.sort_unstable();
        gone.dedup();
        gone.retain(|key| *key != NONE && self.sides.iter().all(|s| s.is_empty(*key)));
        gone.into_iter().for_each(|key| self.keys.remove(key));
    }

    pub(super) fn broken(&self, reason: impl std::fmt::Display) -> OperatorError {
        broken(&self.key, reason)
    }
}
