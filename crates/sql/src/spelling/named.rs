//! `WINDOW w AS (PARTITION BY a)` and `OVER (w ORDER BY b)`: a window that adds to another is written out in full. DataFusion would leave out
//! what the other says.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, NamedWindowDefinition, NamedWindowExpr, OrderBy, Query as SqlQuery, Select,
    Spanned, VisitorMut, WindowSpec, WindowType,
};

use super::groups::outside_from;
use super::{Flow, Mender, flow};
use crate::error::{Result, SqlError};

impl Mender<'_> {
    /// Writes out the windows of a SELECT, and of the ORDER BY over it.
    pub(super) fn windows(&self, select: &mut Select, order: Option<&mut OrderBy>) -> Result<()> {
        let mut known: Vec<(Ident, WindowSpec)> = Vec::new();
        for NamedWindowDefinition(name, window) in &mut select.named_window {
            let spec = match window {
                NamedWindowExpr::NamedWindow(other) => self.spec(&known, other)?.clone(),
                NamedWindowExpr::WindowSpec(spec) => self.whole(&known, spec)?,
            };
            *window = NamedWindowExpr::WindowSpec(spec.clone());
            known.push((name.clone(), spec));
        }
        let mut calls = Calls {
            mender: self,
            known,
            depth: 0,
        };
        match outside_from(select, order, &mut calls) {
            ControlFlow::Break(error) => Err(*error),
            ControlFlow::Continue(()) => Ok(()),
        }
    }

    fn spec<'a>(
        &self,
        known: &'a [(Ident, WindowSpec)],
        name: &Ident,
    ) -> Result<&'a WindowSpec, SqlError> {
        let same = |other: &Ident| other.value.eq_ignore_ascii_case(&name.value);
        let found = known.iter().find(|(other, _)| same(other));
        found.map(|(_, spec)| spec).ok_or_else(|| {
            self.refused(
                name.span,
                format!("there is no window \"{name}\""),
                format!("write WINDOW {name} AS (PARTITION BY ...) behind the FROM, before the windows that use it"),
            )
        })
    }

    /// A window together with the one that it begins with.
    fn whole(&self, known: &[(Ident, WindowSpec)], spec: &WindowSpec) -> Result<WindowSpec> {
        let Some(name) = &spec.window_name else {
            return Ok(spec.clone());
        };
        let base = self.spec(known, name)?;
        let refused = |what: &str| {
            let hint = "write the window in full: OVER (PARTITION BY ... ORDER BY ... ROWS ...)";
            Err(self.refused(name.span, format!("window \"{name}\" {what}"), hint))
        };
        if base.window_frame.is_some() {
            return refused("has a frame, so that nothing can be added to it");
        }
        if !spec.partition_by.is_empty() {
            return refused("cannot be given another PARTITION BY");
        }
        if !spec.order_by.is_empty() && !base.order_by.is_empty() {
            return refused("has an ORDER BY already");
        }
        let order_by = match base.order_by.is_empty() {
            true => spec.order_by.clone(),
            false => base.order_by.clone(),
        };
        Ok(WindowSpec {
            window_name: None,
            partition_by: base.partition_by.clone(),
            order_by,
            window_frame: spec.window_frame.clone(),
        })
    }
}

/// The calls of a SELECT, outside of its subqueries.
struct Calls<'a> {
    mender: &'a Mender<'a>,
    known: Vec<(Ident, WindowSpec)>,
    depth: usize,
}

impl VisitorMut for Calls<'_> {
    type Break = Box<SqlError>;

    fn pre_visit_query(&mut self, _: &mut SqlQuery) -> Flow {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut SqlQuery) -> Flow {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> Flow {
        let span = expr.span();
        let Expr::Function(call) = expr else {
            return ControlFlow::Continue(());
        };
        let over = match &call.over {
            Some(over) if self.depth == 0 => over,
            _ => return ControlFlow::Continue(()),
        };
        let whole = match over {
            WindowType::WindowSpec(spec) => self.mender.whole(&self.known, spec),
            WindowType::NamedWindow(name) => {
                let mut name = name.clone();
                if name.span.start.line == 0 {
                    name.span = span;
                }
                self.mender.spec(&self.known, &name).cloned()
            }
        };
        flow(whole.map(|whole| call.over = Some(WindowType::WindowSpec(whole))))
    }
}
