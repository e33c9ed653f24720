//! `GROUP BY TUMBLE(ts, INTERVAL '1' HOUR)`, as Flink wrote windows before they stood in FROM: `FROM TUMBLE((SELECT * FROM ... WHERE ...), ts,
//! INTERVAL '1' HOUR) GROUP BY window_start, window_end`, with `TUMBLE_START(...)` as `window_start`. And `window_time`, the last
//! millisecond of a window.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Ident, OrderBy,
    Query as SqlQuery, Select, SelectItem, SetExpr, Spanned, TableFactor, TableWithJoins, Value,
    VisitMut, VisitorMut,
};

use super::{Mender, call_of, place};
use crate::error::{Result, SqlError};
use crate::functions::window::{WINDOW_END, WINDOW_START};
use crate::made;

const KINDS: [&str; 4] = ["tumble", "hop", "cumulate", "session"];
const WINDOW_TIME: &str = "window_time";

impl Mender<'_> {
    pub(super) fn groups(&self, query: &mut SqlQuery) -> Result<()> {
        let mut order = query.order_by.as_mut();
        if let SetExpr::Select(select) = query.body.as_mut() {
            return self.grouped(select, order.take());
        }
        self.each(&mut query.body)
    }

    /// The SELECTs of a UNION.
    fn each(&self, body: &mut SetExpr) -> Result<()> {
        match body {
            SetExpr::Select(select) => self.grouped(select, None),
            SetExpr::SetOperation { left, right, .. } => {
                self.each(left)?;
                self.each(right)
            }
            _ => Ok(()),
        }
    }

    fn grouped(&self, select: &mut Select, mut order: Option<&mut OrderBy>) -> Result<()> {
        if let GroupByExpr::Expressions(group, _) = &select.group_by
            && let Some(at) = group.iter().position(is_window)
        {
            self.window_into_from(select, at, order.as_deref_mut())?;
        }
        if reads_windows(&select.from) {
            let mut times = Times {
                time: made::expr("(window_end - INTERVAL '1 millisecond')")?,
                depth: 0,
            };
            name_times(&mut select.projection);
            let _ = outside_from(select, order, &mut times);
        }
        Ok(())
    }

    /// Puts the window of a GROUP BY into FROM.
    fn window_into_from(
        &self,
        select: &mut Select,
        at: usize,
        order: Option<&mut OrderBy>,
    ) -> Result<()> {
        let GroupByExpr::Expressions(group, _) = &select.group_by else {
            return Ok(());
        };
        if let Some(second) = group.iter().skip(at + 1).find(|e| is_window(e)) {
            return Err(self.refused(
                place(second),
                "a query groups by one window only",
                "window the result of another query: FROM TUMBLE((SELECT ...), time, INTERVAL '1 hour')",
            ));
        }
        let Some((kind, call)) = call_of(&group[at]) else {
            return Ok(());
        };
        let call = call.clone();
        let args = self.arguments(&call)?;
        if select.from.is_empty() {
            return Err(self.refused(
                call.name.span(),
                format!("{kind} groups rows, but there is no FROM"),
                "write FROM orders GROUP BY TUMBLE(ts, INTERVAL '1 hour')",
            ));
        }
        let keys = match kind.as_str() {
            "session" => keys(select, at),
            _ => Vec::new(),
        };
        let mut input = made::query("SELECT * FROM x")?;
        if let SetExpr::Select(inner) = input.body.as_mut() {
            inner.from = std::mem::take(&mut select.from);
            inner.selection = select.selection.take();
        }
        let all = std::iter::once(Expr::Subquery(input)).chain(keys);
        let all = all.chain(args.clone()).map(FunctionArgExpr::Expr);
        select.from = vec![TableWithJoins {
            relation: made::relation(
                call.name.clone(),
                Some(all.map(FunctionArg::Unnamed).collect()),
                None,
            ),
            joins: Vec::new(),
        }];
        let bound = |name: &str| Expr::Identifier(Ident::with_span(call.name.span(), name));
        if let GroupByExpr::Expressions(group, _) = &mut select.group_by {
            group.splice(at..=at, [bound(WINDOW_START), bound(WINDOW_END)]);
        }
        let mut bounds = Bounds {
            mender: self,
            kind,
            args,
            depth: 0,
        };
        match outside_from(select, order, &mut bounds) {
            ControlFlow::Break(error) => Err(*error),
            ControlFlow::Continue(()) => Ok(()),
        }
    }

    fn arguments(&self, call: &Function) -> Result<Vec<Expr>> {
        let wrong = || {
            self.refused(
                call.name.span(),
                format!("{} takes a time and lengths", call.name),
                "write TUMBLE(ts, INTERVAL '1 hour'), HOP(ts, slide, size), CUMULATE(ts, step, size) or SESSION(ts, gap)",
            )
        };
        let FunctionArguments::List(list) = &call.args else {
            return Err(wrong());
        };
        let plain = |arg: &FunctionArg| match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Ok(expr.clone()),
            _ => Err(wrong()),
        };
        let args = list.args.iter().map(plain).collect::<Result<Vec<_>>>()?;
        match args.len() {
            2.. => Ok(args),
            _ => Err(wrong()),
        }
    }
}

fn is_window(expr: &Expr) -> bool {
    call_of(expr).is_some_and(|(name, _)| KINDS.contains(&name.as_str()))
}

/// What else a query groups by: the keys of its sessions. A number or the name of a result column is that column.
fn keys(select: &Select, window: usize) -> Vec<Expr> {
    let GroupByExpr::Expressions(group, _) = &select.group_by else {
        return Vec::new();
    };
    let others = group.iter().enumerate().filter(|(at, _)| *at != window);
    others.map(|(_, key)| as_column(select, key)).collect()
}

fn as_column(select: &Select, key: &Expr) -> Expr {
    let expr_of = |item: &SelectItem| match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => {
            Some(expr.clone())
        }
        _ => None,
    };
    let found = match key {
        Expr::Value(value) => match &value.value {
            Value::Number(number, _) => {
                let at = number.to_string().parse::<usize>().ok();
                at.and_then(|at| select.projection.get(at.checked_sub(1)?))
                    .and_then(expr_of)
            }
            _ => None,
        },
        Expr::Identifier(name) => select.projection.iter().find_map(|item| match item {
            SelectItem::ExprWithAlias { expr, alias }
                if alias.value.eq_ignore_ascii_case(&name.value) =>
            {
                Some(expr.clone())
            }
            _ => None,
        }),
        _ => None,
    };
    found.unwrap_or_else(|| key.clone())
}

/// Whether a FROM holds a window function.
fn reads_windows(from: &[TableWithJoins]) -> bool {
    let windowed = |factor: &TableFactor| match factor {
        TableFactor::Table {
            name,
            args: Some(_),
            ..
        } => KINDS.contains(&name.to_string().to_lowercase().as_str()),
        _ => false,
    };
    from.iter().any(|item| {
        windowed(&item.relation) || item.joins.iter().any(|join| windowed(&join.relation))
    })
}

/// `SELECT window_time` keeps its name.
fn name_times(projection: &mut [SelectItem]) {
    for item in projection {
        let SelectItem::UnnamedExpr(expr) = item else {
            continue;
        };
        let name = match &*expr {
            Expr::Identifier(name) => Some(name),
            Expr::CompoundIdentifier(parts) => parts.last(),
            _ => None,
        };
        if name.is_some_and(|name| name.value.eq_ignore_ascii_case(WINDOW_TIME)) {
            *item = SelectItem::ExprWithAlias {
                expr: expr.clone(),
                alias: Ident::new(WINDOW_TIME),
            };
        }
    }
}

/// Everything of a SELECT but its FROM.
pub(super) fn outside_from<V: VisitorMut>(
    select: &mut Select,
    order: Option<&mut OrderBy>,
    visitor: &mut V,
) -> ControlFlow<V::Break> {
    VisitMut::visit(&mut select.projection, visitor)?;
    VisitMut::visit(&mut select.selection, visitor)?;
    VisitMut::visit(&mut select.group_by, visitor)?;
    VisitMut::visit(&mut select.having, visitor)?;
    VisitMut::visit(&mut select.qualify, visitor)?;
    VisitMut::visit(&mut select.named_window, visitor)?;
    match order {
        Some(order) => VisitMut::visit(order, visitor),
        None => ControlFlow::Continue(()),
    }
}

/// `TUMBLE_START(...)` and its like, outside of subqueries.
struct Bounds<'a> {
    mender: &'a Mender<'a>,
    kind: String,
    args: Vec<Expr>,
    depth: usize,
}

impl Bounds<'_> {
    fn bound(&self, name: &str, call: &Function) -> Result<Option<Expr>> {
        let Some((kind, part)) = name.split_once('_') else {
            return Ok(None);
        };
        let parts = ["start", "end", "rowtime", "proctime"];
        if !KINDS.contains(&kind) || !parts.contains(&part) {
            return Ok(None);
        }
        let shown = |args: &[Expr]| {
            let all: Vec<String> = args.iter().map(ToString::to_string).collect();
            all.join(", ").to_lowercase()
        };
        let own = self.mender.arguments(call)?;
        if kind != self.kind || shown(&own) != shown(&self.args) {
            return Err(self.mender.refused(
                call.name.span(),
                format!("{name} speaks of another window than that of the GROUP BY"),
                format!("write {}_{part}({})", self.kind, shown(&self.args)),
            ));
        }
        let column = |name: &str| Expr::Identifier(Ident::with_span(call.name.span(), name));
        match part {
            "start" => Ok(Some(column(WINDOW_START))),
            "end" => Ok(Some(column(WINDOW_END))),
            "rowtime" => Ok(Some(column(WINDOW_TIME))),
            _ => Err(self.mender.refused(
                call.name.span(),
                format!("{name} is not known"),
                "window a column of the time of arrival: ts TIMESTAMPTZ AS now()",
            )),
        }
    }
}

impl VisitorMut for Bounds<'_> {
    type Break = Box<SqlError>;

    fn pre_visit_query(&mut self, _: &mut SqlQuery) -> ControlFlow<Box<SqlError>> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut SqlQuery) -> ControlFlow<Box<SqlError>> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Box<SqlError>> {
        if self.depth > 0 {
            return ControlFlow::Continue(());
        }
        let Some((name, call)) = call_of(expr) else {
            return ControlFlow::Continue(());
        };
        match self.bound(&name, call) {
            Ok(Some(column)) => *expr = column,
            Ok(None) => {}
            Err(error) => return ControlFlow::Break(Box::new(error)),
        }
        ControlFlow::Continue(())
    }
}

/// `window_time`, outside of subqueries.
struct Times {
    time: Expr,
    depth: usize,
}

impl VisitorMut for Times {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut SqlQuery) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut SqlQuery) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let is_time = |name: &Ident| name.value.eq_ignore_ascii_case(WINDOW_TIME);
        let relation = match &*expr {
            Expr::Identifier(name) if is_time(name) => None,
            Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [relation, name] if is_time(name) => Some(relation.clone()),
                _ => return ControlFlow::Continue(()),
            },
            _ => return ControlFlow::Continue(()),
        };
        if self.depth == 0 {
            let mut time = self.time.clone();
            if let Some(relation) = relation {
                qualify(&mut time, &relation);
            }
            *expr = time;
        }
        ControlFlow::Continue(())
    }
}

/// `window_end` as a column of the relation.
fn qualify(time: &mut Expr, relation: &Ident) {
    match time {
        Expr::Nested(inner) => qualify(inner, relation),
        Expr::BinaryOp { left, .. } => qualify(left, relation),
        Expr::Identifier(name) => {
            *time = Expr::CompoundIdentifier(vec![relation.clone(), name.clone()]);
        }
        _ => {}
    }
}
