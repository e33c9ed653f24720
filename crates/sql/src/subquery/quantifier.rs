//! `x IN (q)`, `x op ANY (q)` and `x op ALL (q)` as EXISTS, with NULL where SQL says so:
//!
//! - `x op ANY (q)` is true if some c of q has `x op c`; else NULL if q has a NULL, or x is NULL and q has rows; else false;
//! - `x op ALL (q)` is NOT (`x` negated-op `ANY (q)`); IN is `= ANY`, NOT IN is `<> ALL`.
//!
//! Each part compares with one column by one operator, so that equality stays a join's key. As a conjunct of WHERE, where NULL counts
//! as false, a positive IN or ANY needs the first part only (a semi join).

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, ExprSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::{Case, Exists, InSubquery, SetComparison, SetQuantifier};
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    BinaryExpr, Expr, Filter, LogicalPlan, LogicalPlanBuilder, Operator, Subquery, lit,
};

use crate::functions::rewrite::in_node;

pub(super) fn rewrite(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    if let LogicalPlan::Filter(filter) = plan {
        return conjuncts(filter);
    }
    in_node(plan, embedded)
}

fn conjuncts(filter: Filter) -> Result<Transformed<LogicalPlan>> {
    let asks = filter.predicate.exists(|e| Ok(is_quantified(e)))?;
    if !asks {
        return Ok(Transformed::no(LogicalPlan::Filter(filter)));
    }
    let schema = Arc::clone(filter.input.schema());
    let mut kept = Vec::new();
    for conjunct in split_conjunction_owned(filter.predicate) {
        match Quantified::of(&conjunct) {
            Some(q) if q.single() => kept.push(q.scalar()?),
            Some(q) => kept.extend(q.holds(&schema)?),
            None => kept.push(embedded(conjunct, &schema)?.data),
        }
    }
    let predicate = conjunction(kept).unwrap_or_else(|| lit(true));
    let filter = Filter::try_new(predicate, filter.input)?;
    Ok(Transformed::yes(LogicalPlan::Filter(filter)))
}

fn is_quantified(expr: &Expr) -> bool {
    matches!(
        expr,
        Expr::InSubquery(_) | Expr::SetComparison(_) | Expr::Exists(_)
    )
}

/// Quantified comparisons anywhere in an expression.
fn embedded(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    expr.transform_up(|expr| {
        if let Expr::Exists(exists) = &expr
            && yields_one_row(&exists.subquery.subquery)
        {
            return Ok(Transformed::yes(lit(!exists.negated)));
        }
        match Quantified::of(&expr) {
            Some(q) if q.single() => q.scalar().map(Transformed::yes),
            Some(q) => q.value(schema).map(Transformed::yes),
            None => Ok(Transformed::no(expr)),
        }
    })
}

/// `left op ANY (subquery)`, or NOT that.
struct Quantified {
    left: Expr,
    op: Operator,
    subquery: Subquery,
    negated: bool,
}

impl Quantified {
    fn of(expr: &Expr) -> Option<Self> {
        match expr {
            Expr::Not(inner) => {
                let inner = Self::of(inner)?;
                let negated = !inner.negated;
                Some(Self { negated, ..inner })
            }
            Expr::InSubquery(InSubquery {
                expr,
                subquery,
                negated,
            }) => Some(Self {
                left: expr.as_ref().clone(),
                op: Operator::Eq,
                subquery: subquery.clone(),
                negated: *negated,
            }),
            Expr::SetComparison(SetComparison {
                expr,
                subquery,
                op,
                quantifier,
            }) => {
                let negated = *quantifier == SetQuantifier::All;
                let op = if negated { op.negate()? } else { *op };
                Some(Self {
                    left: expr.as_ref().clone(),
                    op,
                    subquery: subquery.clone(),
                    negated,
                })
            }
            _ => None,
        }
    }

    /// Whether the subquery has exactly one row, always: then it is a comparison with a scalar.
    fn single(&self) -> bool {
        yields_one_row(&self.subquery.subquery)
    }

    fn scalar(&self) -> Result<Expr> {
        let right = Expr::ScalarSubquery(self.subquery.clone());
        let op = if self.negated {
            self.op.negate().unwrap_or(self.op)
        } else {
            self.op
        };
        Ok(compare(self.left.clone(), op, right))
    }

    /// Its column, as [`exists`] names it.
    fn column(&self) -> Expr {
        Expr::Column(Column::new_unqualified(ALIAS))
    }

    /// Some row compares true.
    fn found(&self, schema: &DFSchema) -> Result<Expr> {
        let left = outer(self.left.clone(), schema)?;
        exists(&self.subquery, Some(compare(left, self.op, self.column())))
    }

    fn has_null(&self) -> Result<Expr> {
        exists(&self.subquery, Some(self.column().is_null()))
    }

    /// Conjuncts that are all true just where it is true.
    fn holds(&self, schema: &DFSchema) -> Result<Vec<Expr>> {
        let found = self.found(schema)?;
        if !self.negated {
            return Ok(vec![found]);
        }
        let some = exists(&self.subquery, None)?;
        let mut all = vec![negate(found)];
        if !self.never_null() {
            all.push(negate(self.has_null()?));
        }
        if !matches!(&self.left, Expr::Literal(value, _) if !value.is_null()) {
            all.push(self.left.clone().is_not_null().or(negate(some)));
        }
        Ok(all)
    }

    /// The same as a value: true, false or NULL.
    fn value(&self, schema: &DFSchema) -> Result<Expr> {
        let some = exists(&self.subquery, None)?;
        let unknown = self.left.clone().is_null().and(some);
        let unknown = if self.never_null() {
            unknown
        } else {
            self.has_null()?.or(unknown)
        };
        let null = Expr::Literal(ScalarValue::Boolean(None), None);
        Ok(Expr::Case(Case {
            expr: None,
            when_then_expr: vec![
                (Box::new(self.found(schema)?), Box::new(lit(!self.negated))),
                (Box::new(unknown), Box::new(null)),
            ],
            else_expr: Some(Box::new(lit(self.negated))),
        }))
    }

    /// Whether the subquery itself says that its column is not NULL.
    fn never_null(&self) -> bool {
        let schema = self.subquery.subquery.schema();
        let column = Expr::Column(Column::from(schema.qualified_field(0)));
        !schema.field(0).is_nullable() || says_not_null(&self.subquery.subquery, &column)
    }
}

/// Whether a filter under plain projections says `column IS NOT NULL`.
fn says_not_null(plan: &LogicalPlan, column: &Expr) -> bool {
    match plan {
        LogicalPlan::Projection(p) => match p.expr.first() {
            Some(Expr::Alias(alias)) => says_not_null(&p.input, &alias.expr),
            Some(expr) => says_not_null(&p.input, expr),
            None => false,
        },
        LogicalPlan::Filter(f) => {
            let said = |e: &&Expr| matches!(e, Expr::IsNotNull(inner) if inner.as_ref() == column);
            let parts = datafusion::logical_expr::utils::split_conjunction(&f.predicate);
            parts.iter().any(said)
        }
        _ => false,
    }
}

/// Whether a plan has one row whatever its input: an aggregate without groups.
pub(super) fn yields_one_row(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Projection(p) => yields_one_row(&p.input),
        LogicalPlan::SubqueryAlias(a) => yields_one_row(&a.input),
        LogicalPlan::Aggregate(a) => a.group_expr.is_empty(),
        _ => false,
    }
}

fn compare(left: Expr, op: Operator, right: Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
}

/// The subquery's column in comparisons: by its own name `t.a IN (SELECT a FROM t)` would compare a column with itself.
const ALIAS: &str = "__quantified";

fn exists(subquery: &Subquery, filter: Option<Expr>) -> Result<Expr> {
    let mut plan = LogicalPlanBuilder::from(subquery.subquery.as_ref().clone());
    if let Some(filter) = filter {
        let column = Column::from(subquery.subquery.schema().qualified_field(0));
        plan = plan
            .project([Expr::Column(column).alias(ALIAS)])?
            .filter(filter)?;
    }
    let plan = plan.build()?;
    let outer_ref_columns = plan.all_out_ref_exprs();
    Ok(Expr::Exists(Exists {
        subquery: Subquery {
            subquery: Arc::new(plan),
            outer_ref_columns,
            spans: subquery.spans.clone(),
        },
        negated: false,
    }))
}

/// NOT EXISTS in the form that rules know.
fn negate(exists: Expr) -> Expr {
    match exists {
        Expr::Exists(exists) => Expr::Exists(Exists {
            negated: !exists.negated,
            ..exists
        }),
        other => Expr::Not(Box::new(other)),
    }
}

/// The expression as a subquery sees it.
fn outer(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    let seen = expr.transform_up(|expr| match expr {
        Expr::Column(column) => {
            let field = Arc::clone(schema.field_from_column(&column)?);
            Ok(Transformed::yes(Expr::OuterReferenceColumn(field, column)))
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(seen.data)
}
