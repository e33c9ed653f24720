//! Rows in brackets: `(a, b) = (c, d)`, `(a, b) < (c, d)`, `(a, b) IN ((1, 2), (3, 4))` and `(a, b) IN (SELECT x, y ...)`, column by column, with
//! PostgreSQL's three truth values.

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Ident, Query, SetExpr, TableAliasColumnDef, TableFactor, UnaryOperator,
};

use crate::error::Result;
use crate::made;

/// The conjuncts of WHERE and HAVING, where NULL is as good as false.
pub(super) fn conditions(condition: &mut Expr) -> Result<()> {
    match condition {
        Expr::Nested(inner) => conditions(inner),
        Expr::BinaryOp {
            left,
            op: BinaryOperator::And,
            right,
        } => {
            conditions(left)?;
            conditions(right)
        }
        Expr::InSubquery {
            expr,
            subquery,
            negated,
        } => {
            let Some(row) = row(expr) else {
                return Ok(());
            };
            // What is not certainly another row makes NOT IN false or NULL.
            *condition = exists(row, subquery, *negated, *negated)?;
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Any other expression.
pub(super) fn compared(expr: &mut Expr) -> Result<()> {
    let mended = match expr {
        Expr::BinaryOp { left, op, right } => match (row(left), row(right)) {
            (Some(left), Some(right)) if left.len() == right.len() => rows(left, op, right),
            _ => None,
        },
        Expr::InList {
            expr: left,
            list,
            negated,
        } => in_list(left, list, *negated),
        Expr::InSubquery {
            expr: left,
            subquery,
            negated,
        } => match row(left) {
            Some(row) => Some(in_subquery(row, subquery, *negated)?),
            None => None,
        },
        _ => None,
    };
    if let Some(mended) = mended {
        *expr = mended;
    }
    Ok(())
}

fn row(expr: &Expr) -> Option<&[Expr]> {
    match expr {
        Expr::Tuple(row) if row.len() > 1 => Some(row),
        Expr::Nested(inner) => row(inner),
        _ => None,
    }
}

fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::BinaryOp {
        left: Box::new(left),
        op,
        right: Box::new(right),
    }
}

fn nested(expr: Expr) -> Expr {
    Expr::Nested(Box::new(expr))
}

fn not(expr: Expr) -> Expr {
    Expr::UnaryOp {
        op: UnaryOperator::Not,
        expr: Box::new(nested(expr)),
    }
}

fn all(parts: impl Iterator<Item = Expr>, op: BinaryOperator) -> Option<Expr> {
    parts
        .reduce(|left, right| binary(left, op.clone(), right))
        .map(nested)
}

fn equal(left: &[Expr], right: &[Expr]) -> Option<Expr> {
    let pairs = left.iter().zip(right);
    let same = pairs.map(|(a, b)| binary(a.clone(), BinaryOperator::Eq, b.clone()));
    all(same, BinaryOperator::And)
}

fn rows(left: &[Expr], op: &BinaryOperator, right: &[Expr]) -> Option<Expr> {
    match op {
        BinaryOperator::Eq => equal(left, right),
        BinaryOperator::NotEq => equal(left, right).map(not),
        BinaryOperator::Lt | BinaryOperator::LtEq => ordered(left, BinaryOperator::Lt, op, right),
        BinaryOperator::Gt | BinaryOperator::GtEq => ordered(left, BinaryOperator::Gt, op, right),
        _ => None,
    }
}

/// `a < c OR (a = c AND (b < d))`: the first columns that differ decide.
fn ordered(
    left: &[Expr],
    strict: BinaryOperator,
    last: &BinaryOperator,
    right: &[Expr],
) -> Option<Expr> {
    let ((a, left), (c, right)) = (left.split_first()?, right.split_first()?);
    if left.is_empty() {
        return Some(binary(a.clone(), last.clone(), c.clone()));
    }
    let decided = binary(a.clone(), strict.clone(), c.clone());
    let same = binary(a.clone(), BinaryOperator::Eq, c.clone());
    let rest = nested(ordered(left, strict, last, right)?);
    let rest = nested(binary(same, BinaryOperator::And, rest));
    Some(nested(binary(decided, BinaryOperator::Or, rest)))
}

fn in_list(left: &Expr, list: &[Expr], negated: bool) -> Option<Expr> {
    let left = row(left)?;
    let one = |item: &Expr| {
        let right = row(item).filter(|right| right.len() == left.len())?;
        equal(left, right)
    };
    let parts = list.iter().map(one).collect::<Option<Vec<_>>>()?;
    let any = all(parts.into_iter(), BinaryOperator::Or)?;
    Some(if negated { not(any) } else { any })
}

/// True if a row equals; else NULL if one may; else false.
fn in_subquery(left: &[Expr], subquery: &Query, negated: bool) -> Result<Expr> {
    let (found, maybe) = (
        exists(left, subquery, false, false)?,
        exists(left, subquery, true, false)?,
    );
    let mut chosen = made::expr("CASE WHEN a THEN true WHEN b THEN NULL ELSE false END")?;
    if let Expr::Case { conditions, .. } = &mut chosen {
        for (when, condition) in conditions.iter_mut().zip([found, maybe]) {
            when.condition = condition;
        }
    }
    Ok(if negated { not(chosen) } else { chosen })
}

/// `EXISTS (SELECT 1 FROM (subquery) WHERE its columns = left)`; with `maybe`: or NULL instead of equal.
fn exists(left: &[Expr], subquery: &Query, maybe: bool, negated: bool) -> Result<Expr> {
    let mut query = made::query("SELECT 1 FROM (SELECT 1) AS \"__in\" WHERE true")?;
    let names: Vec<String> = (1..=left.len()).map(|n| format!("__in_{n}")).collect();
    if let SetExpr::Select(select) = query.body.as_mut() {
        let column = |name: &String| {
            let parts = ["__in", name].map(|part| Ident::with_quote('"', part));
            Expr::CompoundIdentifier(parts.to_vec())
        };
        let same = left.iter().zip(&names).map(|(a, name)| {
            let same = binary(column(name), BinaryOperator::Eq, a.clone());
            match maybe {
                true => Expr::IsNotFalse(Box::new(nested(same))),
                false => same,
            }
        });
        select.selection = all(same, BinaryOperator::And);
        if let Some(TableFactor::Derived {
            subquery: inner,
            alias: Some(alias),
            ..
        }) = select.from.first_mut().map(|item| &mut item.relation)
        {
            **inner = subquery.clone();
            let quoted = names.iter().map(|n| TableAliasColumnDef {
                name: Ident::with_quote('"', n),
                data_type: None,
            });
            alias.columns = quoted.collect();
        }
    }
    Ok(Expr::Exists {
        subquery: query,
        negated,
    })
}
