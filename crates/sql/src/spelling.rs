//! What others write in another form than the one that is planned here: windows in GROUP BY, windows that add to named ones, rows in
//! brackets, the first rows of a LATERAL subquery. From one tree to another, before anything is looked up.

mod first;
mod groups;
mod named;
mod rows;

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Query as SqlQuery, Select, SetExpr, Spanned, TableFactor, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::tokenizer::Span;

use crate::ast::Query;
use crate::error::{Result, SqlError};
use crate::made;
use crate::source::Position;

/// Brings a query's tree into our form.
///
/// # Errors
/// Where something stands that has none.
pub(crate) fn mend(query: &Query, ast: &mut SqlQuery) -> Result<()> {
    let mut mender = Mender { query };
    match VisitMut::visit(ast, &mut mender) {
        ControlFlow::Break(error) => Err(*error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Mender<'a> {
    query: &'a Query,
}

type Flow = ControlFlow<Box<SqlError>>;

fn flow(result: Result<()>) -> Flow {
    match result {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(Box::new(error)),
    }
}

impl VisitorMut for Mender<'_> {
    type Break = Box<SqlError>;

    fn pre_visit_query(&mut self, query: &mut SqlQuery) -> Flow {
        flow(self.groups(query))?;
        flow(tables(&mut query.body))?;
        match query.body.as_mut() {
            SetExpr::Select(select) => flow(self.windows(select, query.order_by.as_mut())),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> Flow {
        flow(self.windows(select, None))?;
        for condition in [&mut select.selection, &mut select.having]
            .into_iter()
            .flatten()
        {
            flow(rows::conditions(condition))?;
        }
        ControlFlow::Continue(())
    }

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> Flow {
        match factor {
            TableFactor::Derived {
                lateral: true,
                subquery,
                ..
            } => flow(first::rows(subquery)),
            _ => ControlFlow::Continue(()),
        }
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> Flow {
        flow(rows::compared(expr))
    }
}

impl Mender<'_> {
    fn refused(&self, span: Span, message: impl Into<String>, hint: impl Into<String>) -> SqlError {
        self.query.refused(span, message, hint)
    }
}

impl Query {
    /// An error at a place of the query's tree; at its beginning if the place is not known.
    pub(crate) fn refused(
        &self,
        span: Span,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> SqlError {
        let number = |n: u64| u32::try_from(n).unwrap_or(0);
        let at = Position {
            line: number(span.start.line),
            column: number(span.start.column),
        };
        let error = match at.line {
            0 => self.source.error_at_start(message.into()),
            _ => self.source.error(at, message.into()),
        };
        error.hint(hint)
    }
}

/// `TABLE t` as `SELECT * FROM t`.
fn tables(body: &mut SetExpr) -> Result<()> {
    match body {
        SetExpr::Table(table) => {
            let names = [&table.schema_name, &table.table_name];
            let names: Vec<&str> = names.into_iter().flatten().map(String::as_str).collect();
            *body = *made::query(&format!("SELECT * FROM {}", names.join(".")))?.body;
            Ok(())
        }
        SetExpr::SetOperation { left, right, .. } => {
            tables(left)?;
            tables(right)
        }
        _ => Ok(()),
    }
}

/// Whether an expression calls one function, as `f(...)` without more around it.
fn call_of(expr: &Expr) -> Option<(String, &datafusion::sql::sqlparser::ast::Function)> {
    match expr {
        Expr::Nested(inner) => call_of(inner),
        Expr::Function(call) if call.over.is_none() => {
            Some((call.name.to_string().to_lowercase(), call))
        }
        _ => None,
    }
}

fn place(expr: &Expr) -> Span {
    expr.span()
}
