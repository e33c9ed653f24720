//! What a view's query may not contain, found in the query's tree, where the places are.

use std::ops::ControlFlow;

use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::{
    Distinct, Expr, JoinConstraint, JoinOperator, Query as SqlQuery, Select, SelectItem, SetExpr,
    SetOperator, Spanned, TableFactor, Visit, Visitor,
};
use datafusion::sql::sqlparser::tokenizer::Span;

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
            let error = query.source.error_at_start(format!(
                "two columns of the result are called \"{}\"",
                field.name()
            ));
            return Err(error.hint("name them apart with AS"));
        }
        if types::canonical(field.data_type()).is_none() {
            let shown = types::to_sql(field.data_type());
            let error = query.source.error_at_start(format!(
                "column \"{}\" is of type {shown}, which a view cannot hold",
                field.name()
            ));
            return Err(error.hint("cast it, for example CAST(x AS TEXT)"));
        }
    }
    Ok(())
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
        let error = if at.line == 0 {
            source.error_at_start(message)
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

    fn set_operation(&self, body: &SetExpr) -> Flow {
        let SetExpr::SetOperation {
            left, op, right, ..
        } = body
        else {
            return ControlFlow::Continue(());
        };
        let word = match op {
            SetOperator::Except | SetOperator::Minus => "EXCEPT",
            SetOperator::Intersect => "INTERSECT",
            SetOperator::Union => {
                self.set_operation(left)?;
                return self.set_operation(right);
            }
        };
        let hint = if word == "EXCEPT" {
            "write a LEFT JOIN and WHERE the right key IS NULL"
        } else {
            "write an INNER JOIN"
        };
        self.refuse(
            right.span(),
            &format!("{word} is not known in a view"),
            hint,
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
        let on = "write JOIN ... ON a.key = b.key";
        match operator {
            JoinOperator::Join(c)
            | JoinOperator::Inner(c)
            | JoinOperator::Left(c)
            | JoinOperator::LeftOuter(c) => self.constraint(c, span),
            JoinOperator::Right(c) | JoinOperator::RightOuter(c) => self.constraint(c, span),
            JoinOperator::FullOuter(_) => self.refuse(
                span,
                "FULL JOIN is not known in a view",
                "write a LEFT JOIN, or UNION ALL of two of them",
            ),
            JoinOperator::CrossJoin(_) => self.refuse(
                span,
                "CROSS JOIN is not known in a view: it would keep every pair of rows",
                on,
            ),
            JoinOperator::AsOf { .. } => self.refuse(
                span,
                "ASOF JOIN is not known in a view",
                "join with the window of the time, or with a table",
            ),
            _ => self.refuse(
                span,
                "this kind of join is not known in a view",
                "write an INNER, LEFT or RIGHT JOIN",
            ),
        }
    }

    fn constraint(&self, constraint: &JoinConstraint, span: Span) -> Flow {
        let missing = matches!(constraint, JoinConstraint::None);
        self.refuse_if(
            missing,
            span,
            "a join in a view needs a condition",
            "write JOIN ... ON a.key = b.key",
        )
    }
}

impl Visitor for Finder<'_> {
    type Break = Box<SqlError>;

    fn pre_visit_query(&mut self, query: &SqlQuery) -> Flow {
        let distinct_on = matches!(
            query.body.as_select().map(|s| &s.distinct),
            Some(Some(Distinct::On(_)))
        );
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
            query.fetch.is_some(),
            query.span(),
            "FETCH FIRST is not known in a view",
            "write LIMIT",
        )?;
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
        let values = matches!(*query.body, SetExpr::Values(_));
        self.refuse_if(
            values,
            query.body.span(),
            "VALUES is not known in a view",
            "declare a TABLE over a topic that holds these rows",
        )?;
        self.set_operation(&query.body)
    }

    fn pre_visit_select(&mut self, select: &Select) -> Flow {
        self.refuse_if(
            select.from.is_empty(),
            select.span(),
            "a view must read a source, table or view",
            "add a FROM",
        )?;
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

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> Flow {
        match factor {
            TableFactor::Derived { lateral: true, .. }
            | TableFactor::Function { lateral: true, .. } => self.refuse(
                factor.span(),
                "LATERAL is not known in a view",
                "write a JOIN",
            ),
            TableFactor::UNNEST { .. } => self.refuse(
                factor.span(),
                "UNNEST is not known in a view",
                "unnest in an ad-hoc SELECT over the view",
            ),
            TableFactor::Table {
                version: Some(_), ..
            } => self.refuse(
                factor.span(),
                "FOR SYSTEM_TIME AS OF is not known",
                "join the table itself: its later changes correct the result",
            ),
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

    fn pre_visit_expr(&mut self, expr: &Expr) -> Flow {
        let join = "write a JOIN with the subquery in FROM";
        match expr {
            Expr::InSubquery { negated: false, .. } => self.refuse(
                expr.span(),
                "IN (SELECT ...) is not known in a view",
                "write a JOIN with SELECT DISTINCT",
            ),
            Expr::InSubquery { .. } => self.refuse(
                expr.span(),
                "NOT IN (SELECT ...) is not known in a view",
                "write a LEFT JOIN and WHERE the right key IS NULL",
            ),
            Expr::Exists { .. } => self.refuse(expr.span(), "EXISTS is not known in a view", join),
            Expr::AnyOp { right, .. } | Expr::AllOp { right, .. }
                if matches!(right.as_ref(), Expr::Subquery(_)) =>
            {
                self.refuse(
                    expr.span(),
                    "ANY and ALL over a subquery are not known in a view",
                    join,
                )
            }
            Expr::Rollup(_) | Expr::Cube(_) | Expr::GroupingSets(_) => self.refuse(
                expr.span(),
                "GROUPING SETS, ROLLUP and CUBE are not known in a view",
                "write one view for each set of columns",
            ),
            Expr::Function(call) => self.refuse_if(
                !call.within_group.is_empty(),
                call.name.span(),
                "WITHIN GROUP is not known in a view",
                ADHOC,
            ),
            _ => ControlFlow::Continue(()),
        }
    }
}
