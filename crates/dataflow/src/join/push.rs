//! How a batch of one side meets the other side's rows.

use hashbrown::HashMap;

use super::output::{Pair, Pairs};
use super::{Arrived, Join};
use crate::codec::hash::Fixed;
use crate::delta::Delta;
use crate::eval::broken;
use crate::keys::NONE;
use crate::operator::{OperatorError, StepContext};

impl Join {
    pub(super) fn push_left(
        &mut self,
        arrived: &Arrived,
        ctx: &mut StepContext,
    ) -> Result<Vec<Delta>, OperatorError> {
        let mut pairs = Pairs::with_capacity(arrived.changes.len());
        // Places in the state of the rows that came, and their weights, for the residual condition.
        let mut placed = Vec::new();
        for (row, weight) in &arrived.changes {
            let key = arrived.keys[*row as usize];
            if key == NONE {
                if self.is_left() {
                    pairs.push(Pair {
                        left: *row,
                        right: NONE,
                        weight: *weight,
                    });
                }
                continue;
            }
            let Some(applied) = self.sides[0].apply(key, arrived.rows.get(*row as usize), *weight)
            else {
                self.warn_missing();
                continue;
            };
            let start = pairs.len();
            for right in self.sides[1].of_key(key) {
                pairs.push(Pair {
                    left: *row,
                    right,
                    weight: applied.weight * i64::from(self.sides[1].count(right)),
                });
            }
            if pairs.len() == start && self.is_left() && self.filter.is_none() {
                pairs.push(Pair {
                    left: *row,
                    right: NONE,
                    weight: applied.weight,
                });
            }
            placed.push((*row, applied));
        }
        if self.filter.is_some() {
            pairs = self.matching(pairs, arrived, 0, ctx)?;
            self.count_matches(&placed, &mut pairs);
        }
        let out = self.output(&pairs, arrived, 0)?;
        placed
            .iter()
            .for_each(|(_, applied)| self.sides[0].sweep(applied.row));
        self.forget_keys(arrived);
        Ok(out)
    }

    /// Left rows and how many right rows match them; those without any are paired with NULLs.
    fn count_matches(&mut self, placed: &[(u32, super::side::Applied)], pairs: &mut Pairs) {
        let mut matched: HashMap<u32, u32, Fixed> = HashMap::with_hasher(Fixed::with_seed(0));
        for pair in pairs.iter().filter(|p| p.right != NONE) {
            *matched.entry(pair.left).or_default() += self.sides[1].count(pair.right);
        }
        for (row, applied) in placed {
            let count = matched.get(row).copied().unwrap_or(0);
            *self.sides[0].matches(applied.row) = count;
            if count == 0 && self.is_left() {
                pairs.push(Pair {
                    left: *row,
                    right: NONE,
                    weight: applied.weight,
                });
            }
        }
    }

    pub(super) fn push_right(
        &mut self,
        arrived: &Arrived,
        ctx: &mut StepContext,
    ) -> Result<Vec<Delta>, OperatorError> {
        let mut pairs = Pairs::with_capacity(arrived.changes.len());
        let mut placed = Vec::new();
        // Keys in the order of their first change, and whether they had no right row before.
        let mut touched: Vec<(u32, bool)> = Vec::new();
        let mut seen: hashbrown::HashSet<u32, Fixed> =
            hashbrown::HashSet::with_hasher(Fixed::with_seed(0));
        for (row, weight) in &arrived.changes {
            let key = arrived.keys[*row as usize];
            if key == NONE {
                continue;
            }
            if seen.insert(key) {
                touched.push((key, self.sides[1].is_empty(key)));
            }
            let Some(applied) = self.sides[1].apply(key, arrived.rows.get(*row as usize), *weight)
            else {
                self.warn_missing();
                continue;
            };
            for left in self.sides[0].of_key(key) {
                pairs.push(Pair {
                    left,
                    right: *row,
                    weight: applied.weight * i64::from(self.sides[0].count(left)),
                });
            }
            placed.push((*row, applied));
        }
        placed
            .iter()
            .for_each(|(_, applied)| self.sides[1].sweep(applied.row));
        if self.filter.is_some() {
            pairs = self.matching(pairs, arrived, 1, ctx)?;
            self.turn_matched(&mut pairs, &placed);
        } else if self.is_left() {
            self.turn_keys(&touched, &mut pairs);
        }
        let out = self.output(&pairs, arrived, 1)?;
        self.forget_keys(arrived);
        Ok(out)
    }

    /// Without a residual condition all left rows of a key gain their first match, or lose their last one, together.
    fn turn_keys(&self, touched: &[(u32, bool)], pairs: &mut Pairs) {
        for (key, was_empty) in touched {
            let is_empty = self.sides[1].is_empty(*key);
            if *was_empty != is_empty {
                let sign = if is_empty { 1 } else { -1 };
                for left in self.sides[0].of_key(*key) {
                    pairs.push(Pair {
                        left,
                        right: NONE,
                        weight: sign * i64::from(self.sides[0].count(left)),
                    });
                }
            }
        }
    }

    /// With one, each left row counts its own.
    fn turn_matched(&mut self, pairs: &mut Pairs, placed: &[(u32, super::side::Applied)]) {
        let weights: HashMap<u32, i64, Fixed> = placed
            .iter()
            .map(|(row, applied)| (*row, applied.weight))
            .collect();
        let mut before: Vec<(u32, u32)> = Vec::new();
        let mut seen: hashbrown::HashSet<u32, Fixed> =
            hashbrown::HashSet::with_hasher(Fixed::with_seed(0));
        for pair in pairs.iter() {
            let matches = self.sides[0].matches(pair.left);
            if seen.insert(pair.left) {
                before.push((pair.left, *matches));
            }
            let weight = weights.get(&pair.right).copied().unwrap_or(0);
            *matches = (i64::from(*matches) + weight).clamp(0, i64::from(u32::MAX)) as u32;
        }
        if !self.is_left() {
            return;
        }
        for (left, before) in before {
            let after = *self.sides[0].matches(left);
            if (before == 0) != (after == 0) {
                let sign = if after == 0 { 1 } else { -1 };
                pairs.push(Pair {
                    left,
                    right: NONE,
                    weight: sign * i64::from(self.sides[0].count(left)),
                });
            }
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
        let rows = arrived.changes.iter().map(|(row, _)| *row);
        // Netting drops rows, whose keys may be new all the same.
        let all = 0..arrived.keys.len() as u32;
        let dropped = arrived.changes.len() < arrived.keys.len();
        let candidates: Vec<u32> = if dropped {
            all.collect()
        } else {
            rows.collect()
        };
        let mut gone = Vec::new();
        for row in candidates {
            let key = arrived.keys[row as usize];
            if key != NONE && self.sides.iter().all(|s| s.is_empty(key)) {
                gone.push(key);
            }
        }
        gone.sort_unstable();
        gone.dedup();
        gone.into_iter().for_each(|key| self.keys.remove(key));
    }

    pub(super) fn tidy(&mut self) {
        self.keys.tidy();
        self.sides.iter_mut().for_each(super::side::Side::tidy);
    }

    pub(super) fn broken(&self, reason: impl std::fmt::Display) -> OperatorError {
        broken(&self.key, reason)
    }
}
