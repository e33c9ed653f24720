//! A subquery's plan over the distinct outer values that it speaks of: each node gets their columns in front of its own.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, JoinConstraint, JoinType, NullEquality, Result, TableReference};
use datafusion::functions_window::row_number::row_number_udwf;
use datafusion::logical_expr::expr::{Exists, InSubquery, SetComparison, Sort, WindowFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    Aggregate, Distinct, Expr, ExprFunctionExt, FetchType, Filter, Join, Limit, LogicalPlan,
    LogicalPlanBuilder, Projection, SkipType, Subquery, SubqueryAlias, Union, Values, Window, lit,
    when,
};

/// The number of a row among those of its outer values.
const NUMBER: &str = "__number";
/// Aggregates that give 0 over no rows; others give NULL.
const COUNTS: [&str; 3] = ["count", "approx_distinct", "regr_count"];

/// The outer values of a subquery.
pub(super) struct Outer {
    /// Their distinct combinations.
    rows: LogicalPlan,
    /// Their columns outside, and in `rows`.
    columns: Vec<(Column, Column)>,
    by: HashMap<Column, Column>,
}

/// Whether a plan speaks of rows outside of it, in whatever depth.
pub(super) fn speaks(plan: &LogicalPlan) -> bool {
    !spoken_of(plan).is_empty()
}

/// All outer columns in a plan and in the subqueries within.
fn spoken_of(plan: &LogicalPlan) -> Vec<Column> {
    let mut found: Vec<Column> = Vec::new();
    let _ = plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|e| {
                if let Expr::OuterReferenceColumn(_, column) = e
                    && !found.contains(column)
                {
                    found.push(column.clone());
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    });
    found
}

impl Outer {
    /// What `subquery` asks of `input`; `None` if nothing, or if a name means something of both.
    pub fn of(
        input: &Arc<LogicalPlan>,
        subquery: &LogicalPlan,
        number: usize,
    ) -> Result<Option<Self>> {
        let mut asked = spoken_of(subquery);
        asked.retain(|column| input.schema().has_column(column));
        let mut clash = asked.is_empty();
        subquery.apply_with_subqueries(|node| {
            clash |= asked.iter().any(|column| node.schema().has_column(column));
            Ok(TreeNodeRecursion::Continue)
        })?;
        if clash {
            return Ok(None);
        }
        let name = TableReference::bare(format!("__outer_{number}"));
        let named = |at: usize| format!("__outer_{number}_{at}");
        let values = asked.iter().enumerate();
        let values = values.map(|(at, column)| Expr::Column(column.clone()).alias(named(at)));
        let values = Projection::try_new(values.collect(), Arc::clone(input))?;
        let rows = LogicalPlan::Distinct(Distinct::All(Arc::new(LogicalPlan::Projection(values))));
        let rows =
            LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(Arc::new(rows), name.clone())?);
        let columns: Vec<(Column, Column)> = asked
            .into_iter()
            .enumerate()
            .map(|(at, column)| (column, Column::new(Some(name.clone()), named(at))))
            .collect();
        let by = columns.iter().cloned().collect();
        Ok(Some(Self { rows, columns, by }))
    }

    pub fn columns(&self) -> impl Iterator<Item = Column> {
        self.columns.iter().map(|(column, _)| column.clone())
    }

    pub fn keys(&self) -> impl Iterator<Item = Column> {
        self.columns.iter().map(|(_, key)| key.clone())
    }

    fn key_exprs(&self) -> impl Iterator<Item = Expr> {
        self.keys().map(Expr::Column)
    }

    fn asked_by(&self, plan: &LogicalPlan) -> bool {
        let asked = spoken_of(plan);
        asked.iter().any(|column| self.by.contains_key(column))
    }

    /// The plan for each combination of outer values; `None` where there is no way.
    pub fn over(&self, plan: &LogicalPlan) -> Result<Option<LogicalPlan>> {
        if !self.asked_by(plan) {
            let rows = LogicalPlanBuilder::from(self.rows.clone());
            return rows.cross_join(plan.clone())?.build().map(Some);
        }
        match plan {
            LogicalPlan::Projection(p) => {
                let Some(input) = self.over(&p.input)? else {
                    return Ok(None);
                };
                let own = self.inner_all(&p.expr)?;
                self.projected(input, own).map(Some)
            }
            LogicalPlan::Filter(f) => {
                let Some(input) = self.over(&f.input)? else {
                    return Ok(None);
                };
                let filter = Filter::try_new(self.inner(&f.predicate)?, Arc::new(input))?;
                Ok(Some(LogicalPlan::Filter(filter)))
            }
            LogicalPlan::SubqueryAlias(a) => {
                let Some(input) = self.over(&a.input)? else {
                    return Ok(None);
                };
                self.renamed(input, &a.input, plan).map(Some)
            }
            LogicalPlan::Aggregate(a) => self.aggregate(a),
            LogicalPlan::Distinct(Distinct::All(input)) => {
                let input = self.over(input)?;
                Ok(input.map(|input| LogicalPlan::Distinct(Distinct::All(Arc::new(input)))))
            }
            LogicalPlan::Subquery(s) => self.over(&s.subquery),
            // The order of a subquery's rows means nothing.
            LogicalPlan::Sort(s) if s.fetch.is_none() => self.over(&s.input),
            LogicalPlan::Limit(l) => self.limit(l),
            LogicalPlan::Join(j) => self.join(j),
            LogicalPlan::Union(u) => self.union(u, plan),
            LogicalPlan::Values(v) => self.values(v, plan),
            LogicalPlan::Window(w) => self.window(w),
            LogicalPlan::Unnest(u) => {
                let Some(input) = self.over(&u.input)? else {
                    return Ok(None);
                };
                let input = LogicalPlanBuilder::from(input);
                let columns = u.exec_columns.clone();
                let input = input.unnest_columns_with_options(columns, u.options.clone())?;
                let own = u.schema.columns().into_iter().map(Expr::Column);
                self.projected(input.build()?, own.collect()).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// The outer values, then these.
    fn projected(&self, input: LogicalPlan, own: Vec<Expr>) -> Result<LogicalPlan> {
        let exprs = self.key_exprs().chain(own).collect();
        Projection::try_new(exprs, Arc::new(input)).map(LogicalPlan::Projection)
    }

    /// The columns of `before` under the names of `after`.
    fn renamed(
        &self,
        input: LogicalPlan,
        before: &LogicalPlan,
        after: &LogicalPlan,
    ) -> Result<LogicalPlan> {
        let columns = before.schema().columns().into_iter();
        let own = columns
            .zip(after.schema().columns())
            .map(|(old, new)| Expr::Column(old).alias_qualified(new.relation, new.name));
        self.projected(input, own.collect())
    }

    fn aggregate(&self, node: &Aggregate) -> Result<Option<LogicalPlan>> {
        let sets = node
            .group_expr
            .iter()
            .any(|e| matches!(e, Expr::GroupingSet(_)));
        let Some(input) = self.over(&node.input)?.filter(|_| !sets) else {
            return Ok(None);
        };
        let group = self.inner_all(&node.group_expr)?;
        let calls = self.inner_all(&node.aggr_expr)?;
        let grouped = self.key_exprs().chain(group).collect();
        let each = LogicalPlan::Aggregate(Aggregate::try_new(Arc::new(input), grouped, calls)?);
        if !node.group_expr.is_empty() {
            return Ok(Some(each));
        }
        // One row also for outer values that have no rows.
        let own = node.schema.columns();
        let keys = self.keys().map(|key| {
            let name = format!("{}_of", key.name);
            (key.clone(), Column::new_unqualified(name))
        });
        let keys: Vec<(Column, Column)> = keys.collect();
        let exprs = keys
            .iter()
            .map(|(key, of)| Expr::Column(key.clone()).alias(&of.name));
        let exprs = exprs.chain(own.iter().cloned().map(Expr::Column)).collect();
        let each = LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(each))?);
        let on = keys
            .into_iter()
            .map(|(key, of)| (Expr::Column(key), Expr::Column(of)));
        let joined = Join::try_new(
            Arc::new(self.rows.clone()),
            Arc::new(each),
            on.collect(),
            None,
            JoinType::Left,
            JoinConstraint::On,
            NullEquality::NullEqualsNull,
            false,
        )?;
        let shown = own.into_iter().zip(&node.aggr_expr).map(|(column, call)| {
            let value = Expr::Column(column.clone());
            let value = match is_count(call) {
                true => when(value.clone().is_null(), lit(0_i64)).otherwise(value)?,
                false => value,
            };
            Ok(value.alias_qualified(column.relation, column.name))
        });
        let shown = shown.collect::<Result<_>>()?;
        self.projected(LogicalPlan::Join(joined), shown).map(Some)
    }

    /// `ORDER BY ... LIMIT n` of each combination.
    fn limit(&self, node: &Limit) -> Result<Option<LogicalPlan>> {
        let (SkipType::Literal(skip), FetchType::Literal(fetch)) =
            (node.get_skip_type()?, node.get_fetch_type()?)
        else {
            return Ok(None);
        };
        let limited = |input: &Arc<LogicalPlan>| {
            LogicalPlan::Limit(Limit {
                input: Arc::clone(input),
                ..node.clone()
            })
        };
        let (rows, order) = match node.input.as_ref() {
            LogicalPlan::Projection(p) => {
                let below = Projection::try_new_with_schema(
                    p.expr.clone(),
                    Arc::new(limited(&p.input)),
                    Arc::clone(&p.schema),
                )?;
                return self.over(&LogicalPlan::Projection(below));
            }
            LogicalPlan::SubqueryAlias(a) => {
                let below = SubqueryAlias::try_new(Arc::new(limited(&a.input)), a.alias.clone())?;
                return self.over(&LogicalPlan::SubqueryAlias(below));
            }
            LogicalPlan::Sort(s) => (&s.input, s.expr.clone()),
            other => {
                let columns = other.schema().columns().into_iter();
                let order = columns.map(|c| Sort::new(Expr::Column(c), true, false));
                (&node.input, order.collect())
            }
        };
        let Some(input) = self.over(rows)? else {
            return Ok(None);
        };
        let order = order
            .into_iter()
            .map(|s| Ok(Sort::new(self.inner(&s.expr)?, s.asc, s.nulls_first)));
        let number =
            Expr::WindowFunction(Box::new(WindowFunction::new(row_number_udwf(), Vec::new())))
                .partition_by(self.key_exprs().collect())
                .order_by(order.collect::<Result<_>>()?)
                .build()?
                .alias(NUMBER);
        let numbered = LogicalPlanBuilder::from(input)
            .window(vec![number])?
            .build()?;
        let at = Expr::Column(Column::new_unqualified(NUMBER));
        let mut kept = at.clone().gt(lit(skip as u64));
        if let Some(fetch) = fetch {
            kept = kept.and(at.lt_eq(lit(skip.saturating_add(fetch) as u64)));
        }
        let kept = LogicalPlan::Filter(Filter::try_new(kept, Arc::new(numbered))?);
        let own = rows.schema().columns().into_iter().map(Expr::Column);
        self.projected(kept, own.collect()).map(Some)
    }

    fn join(&self, node: &Join) -> Result<Option<LogicalPlan>> {
        let (left, right) = (self.asked_by(&node.left), self.asked_by(&node.right));
        let of_left = matches!(
            node.join_type,
            JoinType::Inner | JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti
        );
        let (left, right) = match (left, right) {
            (_, false) if of_left => {
                let Some(left) = self.over(&node.left)? else {
                    return Ok(None);
                };
                (left, node.right.as_ref().clone())
            }
            (false, true) if node.join_type == JoinType::Inner => {
                let Some(right) = self.over(&node.right)? else {
                    return Ok(None);
                };
                (node.left.as_ref().clone(), right)
            }
            _ => return Ok(None),
        };
        let on = node
            .on
            .iter()
            .map(|(a, b)| Ok((self.inner(a)?, self.inner(b)?)));
        let joined = Join::try_new(
            Arc::new(left),
            Arc::new(right),
            on.collect::<Result<_>>()?,
            node.filter.as_ref().map(|f| self.inner(f)).transpose()?,
            node.join_type,
            node.join_constraint,
            node.null_equality,
            node.null_aware,
        )?;
        let own = node.schema.columns().into_iter().map(Expr::Column);
        self.projected(LogicalPlan::Join(joined), own.collect())
            .map(Some)
    }

    fn union(&self, node: &Union, plan: &LogicalPlan) -> Result<Option<LogicalPlan>> {
        let mut inputs = Vec::with_capacity(node.inputs.len());
        for input in &node.inputs {
            let Some(each) = self.over(input)? else {
                return Ok(None);
            };
            inputs.push(self.renamed(each, input, input)?);
        }
        self.united(inputs, plan).map(Some)
    }

    /// Rows of all of these, under the names of `plan`.
    fn united(&self, inputs: Vec<LogicalPlan>, plan: &LogicalPlan) -> Result<LogicalPlan> {
        let inputs = inputs.into_iter().map(Arc::new).collect();
        let union = LogicalPlan::Union(Union::try_new_with_loose_types(inputs)?);
        let named = self.keys().chain(plan.schema().columns());
        let exprs = union.schema().columns().into_iter().zip(named);
        let exprs =
            exprs.map(|(old, new)| Expr::Column(old).alias_qualified(new.relation, new.name));
        Projection::try_new(exprs.collect(), Arc::new(union)).map(LogicalPlan::Projection)
    }

    fn values(&self, node: &Values, plan: &LogicalPlan) -> Result<Option<LogicalPlan>> {
        let columns = node.schema.columns();
        let row = |row: &Vec<Expr>| {
            let own = row.iter().zip(&columns).map(|(value, column)| {
                let value = self.inner(value)?;
                Ok(value.alias_qualified(column.relation.clone(), &column.name))
            });
            self.projected(self.rows.clone(), own.collect::<Result<_>>()?)
        };
        let inputs = node.values.iter().map(row).collect::<Result<Vec<_>>>()?;
        self.united(inputs, plan).map(Some)
    }

    fn window(&self, node: &Window) -> Result<Option<LogicalPlan>> {
        let Some(input) = self.over(&node.input)? else {
            return Ok(None);
        };
        let calls = self.inner_all(&node.window_expr)?;
        let names = NamePreserver::new_for_projection();
        let calls = calls.into_iter().map(|call| {
            let saved = names.save(&call);
            let apart = call.transform_down(|e| match e {
                Expr::WindowFunction(mut call) => {
                    call.params.partition_by.extend(self.key_exprs());
                    Ok(Transformed::new(
                        Expr::WindowFunction(call),
                        true,
                        TreeNodeRecursion::Jump,
                    ))
                }
                other => Ok(Transformed::no(other)),
            })?;
            Ok(saved.restore(apart.data))
        });
        let calls = calls.collect::<Result<_>>()?;
        Window::try_new(calls, Arc::new(input)).map(|w| Some(LogicalPlan::Window(w)))
    }

    /// The same with their names.
    fn inner_all(&self, exprs: &[Expr]) -> Result<Vec<Expr>> {
        let names = NamePreserver::new_for_projection();
        let named = |expr| Ok(names.save(expr).restore(self.inner(expr)?));
        exprs.iter().map(named).collect()
    }

    /// An expression of the subquery, where the outer values are at hand.
    fn inner(&self, expr: &Expr) -> Result<Expr> {
        let seen = expr.clone().transform_up(|e| match e {
            Expr::OuterReferenceColumn(field, column) => match self.by.get(&column) {
                Some(key) => Ok(Transformed::yes(Expr::Column(key.clone()))),
                None => Ok(Transformed::no(Expr::OuterReferenceColumn(field, column))),
            },
            other => self.deeper(other),
        })?;
        Ok(seen.data)
    }

    /// A subquery within speaks of the outer values where they now are.
    fn deeper(&self, expr: Expr) -> Result<Transformed<Expr>> {
        Ok(match expr {
            Expr::ScalarSubquery(s) => Transformed::yes(Expr::ScalarSubquery(self.within(&s)?)),
            Expr::Exists(e) => Transformed::yes(Expr::Exists(Exists {
                subquery: self.within(&e.subquery)?,
                ..e
            })),
            Expr::InSubquery(e) => Transformed::yes(Expr::InSubquery(InSubquery {
                subquery: self.within(&e.subquery)?,
                ..e
            })),
            Expr::SetComparison(e) => Transformed::yes(Expr::SetComparison(SetComparison {
                subquery: self.within(&e.subquery)?,
                ..e
            })),
            other => Transformed::no(other),
        })
    }

    fn within(&self, subquery: &Subquery) -> Result<Subquery> {
        let moved = |e: Expr| match e {
            Expr::OuterReferenceColumn(field, column) => {
                let key = self.by.get(&column).cloned();
                let moved = key.is_some();
                let column = key.unwrap_or(column);
                let e = Expr::OuterReferenceColumn(field, column);
                Ok(if moved {
                    Transformed::yes(e)
                } else {
                    Transformed::no(e)
                })
            }
            other => self.deeper(other),
        };
        let plan = subquery.subquery.as_ref().clone();
        let plan = plan.transform_down(|node| {
            let names = NamePreserver::new(&node);
            node.map_expressions(|expr| {
                let saved = names.save(&expr);
                Ok(expr.transform_up(moved)?.update_data(|e| saved.restore(e)))
            })
        })?;
        let outer_ref_columns = subquery.outer_ref_columns.iter().cloned();
        let outer_ref_columns = outer_ref_columns.map(|e| Ok(moved(e)?.data));
        Ok(Subquery {
            subquery: Arc::new(plan.data),
            outer_ref_columns: outer_ref_columns.collect::<Result<_>>()?,
            spans: subquery.spans.clone(),
        })
    }
}

fn is_count(call: &Expr) -> bool {
    match call {
        Expr::Alias(alias) => is_count(&alias.expr),
        Expr::AggregateFunction(call) => COUNTS.contains(&call.func.name()),
        _ => false,
    }
}
