//! What a view's query may not contain, found in the query's tree, where the places are.

use std::ops::ControlFlow;

use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::{
    Distinct, Expr, JoinOperator, ObjectName, Query as SqlQuery, Select, SelectItem, Spanned,
    TableFactor, Visit, Visitor,
};
use datafusion::sql::sqlparser::tokenizer::Span;

use super::places;
use crate::ast::Query;
use crate::error::{Result, SqlError};
use crate::source::Position;
use crate::types;

const ADHOC: &str = "leave it to an ad-hoc SELECT over the view";

/// Refuses what a view cannot run.
pub(super) fn check(query: &Query) -> Result<()> {
    let mut finder = Finder { query };
    match query.ast.visit(&mut finder) {
        ControlFlow::Break(error) => Err(*error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// Refuses results whose columns cannot be stored: two of one name, or of a type that is not ours.
pub(super) fn check_result(query: &Query, plan: &LogicalPlan) -> Result<()> {
    let fields = plan.schema().fields();
    for (index, field) in fields.iter().enumerate() {
        if fields
            .iter()
            .take(index)
            .any(|known| known.name() == field.name())
        {
            let message = format!("two columns of the result are called \"{}\"", field.name());
            return Err(told(query, message).hint("name them apart with AS"));
        }
        if types::canonical(field.data_type()).is_none() {
            let shown = types::to_sql(field.data_type());
            let name = field.name();
            let message = format!("column \"{name}\" is of type {shown}, which a view cannot hold");
            return Err(told(query, message).hint("cast it, for example CAST(x AS TEXT)"));
        }
    }
    Ok(())
}

/// An error where what it speaks of stands.
fn told(query: &Query, message: String) -> SqlError {
    match places::place(query, &message) {
        Some(at) => query.source.error(at, message),
        None => query.source.error_at_start(message),
    }
}

/// Where the query's first subquery stands: in an expression, or LATERAL.
pub(super) fn first_subquery(query: &Query) -> Option<Position> {
    struct First;
    impl Visitor for First {
        type Break = Span;

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Span> {
            match expr {
                Expr::Subquery(query) => ControlFlow::Break(query.span()),
                Expr::Exists { subquery, .. } | Expr::InSubquery { subquery, .. } => {
                    ControlFlow::Break(subquery.span())
                }
                _ => ControlFlow::Continue(()),
            }
        }

        fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Span> {
            match factor {
                TableFactor::Derived {
                    lateral: true,
                    subquery,
                    ..
                } => ControlFlow::Break(subquery.span()),
                _ => ControlFlow::Continue(()),
            }
        }
    }
    let ControlFlow::Break(span) = query.ast.visit(&mut First) else {
        return None;
    };
    let number = |n: u64| u32::try_from(n).ok().filter(|n| *n > 0);
    Some(Position {
        line: number(span.start.line)?,
        column: number(span.start.column)?,
    })
}

fn called(name: &ObjectName, wanted: &str) -> bool {
    name.to_string().eq_ignore_ascii_case(wanted)
}

struct Finder<'a> {
    query: &'a Query,
}

type Flow = ControlFlow<Box<SqlError>>;

impl Finder<'_> {
    fn refuse(&self, span: Span, message: &str, hint: &str) -> Flow {
        let source = &self.query.source;
        let at = Position {
            line: u32::try_from(span.start.line).unwrap_or(0),
            column: u32::try_from(span.start.column).unwrap_or(0),
        };
        // What is said of the whole query may have a place of its own.
        let whole = at.line == 0 || span.start == self.query.ast.span().start;
        let error = if whole {
            told(self.query, message.to_owned())
        } else {
            source.error(at, message)
        };
        ControlFlow::Break(Box::new(error.hint(hint)))
    }

    fn refuse_if(&self, wrong: bool, span: Span, message: &str, hint: &str) -> Flow {
        if wrong {
            self.refuse(span, message, hint)
        } else {
            ControlFlow::Continue(())
        }
    }

    fn matches(&self, span: Span) -> Flow {
        self.refuse(
            span,
            "regexp_matches gives a row of texts for each match, which is not known",
            "write regexp_match(text, pattern) for the first match, regexp_substr(text, pattern, 1, n) for another, or unnest(regexp_split_to_array(text, pattern)) for what is between them",
        )
    }

    fn select_list(&self, select: &Select) -> Flow {
        for item in &select.projection {
            if let SelectItem::ExprWithAliases { .. } = item {
                self.refuse(
                    item.span(),
                    "several names for one column are not known",
                    "write one name after AS",
                )?;
            }
        }
        ControlFlow::Continue(())
    }

    fn joins(&self, select: &Select) -> Flow {
        for item in &select.from {
            for join in &item.joins {
                self.join(&join.join_operator, join.relation.span())?;
            }
        }
        ControlFlow::Continue(())
    }

    fn join(&self, operator: &JoinOperator, span: Span) -> Flow {
        match operator {
            JoinOperator::AsOf { .. } => self.refuse(
                span,
                "ASOF JOIN is not known in a view",
                "join with the table itself, whose later changes correct the result; or JOIN ON a.ts >= b.ts and keep the newest by row_number()",
            ),
            JoinOperator::CrossApply | JoinOperator::OuterApply => self.refuse(
                span,
                "APPLY is not known in a view",
                "write CROSS JOIN LATERAL (...) or LEFT JOIN LATERAL (...) ON true",
            ),
            _ => ControlFlow::Continue(()),
        }
    }
}

impl Visitor for Finder<'_> {
    type Break = Box<SqlError>;

    fn pre_visit_query(&mut self, query: &SqlQuery) -> Flow {
        let distinct_on = matches!(
            query.body.as_select().map(|s| &s.distinct),
            Some(Some(Distinct::On(_)))
        );
        self.refuse_if(
            query.fetch.is_some(),
            query.span(),
            "FETCH FIRST ... WITH TIES is not known in a view",
            "write WHERE n <= 5 over rank() OVER (ORDER BY ...) AS n, or FETCH FIRST 5 ROWS ONLY",
        )?;
        if let Some(order_by) = &query.order_by {
            self.refuse_if(
                query.limit_clause.is_none() && !distinct_on,
                order_by.span(),
                "ORDER BY without LIMIT is not known in a view: its rows have no order",
                "add a LIMIT, or order an ad-hoc SELECT over the view",
            )?;
        }
        if let Some(limit) = &query.limit_clause {
            self.refuse_if(
                query.order_by.is_none(),
                limit.span(),
                "LIMIT without ORDER BY is not known in a view: which rows it keeps would depend on how they come",
                "write ORDER BY column LIMIT 10",
            )?;
        }
        self.refuse_if(
            !query.locks.is_empty(),
            query.span(),
            "FOR UPDATE is not known",
            "leave it out",
        )?;
        let recursive = query.with.as_ref().is_some_and(|with| with.recursive);
        self.refuse_if(
            recursive,
            query.span(),
            "WITH RECURSIVE is not known in a view",
            ADHOC,
        )?;
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> Flow {
        self.refuse_if(
            select.into.is_some(),
            select.span(),
            "SELECT INTO is not known",
            "write CREATE MATERIALIZED VIEW name AS SELECT ...",
        )?;
        self.refuse_if(
            select.top.is_some(),
            select.span(),
            "TOP is not known in a view",
            ADHOC,
        )?;
        self.select_list(select)?;
        self.joins(select)
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> Flow {
        match expr {
            Expr::Function(call) if called(&call.name, "regexp_matches") => {
                self.matches(expr.span())
            }
            Expr::Function(call) if called(&call.name, "collect") => self.refuse(
                expr.span(),
                "COLLECT gives a multiset, which is no type here",
                "write array_agg(x) FILTER (WHERE x IS NOT NULL), which gives an array of the same values",
            ),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> Flow {
        match factor {
            TableFactor::UNNEST {
                with_ordinality: true,
                ..
            } => self.refuse(
                factor.span(),
                "WITH ORDINALITY is not known",
                "leave it out, or put the position into the elements",
            ),
            TableFactor::UNNEST { array_exprs, .. } if array_exprs.len() > 1 => self.refuse(
                factor.span(),
                "UNNEST of several lists side by side is not known",
                "unnest one list, of structs if need be",
            ),
            TableFactor::Table {
                name,
                args: Some(_),
                ..
            } if called(name, "regexp_matches") => self.matches(factor.span()),
            TableFactor::Function { name, .. } if called(name, "regexp_matches") => {
                self.matches(factor.span())
            }
            TableFactor::Table {
                sample: Some(_), ..
            } => self.refuse(factor.span(), "TABLESAMPLE is not known in a view", ADHOC),
            TableFactor::Pivot { .. }
            | TableFactor::Unpivot { .. }
            | TableFactor::MatchRecognize { .. } => self.refuse(
                factor.span(),
                "PIVOT and MATCH_RECOGNIZE are not known in a view",
                "write CASE expressions and GROUP BY",
            ),
            _ => ControlFlow::Continue(()),
        }
    }
}
