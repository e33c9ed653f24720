//! Two ways to write the same: `FROM TABLE(TUMBLE(...))` is `FROM TUMBLE(...)`, `FETCH FIRST 5 ROWS ONLY` is `LIMIT 5`.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Fetch, FunctionArguments, LimitClause, Query, TableFactor, Value, VisitMut, VisitorMut,
};

use crate::made;

/// The query with one form for each.
pub(super) fn form(query: &mut Query) {
    let _ = VisitMut::visit(query, &mut Usual);
}

struct Usual;

impl VisitorMut for Usual {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if let Some(limit) = limit(query) {
            query.limit_clause = Some(limit);
            query.fetch = None;
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::TableFunction {
            expr: Expr::Function(call),
            alias,
        } = factor
            && let FunctionArguments::List(list) = &call.args
        {
            *factor = made::relation(call.name.clone(), Some(list.args.clone()), alias.clone());
        }
        ControlFlow::Continue(())
    }
}

fn limit(query: &Query) -> Option<LimitClause> {
    let Some(Fetch {
        with_ties: false,
        percent: false,
        quantity,
    }) = &query.fetch
    else {
        return None;
    };
    let one = || Expr::value(Value::Number("1".to_owned(), false));
    let limit = Some(quantity.clone().unwrap_or_else(one));
    match &query.limit_clause {
        None => Some(LimitClause::LimitOffset {
            limit,
            offset: None,
            limit_by: Vec::new(),
        }),
        Some(LimitClause::LimitOffset {
            limit: None,
            offset,
            limit_by,
        }) => Some(LimitClause::LimitOffset {
            limit,
            offset: offset.clone(),
            limit_by: limit_by.clone(),
        }),
        Some(_) => None,
    }
}
