//! Interval joins: conditions that bound how far the event times of two rows may be apart, so that rows can be let go which no row in time can
//! match any more.
//!
//! With d = left time - right time and lo <= d <= hi, a left row at l is done with once the right watermark has passed l - lo, a right row at r
//! once the left one has passed r + hi.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{BinaryExpr, CaseExpr, CastExpr, Column, Literal};

use crate::graph::{Changelog, Graph, JoinKind, NodeId, Op, PhysExpr, Within};
use crate::model::Relation;

const DAY_US: i64 = 86_400_000_000;

/// A column of a node, traced to where its values were made: value = base + shift.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Time {
    base: (NodeId, usize),
    shift_us: i64,
}

/// One side of a comparison: a column of this side of the join plus a constant.
struct Term {
    side: usize,
    column: usize,
    plus_us: i64,
}

pub(super) struct Planned<'a> {
    pub graph: &'a Graph,
    pub leaves: &'a [Option<Relation>],
}

impl Planned<'_> {
    /// The bounds that a join's condition sets, if both sides only grow and have watermarks.
    pub fn within(&self, inputs: [NodeId; 2], filter: Option<&PhysExpr>) -> Option<Within> {
        let grows = |id: &NodeId| self.graph.nodes[*id].props.changelog == Changelog::AppendOnly;
        if !inputs.iter().all(grows) {
            return None;
        }
        let width = self.graph.nodes[inputs[0]].schema.fields().len();
        let mut found: Option<(Within, [Time; 2])> = None;
        let (mut lo, mut hi) = (i64::MIN, i64::MAX);
        for (a, op, b) in comparisons(filter?, width) {
            let (left, op, right) = if a.side == 0 {
                (a, op, b)
            } else {
                (b, op.swap()?, a)
            };
            let of = |term: &Term| self.trace(inputs[term.side], term.column);
            let times = [of(&left), of(&right)];
            let (within, known) = match &found {
                Some(found) => found,
                None => match self.start([&left, &right], times) {
                    Some(started) => found.insert((started, times)),
                    None => continue,
                },
            };
            debug_assert_eq!(within.columns.len(), 2);
            if known.iter().zip(&times).any(|(k, t)| k.base != t.base) {
                continue;
            }
            // l + sl op r + sr is l - r op sr - sl, over the bases.
            let plus = |term: &Term, time: &Time| term.plus_us.checked_add(time.shift_us);
            let bound = plus(&right, &times[1])?.checked_sub(plus(&left, &times[0])?)?;
            match op {
                Operator::Lt => hi = hi.min(bound - 1),
                Operator::LtEq => hi = hi.min(bound),
                Operator::Gt => lo = lo.max(bound + 1),
                Operator::GtEq => lo = lo.max(bound),
                Operator::Eq => (lo, hi) = (lo.max(bound), hi.min(bound)),
                _ => {}
            }
        }
        let (mut within, _) = found?;
        if lo == i64::MIN || hi == i64::MAX {
            return None;
        }
        within.keep_us = [
            within.slack_us[1].checked_sub(lo)?,
            within.slack_us[0].checked_add(hi)?,
        ];
        Some(within)
    }

    fn start(&self, terms: [&Term; 2], times: [Time; 2]) -> Option<Within> {
        let slack = |time: &Time| self.slack(time.base.0, time.base.1);
        Some(Within {
            columns: [terms[0].column, terms[1].column],
            shift_us: [times[0].shift_us, times[1].shift_us],
            keep_us: [0, 0],
            slack_us: [slack(&times[0])?, slack(&times[1])?],
        })
    }

    /// How far behind the watermark a row of a node that is in time may be by an expression over its columns, microseconds; `None`: any
    /// distance. Of what depends on a condition, by what holds otherwise.
    pub fn behind(&self, node: NodeId, time: &PhysExpr) -> Option<i64> {
        if let Some(case) = time.downcast_ref::<CaseExpr>() {
            return self.behind(node, case.else_expr()?);
        }
        let (column, plus_us) = linear(time)?;
        let time = self.trace(node, column);
        let slack = self.slack(time.base.0, time.base.1)?;
        slack.checked_sub(time.shift_us)?.checked_sub(plus_us)
    }

    fn trace(&self, node: NodeId, column: usize) -> Time {
        let own = Time {
            base: (node, column),
            shift_us: 0,
        };
        let at = &self.graph.nodes[node];
        match (&at.op, at.inputs.first()) {
            (Op::Filter { .. }, Some(input)) => self.trace(*input, column),
            (Op::Project { exprs }, Some(input)) => {
                let Some((from, plus_us)) = exprs.get(column).and_then(linear) else {
                    return own;
                };
                let time = self.trace(*input, from);
                match time.shift_us.checked_add(plus_us) {
                    Some(shift_us) => Time { shift_us, ..time },
                    None => own,
                }
            }
            _ => own,
        }
    }

    /// How far behind the watermark a row in time may be by this column, in microseconds; `None`: any distance.
    fn slack(&self, node: NodeId, column: usize) -> Option<i64> {
        let at = &self.graph.nodes[node];
        match &at.op {
            Op::Relation { .. } => {
                let leaf = self.leaves.get(node)?.as_ref()?;
                (leaf.event_time == Some(column)).then_some(0)
            }
            Op::Filter { .. } | Op::Project { .. } => {
                let time = self.trace(node, column);
                if time.base == (node, column) {
                    return None;
                }
                self.slack(time.base.0, time.base.1)?
                    .checked_sub(time.shift_us)
            }
            Op::Unnest if column + 1 < at.schema.fields().len() => {
                self.slack(*at.inputs.first()?, column)
            }
            Op::Union => {
                let all = at.inputs.iter().map(|input| self.slack(*input, column));
                all.collect::<Option<Vec<_>>>()?.into_iter().max()
            }
            Op::Join(join) if join.kind == JoinKind::Inner => {
                let within = join.within.as_ref()?;
                let width = self.graph.nodes[*at.inputs.first()?].schema.fields().len();
                let side = usize::from(column >= width);
                let own = |side: usize, column: usize| self.trace(at.inputs[side], column);
                let time = own(side, column - side * width);
                let base = own(side, within.columns[side]);
                if time.base != base.base {
                    return None;
                }
                // With its partner in time, a row is at most `keep` behind what its own side allows.
                let late = within.slack_us[side].max(within.keep_us[side]);
                late.checked_sub(time.shift_us)
            }
            _ => None,
        }
    }
}

/// The comparisons of a conjunction between a column of each side.
fn comparisons(filter: &PhysExpr, width: usize) -> Vec<(Term, Operator, Term)> {
    let Some(binary) = filter.downcast_ref::<BinaryExpr>() else {
        return Vec::new();
    };
    if *binary.op() == Operator::And {
        let mut all = comparisons(binary.left(), width);
        all.extend(comparisons(binary.right(), width));
        return all;
    }
    let term = |expr: &PhysExpr| {
        let (column, plus_us) = linear(expr)?;
        let side = usize::from(column >= width);
        Some(Term {
            side,
            column: column - side * width,
            plus_us,
        })
    };
    match (term(binary.left()), term(binary.right())) {
        (Some(a), Some(b)) if a.side != b.side => vec![(a, *binary.op(), b)],
        _ => Vec::new(),
    }
}

/// A timestamp column plus a constant length of time.
fn linear(expr: &PhysExpr) -> Option<(usize, i64)> {
    if let Some(column) = expr.downcast_ref::<Column>() {
        return Some((column.index(), 0));
    }
    if let Some(cast) = expr.downcast_ref::<CastExpr>() {
        let kept = matches!(cast.cast_type(), DataType::Timestamp(unit, _) if *unit >= datafusion::arrow::datatypes::TimeUnit::Microsecond);
        return kept.then(|| linear(cast.expr())).flatten();
    }
    let binary = expr.downcast_ref::<BinaryExpr>()?;
    let sign = match binary.op() {
        Operator::Plus => 1,
        Operator::Minus => -1,
        _ => return None,
    };
    if let Some(length) = length_us(binary.right()) {
        let (column, plus) = linear(binary.left())?;
        return Some((column, plus.checked_add(length.checked_mul(sign)?)?));
    }
    let (column, plus) = linear(binary.right())?;
    (sign == 1)
        .then(|| Some((column, plus.checked_add(length_us(binary.left())?)?)))
        .flatten()
}

/// A literal interval without months; a day has 24 hours, as the session is in UTC.
fn length_us(expr: &PhysExpr) -> Option<i64> {
    match expr.downcast_ref::<Literal>()?.value() {
        ScalarValue::IntervalMonthDayNano(Some(i))
            if i.months == 0 && i.nanoseconds % 1000 == 0 =>
        {
            (i64::from(i.days) * DAY_US).checked_add(i.nanoseconds / 1000)
        }
        _ => None,
    }
}
