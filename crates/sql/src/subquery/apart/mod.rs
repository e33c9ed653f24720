//! Correlated subqueries that DataFusion's rules cannot make joins: computed once for each combination of the outer values that they speak of,
//! then joined with the outer rows on these values (after Neumann and Kemper, "Unnesting Arbitrary Queries").
//!
//! `SELECT (SELECT sum(x) FROM t WHERE t.k < o.k) FROM o` becomes `o LEFT JOIN (SELECT d.k, sum(x) FROM (SELECT DISTINCT k FROM o) d, t WHERE
//! t.k < d.k GROUP BY d.k)` on equal `k`, where NULL equals NULL. What it must not know: which subqueries the rules can follow (the caller says).

mod push;

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{
    Column, JoinConstraint, JoinType, NullEquality, Result, ScalarValue, TableReference,
};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    Aggregate, Distinct, Expr, Filter, Join, LogicalPlan, Projection, Subquery, SubqueryAlias, lit,
};

use push::Outer;

/// The column of a subquery's value, or of its being there.
const VALUE: &str = "__value";

/// Rewrites the correlated subqueries that `followed` does not tell to be fine in the node that it is given. Answers also whether some of
/// the others stay as they are.
pub(crate) fn apart(
    plan: LogicalPlan,
    followed: &dyn Fn(&LogicalPlan) -> bool,
) -> Result<(LogicalPlan, bool)> {
    let mut apart = Apart {
        followed,
        made: 0,
        stuck: false,
    };
    let done = plan.transform_down_with_subqueries(|node| {
        Ok(match apart.node(&node)? {
            Some(other) => Transformed::yes(other),
            None => Transformed::no(node),
        })
    })?;
    Ok((done.data, apart.stuck))
}

/// Whether a plan still has subqueries that are no joins, or speaks of columns that are not there, as where a rule pulled one out of another.
pub(crate) fn is_left(plan: &LogicalPlan) -> bool {
    let mut left = false;
    let subquery = |e: &Expr| {
        Ok(matches!(
            e,
            Expr::OuterReferenceColumn(..)
                | Expr::ScalarSubquery(_)
                | Expr::Exists(_)
                | Expr::InSubquery(_)
                | Expr::SetComparison(_)
        ))
    };
    let _ = plan.apply_with_subqueries(|node| {
        left |= matches!(node, LogicalPlan::Subquery(_));
        let inputs = node.inputs();
        let there = |column: &&Column| inputs.iter().any(|i| i.schema().has_column(column));
        node.apply_expressions(|expr| {
            left |= expr.exists(subquery)?;
            left |= !inputs.is_empty() && !expr.column_refs().iter().all(&there);
            Ok(TreeNodeRecursion::Continue)
        })
    });
    left
}

struct Apart<'a> {
    followed: &'a dyn Fn(&LogicalPlan) -> bool,
    /// Subqueries so far, for their names.
    made: usize,
    /// There was one without a way.
    stuck: bool,
}

impl Apart<'_> {
    fn node(&mut self, node: &LogicalPlan) -> Result<Option<LogicalPlan>> {
        match node {
            LogicalPlan::Filter(f) => {
                let predicate = std::slice::from_ref(&f.predicate);
                let Some((input, exprs)) = self.values(&f.input, predicate)? else {
                    return Ok(None);
                };
                let columns = f.input.schema().columns().into_iter().map(Expr::Column);
                let [predicate] = exprs.as_slice() else {
                    return Ok(None);
                };
                let filter = Filter::try_new(predicate.clone(), Arc::new(input))?;
                let filter = Arc::new(LogicalPlan::Filter(filter));
                Projection::try_new(columns.collect(), filter)
                    .map(|p| Some(LogicalPlan::Projection(p)))
            }
            LogicalPlan::Projection(p) => {
                let Some((input, exprs)) = self.values(&p.input, &p.expr)? else {
                    return Ok(None);
                };
                Projection::try_new(exprs, Arc::new(input))
                    .map(|p| Some(LogicalPlan::Projection(p)))
            }
            LogicalPlan::Aggregate(a) => {
                let all = [a.group_expr.as_slice(), a.aggr_expr.as_slice()].concat();
                let Some((input, mut group)) = self.values(&a.input, &all)? else {
                    return Ok(None);
                };
                let calls = group.split_off(a.group_expr.len());
                Aggregate::try_new(Arc::new(input), group, calls)
                    .map(|a| Some(LogicalPlan::Aggregate(a)))
            }
            LogicalPlan::Join(join) => self.lateral(node, join),
            _ => Ok(None),
        }
    }

    /// The input with the values of the expressions' subqueries beside it, and the expressions over both.
    fn values(
        &mut self,
        input: &Arc<LogicalPlan>,
        exprs: &[Expr],
    ) -> Result<Option<(LogicalPlan, Vec<Expr>)>> {
        let mut joined = input.as_ref().clone();
        let mut by: HashMap<Expr, Expr> = HashMap::new();
        for asked in asked(exprs) {
            let (subquery, scalar) = match &asked {
                Expr::ScalarSubquery(subquery) => (subquery, true),
                Expr::Exists(exists) => (&exists.subquery, false),
                _ => continue,
            };
            if self.is_followed(input, &asked)? {
                continue;
            }
            let Some((right, outer)) = self.each(input, &subquery.subquery, scalar)? else {
                self.stuck = true;
                continue;
            };
            let value = Column::new(Some(right.1.clone()), VALUE);
            joined = outer.matched(joined, right.0, &right.1, JoinType::Left)?;
            let value = Expr::Column(value);
            let value = match &asked {
                Expr::Exists(exists) if exists.negated => value.is_null(),
                Expr::Exists(_) => value.is_not_null(),
                _ => value,
            };
            by.insert(asked, value);
        }
        if by.is_empty() {
            return Ok(None);
        }
        let names = NamePreserver::new_for_projection();
        let exprs = exprs.iter().map(|expr| {
            let saved = names.save(expr);
            let replaced = expr.clone().transform_down(|e| match by.get(&e) {
                Some(value) => Ok(Transformed::yes(value.clone())),
                None => Ok(Transformed::no(e)),
            })?;
            Ok(saved.restore(replaced.data))
        });
        Ok(Some((joined, exprs.collect::<Result<_>>()?)))
    }

    fn is_followed(&self, input: &Arc<LogicalPlan>, asked: &Expr) -> Result<bool> {
        let node = match asked {
            Expr::Exists(_) => {
                LogicalPlan::Filter(Filter::try_new(asked.clone(), Arc::clone(input))?)
            }
            _ => LogicalPlan::Projection(Projection::try_new(
                vec![asked.clone().alias(VALUE)],
                Arc::clone(input),
            )?),
        };
        Ok((self.followed)(&node))
    }

    /// A subquery's value for each combination of outer values: keys and value under a name of its own.
    fn each(
        &mut self,
        input: &Arc<LogicalPlan>,
        subquery: &Arc<LogicalPlan>,
        scalar: bool,
    ) -> Result<Option<((LogicalPlan, TableReference), Outer)>> {
        self.made += 1;
        let Some(outer) = Outer::of(input, subquery, self.made)? else {
            return Ok(None);
        };
        let Some(each) = outer.over(subquery)? else {
            return Ok(None);
        };
        let value = match scalar {
            true => Expr::Column(Column::from(subquery.schema().qualified_field(0))),
            false => lit(true),
        };
        let keys = outer.keys().map(|key| {
            let name = key.name.clone();
            Expr::Column(key).alias(name)
        });
        let exprs = keys.chain([value.alias(VALUE)]).collect();
        let mut plan = LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(each))?);
        if !scalar {
            plan = LogicalPlan::Distinct(Distinct::All(Arc::new(plan)));
        }
        let name = TableReference::bare(format!("__apart_{}", self.made));
        let plan =
            LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(Arc::new(plan), name.clone())?);
        Ok(Some(((plan, name), outer)))
    }

    /// `FROM a, LATERAL (...)`.
    fn lateral(&mut self, node: &LogicalPlan, join: &Join) -> Result<Option<LogicalPlan>> {
        let (subquery, alias) = match join.right.as_ref() {
            LogicalPlan::Subquery(s) => (s, None),
            LogicalPlan::SubqueryAlias(a) => match a.input.as_ref() {
                LogicalPlan::Subquery(s) => (s, Some(a)),
                _ => return Ok(None),
            },
            _ => return Ok(None),
        };
        let always = |e: &Expr| matches!(e, Expr::Literal(ScalarValue::Boolean(Some(true)), _));
        let plain = join.filter.as_ref().is_none_or(always) && join.on.is_empty();
        let fits = match join.join_type {
            JoinType::Inner => join.on.is_empty(),
            JoinType::Left => plain,
            _ => false,
        };
        if !fits || (self.followed)(node) {
            return Ok(None);
        }
        self.made += 1;
        let Some(outer) = Outer::of(&join.left, &subquery.subquery, self.made)? else {
            return Ok(None);
        };
        let Some(each) = outer.over(&subquery.subquery)? else {
            return Ok(None);
        };
        // The subquery's columns by position: those of the outer values come first.
        let name = TableReference::bare(format!("__apart_{}", self.made));
        let width = outer.keys().count();
        let own = each.schema().columns().into_iter().enumerate();
        let exprs = own.map(|(at, column)| match at < width {
            true => {
                let key = column.name.clone();
                Expr::Column(column).alias_qualified(Some(name.clone()), key)
            }
            false => {
                let shown = format!("{VALUE}_{}", at - width);
                Expr::Column(column).alias_qualified(Some(name.clone()), shown)
            }
        });
        let right = Projection::try_new(exprs.collect(), Arc::new(each.clone()))?;
        let right = LogicalPlan::Projection(right);
        let joined = outer.matched(join.left.as_ref().clone(), right, &name, join.join_type)?;
        let left = join.left.schema().columns().into_iter().map(Expr::Column);
        let shown = join.right.schema().columns().into_iter().enumerate();
        let shown = shown.map(|(at, column)| {
            let value = Column::new(Some(name.clone()), format!("{VALUE}_{at}"));
            let relation = alias.map(|a| a.alias.clone()).or(column.relation);
            Expr::Column(value).alias_qualified(relation, column.name)
        });
        let exprs = left.chain(shown).collect();
        let mut plan = LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(joined))?);
        if let Some(filter) = join.filter.clone().filter(|f| !always(f)) {
            plan = LogicalPlan::Filter(Filter::try_new(filter, Arc::new(plan))?);
        }
        Ok(Some(plan))
    }
}

impl Outer {
    /// Rows with what the subquery gives for their values.
    fn matched(
        &self,
        left: LogicalPlan,
        right: LogicalPlan,
        name: &TableReference,
        kind: JoinType,
    ) -> Result<LogicalPlan> {
        let pairs = self.columns().zip(self.keys()).map(|(column, key)| {
            let key = Column::new(Some(name.clone()), key.name);
            (Expr::Column(column), Expr::Column(key))
        });
        let join = Join::try_new(
            Arc::new(left),
            Arc::new(right),
            pairs.collect(),
            None,
            kind,
            JoinConstraint::On,
            NullEquality::NullEqualsNull,
            false,
        )?;
        Ok(LogicalPlan::Join(join))
    }
}

/// The correlated subqueries of these expressions, once each, but not those within them.
fn asked(exprs: &[Expr]) -> Vec<Expr> {
    let mut found: Vec<Expr> = Vec::new();
    for expr in exprs {
        let _ = expr.apply(|e| {
            let subquery: Option<&Subquery> = match e {
                Expr::ScalarSubquery(subquery) => Some(subquery),
                Expr::Exists(exists) => Some(&exists.subquery),
                _ => None,
            };
            if subquery.is_some_and(|s| push::speaks(&s.subquery)) && !found.contains(e) {
                found.push(e.clone());
            }
            Ok(TreeNodeRecursion::Continue)
        });
    }
    found
}
