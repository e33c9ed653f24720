//! A join whose right side are versions ([`crate::versions`]): one operator that keeps both sides by key and time, in place of a join over the
//! window function that tells when a version ends.
//!
//! What is not of the expected form stays a join like any other; its answer is the same.

use std::sync::Arc;

use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, JoinType, NullEquality, ScalarValue};
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{
    BinaryExpr, Expr, ExprSchemable, Join as Logical, LogicalPlan, Operator, Window,
};

use super::build::{Builder, nullable};
use super::{Refused, over, temporal};
use crate::graph::{AsOf, Changelog, Join, JoinKind, NodeId, Op, PhysExpr};
use crate::over::total_order;
use crate::versions::UNTIL;

/// The versions of a right side, below what is computed of them.
struct Versions<'a> {
    window: &'a Window,
    /// The side's columns, over the columns of the window.
    columns: Vec<Expr>,
    /// Which versions match, over the same.
    kept: Vec<Expr>,
}

/// The columns of the join's right input: first those of the side, then what else is needed of versions.
struct Right {
    exprs: Vec<Expr>,
    width: usize,
}

impl Right {
    fn place(&mut self, expr: &Expr) -> usize {
        let known = self.exprs.iter().position(|known| known == expr);
        known.unwrap_or_else(|| {
            self.exprs.push(expr.clone());
            self.exprs.len() - 1
        })
    }
}

/// What the condition says of the version's time, and what else.
struct Condition {
    time: Expr,
    rest: Vec<Expr>,
}

/// The node of such a join; `None` if it is none.
pub(super) fn join(builder: &mut Builder<'_>, node: &Logical) -> Result<Option<NodeId>, Refused> {
    let kind = match node.join_type {
        JoinType::Inner => JoinKind::Inner,
        JoinType::Left => JoinKind::Left,
        _ => return Ok(None),
    };
    if node.null_equality != NullEquality::NullEqualsNothing
        || node.left.schema().fields().is_empty()
    {
        return Ok(None);
    }
    let Some(versions) = versions(&node.right)? else {
        return Ok(None);
    };
    let Some(lead) = lead(versions.window)? else {
        return Ok(None);
    };
    let Some(mut condition) = condition(node, &versions, &lead) else {
        return Ok(None);
    };
    let Some(on) = keys(node, &versions, &lead, &mut condition.rest)? else {
        return Ok(None);
    };
    let before = builder.nodes();
    let inputs = [
        builder.plan(&node.left)?,
        builder.plan(&versions.window.input)?,
    ];
    if builder.changelog(inputs[1]) != Changelog::AppendOnly {
        builder.forget(before);
        return Ok(None);
    }
    let sides = Sides {
        node,
        kind,
        inputs,
        on,
    };
    sides.join(builder, versions, &lead, condition).map(Some)
}

/// The window of a side that holds versions.
fn versions(plan: &LogicalPlan) -> Result<Option<Versions<'_>>, Refused> {
    Ok(match plan {
        LogicalPlan::SubqueryAlias(alias) => versions(&alias.input)?,
        LogicalPlan::Projection(projection) => {
            let Some(below) = versions(&projection.input)? else {
                return Ok(None);
            };
            let schema = projection.input.schema();
            let exprs = projection.expr.iter();
            let columns = exprs.map(|e| below.inlined(e, schema));
            Some(Versions {
                columns: columns.collect::<Result<_, _>>()?,
                ..below
            })
        }
        LogicalPlan::Filter(filter) => {
            let Some(mut below) = versions(&filter.input)? else {
                return Ok(None);
            };
            let kept = below.inlined(&filter.predicate, filter.input.schema())?;
            let timeless = split_conjunction(&kept)
                .iter()
                .all(|part| temporal::as_bound(part).is_none());
            below.kept.push(kept);
            timeless.then_some(below)
        }
        LogicalPlan::Window(window) => Some(Versions {
            window,
            columns: window
                .schema
                .columns()
                .into_iter()
                .map(Expr::Column)
                .collect(),
            kept: Vec::new(),
        }),
        _ => None,
    })
}

impl Versions<'_> {
    /// An expression over the rows of a node above the window, over those of the window.
    fn inlined(&self, expr: &Expr, schema: &DFSchema) -> Result<Expr, Refused> {
        let expr = expr.clone().unalias_nested().data;
        let inlined = expr.transform_up(|expr| match &expr {
            Expr::Column(column) => {
                let at = schema.index_of_column(column)?;
                Ok(Transformed::yes(self.columns[at].clone()))
            }
            _ => Ok(Transformed::no(expr)),
        })?;
        Ok(inlined.data)
    }
}

/// When versions begin and end, and how they follow each other.
struct Lead {
    begins: Expr,
    /// The window's column with the time of the next version.
    ends: Expr,
    partition: Vec<Expr>,
    order: Vec<(Expr, SortOptions)>,
}

/// `lead(time) OVER (PARTITION BY ... ORDER BY time, ...)`, if that is what a window computes.
fn lead(window: &Window) -> Result<Option<Lead>, Refused> {
    let [expr] = window.window_expr.as_slice() else {
        return Ok(None);
    };
    let (call, _) = over::function(expr)?;
    let (params, ends) = (&call.params, window.schema.columns().pop());
    let ([begins], [first, ..], Some(ends)) =
        (params.args.as_slice(), params.order_by.as_slice(), ends)
    else {
        return Ok(None);
    };
    let plain = params.filter.is_none() && params.null_treatment.is_none() && !params.distinct;
    if call.fun.name() != "lead" || !plain || first.expr != *begins || !first.asc {
        return Ok(None);
    }
    let order = params.order_by.iter().map(|sort| {
        let options = SortOptions {
            descending: !sort.asc,
            nulls_first: sort.nulls_first,
        };
        (sort.expr.clone(), options)
    });
    Ok(Some(Lead {
        begins: begins.clone(),
        ends: Expr::Column(ends),
        partition: params.partition_by.clone(),
        order: order.collect(),
    }))
}

/// `time >= from AND (time < until OR until IS NULL)`, and the rest.
fn condition(node: &Logical, versions: &Versions<'_>, lead: &Lead) -> Option<Condition> {
    let (mut begun, mut holds, mut rest) = (None, None, Vec::new());
    let right = node.right.schema();
    let is = |expr: &Expr, what: &Expr| {
        let expr = uncast(expr);
        let own = expr.column_refs().iter().all(|c| right.has_column(c));
        own && versions.inlined(expr, right).is_ok_and(|e| e == *what)
    };
    for part in split_conjunction(node.filter.as_ref()?) {
        let begins = compared(part, Operator::GtEq).filter(|(_, from)| is(from, &lead.begins));
        if let (Some((time, _)), None) = (begins, &begun) {
            begun = Some(time.clone());
            continue;
        }
        let ends = open(part, right)
            .filter(|(_, until)| is(until, &lead.ends))
            .map(|(time, _)| time);
        match (ends, &holds) {
            (Some(time), None) => holds = Some(time.clone()),
            _ => rest.push(part.clone()),
        }
    }
    let time = begun.filter(|time| holds.as_ref() == Some(time))?;
    let left = node.left.schema();
    let own = time.column_refs().iter().all(|c| left.has_column(c));
    let is_time = matches!(time.get_type(left), Ok(DataType::Timestamp(..)));
    let begins = lead.begins.get_type(&versions.window.schema);
    let both = own && is_time && matches!(begins, Ok(DataType::Timestamp(..)));
    both.then_some(Condition { time, rest })
}

/// The sides of `left op right`, whichever way round it is written.
fn compared(expr: &Expr, wanted: Operator) -> Option<(&Expr, &Expr)> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = expr else {
        return None;
    };
    match *op {
        op if op == wanted => Some((left, right)),
        op if op.swap() == Some(wanted) => Some((right, left)),
        _ => None,
    }
}

/// The time and the end of `time < until OR until IS NULL`.
fn open<'a>(expr: &'a Expr, right: &DFSchema) -> Option<(&'a Expr, &'a Expr)> {
    let Expr::BinaryExpr(BinaryExpr {
        left: a,
        op: Operator::Or,
        right: b,
    }) = expr
    else {
        return None;
    };
    let (before, null) = match (a.as_ref(), b.as_ref()) {
        (before, Expr::IsNull(null)) | (Expr::IsNull(null), before) => (before, null),
        _ => return None,
    };
    let (time, until) = compared(before, Operator::Lt)?;
    let Expr::Column(named) = uncast(until) else {
        return None;
    };
    let ours = named.name.starts_with(UNTIL) && right.has_column(named);
    (ours && uncast(null) == uncast(until)).then_some((time, until))
}

/// Without casts between timestamps, which are all in UTC.
fn uncast(expr: &Expr) -> &Expr {
    match expr {
        Expr::Cast(cast) if matches!(cast.field.data_type(), DataType::Timestamp(..)) => {
            uncast(&cast.expr)
        }
        expr => expr,
    }
}

/// The equal keys that versions are of; what else is equal joins the rest of the condition. `None` if a key of the versions is free.
fn keys(
    node: &Logical,
    versions: &Versions<'_>,
    lead: &Lead,
    rest: &mut Vec<Expr>,
) -> Result<Option<Vec<(Expr, Expr)>>, Refused> {
    let (mut keys, mut found) = (Vec::new(), Vec::new());
    for (a, b) in &node.on {
        let inlined = versions.inlined(b, node.right.schema())?;
        let of_key = lead.partition.contains(&inlined) && !found.contains(&inlined);
        match of_key {
            true => {
                found.push(inlined);
                keys.push((a.clone(), b.clone()));
            }
            false => rest.push(a.clone().eq(b.clone())),
        }
    }
    let all = lead.partition.iter().all(|key| found.contains(key));
    Ok((all && !keys.is_empty()).then_some(keys))
}

struct Sides<'a> {
    node: &'a Logical,
    kind: JoinKind,
    /// The left rows, and those that the window reads.
    inputs: [NodeId; 2],
    on: Vec<(Expr, Expr)>,
}

impl Sides<'_> {
    fn join(
        self,
        builder: &mut Builder<'_>,
        versions: Versions<'_>,
        lead: &Lead,
        mut condition: Condition,
    ) -> Result<NodeId, Refused> {
        let (left, right) = (self.node.left.schema(), self.node.right.schema());
        let mut columns = Right {
            width: versions.columns.len(),
            exprs: versions.columns,
        };
        let from = columns.place(&lead.begins);
        let order = order(versions.window, lead, &mut columns);
        let kept = conjunction(versions.kept).map(|kept| columns.place(&kept));
        let (schema, right_input) = self.right_input(builder, &columns, versions.window, lead)?;
        condition.rest.extend(kept.map(|at| {
            let (relation, field) = schema.qualified_field(at);
            Expr::Column((relation, field).into())
        }));
        let joined = left.join(&schema)?;
        let filter = conjunction(condition.rest);
        let filter = filter
            .map(|f| builder.timeless_expr(&f, &joined))
            .transpose()?;
        let mut on = Vec::with_capacity(self.on.len());
        for (a, b) in &self.on {
            super::join::check_types(a, &self.node.left, b, &self.node.right)?;
            on.push((
                builder.timeless_expr(a, left)?,
                builder.timeless_expr(b, &schema)?,
            ));
        }
        let time = builder.timeless_expr(&condition.time, left)?;
        let slack_us = builder.behind(self.inputs[0], &time).zip(
            builder
                .made_by(right_input, from)
                .and_then(|made| builder.behind(self.inputs[1], &made)),
        );
        let as_of = AsOf {
            time,
            from,
            order,
            slack_us: slack_us.map(|(left, right)| [left, right]),
        };
        let join = Join {
            kind: self.kind,
            on,
            null_equal: false,
            filter,
            within: None,
            lookup: false,
            as_of: Some(as_of),
        };
        let id = builder.add(Op::Join(join), vec![self.inputs[0], right_input], &joined);
        let shown: Vec<usize> = (0..left.fields().len() + columns.width).collect();
        Ok(match columns.exprs.len() == columns.width {
            true => id,
            false => builder.pick(id, &shown, &left.join(right)?),
        })
    }

    /// The rows of versions with all columns that are needed of them. Nobody is told when one ends: that is what the join knows.
    fn right_input(
        &self,
        builder: &mut Builder<'_>,
        columns: &Right,
        window: &Window,
        lead: &Lead,
    ) -> Result<(DFSchema, NodeId), Refused> {
        let input = window.input.schema();
        let right = self.node.right.schema();
        let mut fields = Vec::with_capacity(columns.exprs.len());
        let mut exprs: Vec<PhysExpr> = Vec::with_capacity(columns.exprs.len());
        for (at, expr) in columns.exprs.iter().enumerate() {
            let data_type = expr.get_type(&window.schema)?;
            fields.push(match at < columns.width {
                true => {
                    let (relation, field) = right.qualified_field(at);
                    (relation.cloned(), Arc::clone(field))
                }
                false => (
                    None,
                    Arc::new(Field::new(format!("__as_of_{at}"), data_type.clone(), true)),
                ),
            });
            let ends = expr
                .column_refs()
                .iter()
                .any(|c| lead.ends == Expr::Column((*c).clone()));
            let expr = match ends {
                true => Expr::Literal(ScalarValue::try_from(&data_type)?, None),
                false => expr.clone(),
            };
            exprs.push(builder.expr(&expr, input, self.inputs[1])?);
        }
        let schema = DFSchema::new_with_metadata(fields, Default::default())?;
        let output = nullable(schema.as_arrow());
        let node = builder.add_with(Op::Project { exprs }, vec![self.inputs[1]], output, None);
        Ok((schema, node))
    }
}

/// The order of versions as the window function has it: by its ORDER BY, then by all columns.
fn order(window: &Window, lead: &Lead, columns: &mut Right) -> Vec<(usize, SortOptions)> {
    let input = window.input.schema().columns().into_iter();
    let mut exprs: Vec<Expr> = input.map(Expr::Column).collect();
    let mut by = Vec::with_capacity(lead.order.len());
    for (expr, options) in &lead.order {
        let known = exprs.iter().position(|known| known == expr);
        let at = known.unwrap_or_else(|| {
            exprs.push(expr.clone());
            exprs.len() - 1
        });
        by.push((at, *options));
    }
    let total = total_order(&by, exprs.len()).into_iter();
    total
        .map(|(at, options)| (columns.place(&exprs[at]), options))
        .collect()
}
