//! `LATERAL (SELECT ... WHERE inner.key = outer.key ORDER BY x LIMIT n)`: the first rows of each outer row's key are those of the key, numbered
//! by `row_number()`, so that the subquery depends on the outer row by its key alone.

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, GroupByExpr, Ident, LimitClause, OrderByKind, Query, Select, SelectItem,
    SetExpr, TableFactor, TableWithJoins, WindowSpec, WindowType,
};

use crate::error::Result;
use crate::made;

/// What the numbered rows are called, their number and their keys.
const ROWS: &str = "__first";
const NUMBER: &str = "__first_number";

/// Rewrites a subquery of that form; others stay.
pub(super) fn rows(query: &mut Query) -> Result<()> {
    let Some(found) = First::of(query) else {
        return Ok(());
    };
    *query = found.numbered()?;
    Ok(())
}

struct First {
    select: Select,
    order: Vec<datafusion::sql::sqlparser::ast::OrderByExpr>,
    /// Conditions that only speak of the subquery's own rows.
    own: Vec<Expr>,
    /// Own column and what of the outer row it equals.
    keys: Vec<(Expr, Expr)>,
    limit: Option<Expr>,
    offset: Option<Expr>,
}

impl First {
    fn of(query: &Query) -> Option<Self> {
        let SetExpr::Select(select) = query.body.as_ref() else {
            return None;
        };
        let plain = query.with.is_none()
            && query.fetch.is_none()
            && select.distinct.is_none()
            && select.having.is_none()
            && matches!(&select.group_by, GroupByExpr::Expressions(all, _) if all.is_empty());
        let OrderByKind::Expressions(order) = &query.order_by.as_ref()?.kind else {
            return None;
        };
        let LimitClause::LimitOffset {
            limit,
            offset,
            limit_by,
        } = query.limit_clause.as_ref()?
        else {
            return None;
        };
        if !plain || !limit_by.is_empty() {
            return None;
        }
        let names = names(&select.from);
        let (mut own, mut keys) = (Vec::new(), Vec::new());
        for part in conjuncts(select.selection.as_ref()?) {
            match key(part, &names) {
                Some(key) => keys.push(key),
                None => own.push(part.clone()),
            }
        }
        (!keys.is_empty()).then(|| Self {
            select: select.as_ref().clone(),
            order: order.clone(),
            own,
            keys,
            limit: limit.clone(),
            offset: offset.as_ref().map(|offset| offset.value.clone()),
        })
    }

    /// `SELECT * EXCLUDE (keys, number) FROM (SELECT ..., keys, row_number() ... AS number) WHERE keys = outer AND number <= limit`
    fn numbered(self) -> Result<Query> {
        let names: Vec<String> = (1..=self.keys.len())
            .map(|n| format!("__first_key_{n}"))
            .collect();
        let mut inner = self.select;
        let own = self.own.into_iter();
        inner.selection = own.reduce(|a, b| binary(nested(a), BinaryOperator::And, nested(b)));
        for ((column, _), name) in self.keys.iter().zip(&names) {
            inner.projection.push(SelectItem::ExprWithAlias {
                expr: column.clone(),
                alias: Ident::with_quote('"', name),
            });
        }
        inner.projection.push(SelectItem::ExprWithAlias {
            expr: number(&self.keys, self.order)?,
            alias: Ident::with_quote('"', NUMBER),
        });
        let hidden: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
        let mut query = made::query(&format!(
            "SELECT * EXCLUDE ({}, \"{NUMBER}\") FROM (SELECT 1) AS \"{ROWS}\" WHERE true",
            hidden.join(", ")
        ))?;
        if let SetExpr::Select(outer) = query.body.as_mut() {
            if let Some(TableFactor::Derived { subquery, .. }) =
                outer.from.first_mut().map(|item| &mut item.relation)
            {
                *subquery.body = SetExpr::Select(Box::new(inner));
            }
            let column = |name: &str| {
                let parts = [ROWS, name].map(|part| Ident::with_quote('"', part));
                Expr::CompoundIdentifier(parts.to_vec())
            };
            let same = self.keys.into_iter().zip(&names);
            let mut parts: Vec<Expr> = same
                .map(|((_, outer), name)| binary(column(name), BinaryOperator::Eq, outer))
                .collect();
            if let Some(offset) = &self.offset {
                let number = column(NUMBER);
                parts.push(binary(number, BinaryOperator::Gt, nested(offset.clone())));
            }
            if let Some(limit) = self.limit {
                let last = match self.offset {
                    Some(offset) => binary(nested(limit), BinaryOperator::Plus, nested(offset)),
                    None => limit,
                };
                parts.push(binary(column(NUMBER), BinaryOperator::LtEq, nested(last)));
            }
            outer.selection = parts
                .into_iter()
                .reduce(|a, b| binary(a, BinaryOperator::And, b));
        }
        Ok(*query)
    }
}

/// `row_number() OVER (PARTITION BY keys ORDER BY order)`
fn number(
    keys: &[(Expr, Expr)],
    order: Vec<datafusion::sql::sqlparser::ast::OrderByExpr>,
) -> Result<Expr> {
    let mut call = made::expr("row_number() OVER (PARTITION BY x ORDER BY x)")?;
    if let Expr::Function(function) = &mut call
        && let Some(WindowType::WindowSpec(WindowSpec {
            partition_by,
            order_by,
            ..
        })) = &mut function.over
    {
        *partition_by = keys.iter().map(|(column, _)| column.clone()).collect();
        *order_by = order;
    }
    Ok(call)
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

fn conjuncts(condition: &Expr) -> Vec<&Expr> {
    match condition {
        Expr::Nested(inner) => conjuncts(inner),
        Expr::BinaryOp {
            left,
            op: BinaryOperator::And,
            right,
        } => {
            let mut all = conjuncts(left);
            all.extend(conjuncts(right));
            all
        }
        other => vec![other],
    }
}

/// The own and the outer column of an equality between them, both with the names of their relations.
fn key(condition: &Expr, names: &[String]) -> Option<(Expr, Expr)> {
    let Expr::BinaryOp {
        left,
        op: BinaryOperator::Eq,
        right,
    } = condition
    else {
        return None;
    };
    match (is_own(left, names)?, is_own(right, names)?) {
        (true, false) => Some((left.as_ref().clone(), right.as_ref().clone())),
        (false, true) => Some((right.as_ref().clone(), left.as_ref().clone())),
        _ => None,
    }
}

/// Whether a column is of one of these relations; `None` if that is not written.
fn is_own(expr: &Expr, names: &[String]) -> Option<bool> {
    match expr {
        Expr::Nested(inner) => is_own(inner, names),
        Expr::CompoundIdentifier(parts) => {
            Some(names.contains(&parts.first()?.value.to_lowercase()))
        }
        // A column without a relation is taken for one of the subquery's, as it will be found there first.
        Expr::Identifier(_) => Some(true),
        _ => None,
    }
}

/// What the relations of a FROM are called.
fn names(from: &[TableWithJoins]) -> Vec<String> {
    let name = |factor: &TableFactor| match factor {
        TableFactor::Table { name, alias, .. } => match alias {
            Some(alias) => Some(alias.name.value.to_lowercase()),
            None => name.0.last()?.as_ident().map(|i| i.value.to_lowercase()),
        },
        TableFactor::Derived {
            alias: Some(alias), ..
        } => Some(alias.name.value.to_lowercase()),
        _ => None,
    };
    let all = from.iter().flat_map(|item| {
        std::iter::once(&item.relation).chain(item.joins.iter().map(|join| &join.relation))
    });
    all.filter_map(name).collect()
}
