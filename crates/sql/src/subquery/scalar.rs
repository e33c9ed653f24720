//! Scalar subqueries of a query's tree, so that one which gives more than one row is an error of the rows that ask for it: `(SELECT x FROM t)`
//! becomes `__one_row((SELECT named_struct('n', count(*), 'v', min(x)) FROM t))`. Aggregates without groups give one row anyway and stay;
//! `ORDER BY y LIMIT 1` becomes the first value by y.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArguments, GroupByExpr,
    LimitClause, OrderByKind, Query, Select, SelectItem, SetExpr, TableFactor, Visit, VisitMut,
    Visitor, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Tokenizer;

/// Rewrites a query's scalar subqueries; `aggregates` are the names of aggregate functions.
pub(crate) fn guard(query: &mut Query, aggregates: &[String]) {
    let mut rewriter = Rewriter { aggregates };
    let _ = VisitMut::visit(query, &mut rewriter);
}

struct Rewriter<'a> {
    aggregates: &'a [String],
}

impl VisitorMut for Rewriter<'_> {
    type Break = ();

    /// Window functions in FROM read relations: those are out of sight, too.
    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        for arg in arguments(factor) {
            if let Expr::Subquery(subquery) = arg {
                *arg = Expr::Exists {
                    subquery: subquery.clone(),
                    negated: false,
                };
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        for arg in arguments(factor) {
            if let Expr::Exists { subquery, .. } = arg {
                *arg = Expr::Subquery(subquery.clone());
            }
        }
        ControlFlow::Continue(())
    }

    /// ANY and ALL ask for many rows: their subqueries are out of sight until they have been passed.
    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::AnyOp { right, .. } | Expr::AllOp { right, .. } = expr
            && let Expr::Subquery(query) = right.as_ref()
        {
            **right = Expr::Exists {
                subquery: query.clone(),
                negated: false,
            };
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::AnyOp { right, .. } | Expr::AllOp { right, .. } => {
                if let Expr::Exists { subquery, .. } = right.as_ref() {
                    **right = Expr::Subquery(subquery.clone());
                }
            }
            Expr::Subquery(query) => {
                if let Some(guarded) = self.guarded(query) {
                    *expr = guarded;
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// The arguments of a function in FROM.
fn arguments(factor: &mut TableFactor) -> impl Iterator<Item = &mut Expr> {
    let args = match factor {
        TableFactor::Table {
            args: Some(args), ..
        } => args.args.as_mut_slice(),
        _ => &mut [],
    };
    args.iter_mut().filter_map(|arg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))
        | FunctionArg::Named {
            arg: FunctionArgExpr::Expr(expr),
            ..
        }
        | FunctionArg::ExprNamed {
            arg: FunctionArgExpr::Expr(expr),
            ..
        } => Some(expr),
        _ => None,
    })
}

impl Rewriter<'_> {
    fn guarded(&self, query: &Query) -> Option<Expr> {
        let SetExpr::Select(select) = query.body.as_ref() else {
            return wrapped(query);
        };
        let [item] = select.projection.as_slice() else {
            return None; // DataFusion tells it better.
        };
        let value = match item {
            SelectItem::UnnamedExpr(value) | SelectItem::ExprWithAlias { expr: value, .. } => value,
            _ => return wrapped(query),
        };
        let grouped = is_grouped(select);
        if !grouped && self.aggregates(value) {
            return named_apart(query, item);
        }
        if grouped || select.having.is_some() || select.distinct.is_some() || overs(value) {
            return wrapped(query);
        }
        if let Some(first) = first(query, select, value) {
            return Some(first);
        }
        if query.limit_clause.is_some() || query.fetch.is_some() {
            return wrapped(query);
        }
        let mut counted = query.clone();
        counted.order_by = None;
        with_item(&mut counted, pair(value)?)?;
        one_row(counted)
    }

    /// Whether it calls an aggregate (outside subqueries).
    fn aggregates(&self, value: &Expr) -> bool {
        let mut finder = Calls {
            names: self.aggregates,
            over: false,
            depth: 0,
        };
        value.visit(&mut finder).is_break()
    }
}

struct Calls<'a> {
    names: &'a [String],
    /// Whether calls with OVER are looked for, or aggregates without.
    over: bool,
    depth: usize,
}

impl Visitor for Calls<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        let Expr::Function(call) = expr else {
            return ControlFlow::Continue(());
        };
        let name = call.name.to_string().to_lowercase();
        let found = match self.over {
            true => call.over.is_some(),
            false => call.over.is_none() && self.names.contains(&name),
        };
        if found && self.depth == 0 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

fn overs(value: &Expr) -> bool {
    let mut finder = Calls {
        names: &[],
        over: true,
        depth: 0,
    };
    value.visit(&mut finder).is_break()
}

fn is_grouped(select: &Select) -> bool {
    !matches!(&select.group_by, GroupByExpr::Expressions(exprs, _) if exprs.is_empty())
}

/// The outer query may have the same aggregate, by the same name.
fn named_apart(query: &Query, item: &SelectItem) -> Option<Expr> {
    let SelectItem::UnnamedExpr(value) = item else {
        return None;
    };
    let mut named = query.clone();
    let SetExpr::Select(select) = named.body.as_mut() else {
        return None;
    };
    select.projection = vec![SelectItem::ExprWithAlias {
        expr: value.clone(),
        alias: "__value".into(),
    }];
    Some(Expr::Subquery(Box::new(named)))
}

fn with_item(query: &mut Query, item: Expr) -> Option<()> {
    let SetExpr::Select(select) = query.body.as_mut() else {
        return None;
    };
    select.projection = vec![SelectItem::UnnamedExpr(item)];
    Some(())
}

/// `named_struct('n', count(*), 'v', min(value))`.
fn pair(value: &Expr) -> Option<Expr> {
    filled(
        "named_struct('n', count(*), 'v', min(__value))",
        value.clone(),
    )
}

fn one_row(query: Query) -> Option<Expr> {
    filled("__one_row(__value)", Expr::Subquery(Box::new(query)))
}

/// The general form: the query as it is, its rows counted from outside.
fn wrapped(query: &Query) -> Option<Expr> {
    let mut outer = expr(
        "__one_row((SELECT named_struct('n', count(*), 'v', min(\"__value\")) FROM (SELECT 1) AS \"__scalar\"(\"__value\")))",
    )?;
    let mut inside = Inside {
        query: Some(query.clone()),
    };
    let _ = VisitMut::visit(&mut outer, &mut inside);
    Some(outer)
}

/// Puts a query in place of a derived table.
struct Inside {
    query: Option<Query>,
}

impl VisitorMut for Inside {
    type Break = ();

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let (TableFactor::Derived { subquery, .. }, Some(query)) = (factor, self.query.take()) {
            **subquery = query;
        }
        ControlFlow::Continue(())
    }
}

/// `ORDER BY y LIMIT 1` of an otherwise plain query.
fn first(query: &Query, select: &Select, value: &Expr) -> Option<Expr> {
    let one = |e: &Expr| e.to_string() == "1";
    let limited = match query.limit_clause.as_ref()? {
        LimitClause::LimitOffset {
            limit: Some(limit),
            offset: None,
            limit_by,
        } => one(limit) && limit_by.is_empty(),
        _ => false,
    };
    if !limited || query.with.is_some() || select.top.is_some() {
        return None;
    }
    let OrderByKind::Expressions(by) = &query.order_by.as_ref()?.kind else {
        return None;
    };
    let mut call = filled("first_value(__value)", value.clone())?;
    if let Expr::Function(function) = &mut call
        && let FunctionArguments::List(list) = &mut function.args
    {
        list.clauses
            .push(FunctionArgumentClause::OrderBy(by.clone()));
    }
    let mut counted = query.clone();
    (counted.order_by, counted.limit_clause) = (None, None);
    with_item(&mut counted, call)?;
    Some(Expr::Subquery(Box::new(counted)))
}

/// An expression of ours, with another one in place of `__value`.
fn filled(text: &str, value: Expr) -> Option<Expr> {
    struct Fill(Option<Expr>);
    impl VisitorMut for Fill {
        type Break = ();

        fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            let slot = matches!(expr, Expr::Identifier(name) if name.value == "__value");
            if let Some(value) = self.0.take_if(|_| slot) {
                *expr = value;
            }
            ControlFlow::Continue(())
        }
    }
    let mut outer = expr(text)?;
    let _ = VisitMut::visit(&mut outer, &mut Fill(Some(value)));
    Some(outer)
}

/// Parsed without places, so that errors are never shown in a text that nobody wrote.
fn expr(text: &str) -> Option<Expr> {
    let dialect = PostgreSqlDialect {};
    let tokens = Tokenizer::new(&dialect, text).tokenize().ok()?;
    Parser::new(&dialect).with_tokens(tokens).parse_expr().ok()
}
