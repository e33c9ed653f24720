//! Names of result columns that have none: as PostgreSQL gives them (`count(*)` is `count`, `s.a` is `a`).

use datafusion::sql::sqlparser::ast::{
    AccessExpr, Expr, FunctionArg, FunctionArgExpr, Ident, Query, Select, SelectItem, SetExpr,
    TableFactor, TableWithJoins,
};

/// Gives the unnamed items of the query's outermost SELECT lists an alias. An item keeps DataFusion's name where ours would clash.
pub(crate) fn name_columns(query: &mut Query) {
    name_set(&mut query.body);
}

fn name_set(body: &mut SetExpr) {
    match body {
        SetExpr::Select(select) => name_select(select),
        SetExpr::Query(query) => name_columns(query),
        SetExpr::SetOperation { left, right, .. } => {
            name_set(left);
            name_set(right);
        }
        _ => {}
    }
}

fn name_select(select: &mut Select) {
    let relations = relation_names(&select.from);
    let names: Vec<Option<String>> = select
        .projection
        .iter()
        .map(|item| item_name(item, &relations))
        .collect();
    let taken: Vec<String> = select
        .projection
        .iter()
        .zip(&names)
        .filter_map(|(item, name)| name.clone().or_else(|| plain_name(item)))
        .collect();
    for (item, name) in select.projection.iter_mut().zip(names) {
        let Some(name) = name.filter(|name| taken.iter().filter(|t| *t == name).count() == 1)
        else {
            continue;
        };
        if let SelectItem::UnnamedExpr(expr) = item {
            let alias = Ident::with_quote('"', name);
            *item = SelectItem::ExprWithAlias {
                expr: expr.clone(),
                alias,
            };
        }
    }
}

/// The name that we would give; `None` where the item has one by itself.
fn item_name(item: &SelectItem, relations: &[String]) -> Option<String> {
    match item {
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => {
            let first = parts.first().map(lower)?;
            let is_field = parts.len() > 2 || !relations.contains(&first);
            parts.last().filter(|_| is_field).map(lower)
        }
        SelectItem::UnnamedExpr(expr) => expr_name(expr),
        _ => None,
    }
}

fn expr_name(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Function(call) => call
            .name
            .0
            .last()
            .and_then(|part| part.as_ident())
            .map(lower),
        Expr::Cast { expr, .. } => match expr.as_ref() {
            Expr::Identifier(ident) => Some(lower(ident)),
            Expr::CompoundIdentifier(parts) => parts.last().map(lower),
            inner => expr_name(inner),
        },
        Expr::Nested(inner) => expr_name(inner),
        // `t.list[1]` is `list`, `list[1].field` is `field`.
        Expr::CompoundFieldAccess { root, access_chain } => {
            let fields = access_chain.iter().rev();
            let mut fields = fields.filter_map(|access| match access {
                AccessExpr::Dot(Expr::Identifier(field)) => Some(lower(field)),
                _ => None,
            });
            fields.next().or_else(|| match root.as_ref() {
                Expr::Identifier(ident) => Some(lower(ident)),
                Expr::CompoundIdentifier(parts) => parts.last().map(lower),
                inner => expr_name(inner),
            })
        }
        Expr::Subquery(query) => match query.body.as_select()?.projection.as_slice() {
            [item @ SelectItem::UnnamedExpr(expr)] => expr_name(expr).or_else(|| plain_name(item)),
            [item] => plain_name(item),
            _ => None,
        },
        Expr::Case { .. } => Some("case".to_owned()),
        Expr::Extract { .. } => Some("extract".to_owned()),
        Expr::Substring { .. } => Some("substring".to_owned()),
        Expr::Trim { .. } => Some("trim".to_owned()),
        Expr::Position { .. } => Some("position".to_owned()),
        Expr::Ceil { .. } => Some("ceil".to_owned()),
        Expr::Floor { .. } => Some("floor".to_owned()),
        _ => None,
    }
}

/// The name that an item has by itself.
fn plain_name(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::UnnamedExpr(Expr::Identifier(ident)) => Some(lower(ident)),
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => parts.last().map(lower),
        SelectItem::ExprWithAlias { alias, .. } => Some(lower(alias)),
        _ => None,
    }
}

fn lower(ident: &Ident) -> String {
    if ident.quote_style.is_some() {
        ident.value.clone()
    } else {
        ident.value.to_lowercase()
    }
}

/// What the relations of a FROM are called.
fn relation_names(from: &[TableWithJoins]) -> Vec<String> {
    let mut names = Vec::new();
    for item in from {
        factor_name(&item.relation, &mut names);
        item.joins
            .iter()
            .for_each(|join| factor_name(&join.relation, &mut names));
    }
    names
}

fn factor_name(factor: &TableFactor, names: &mut Vec<String>) {
    match factor {
        TableFactor::Table {
            name, alias, args, ..
        } => {
            names.extend(alias.as_ref().map(|a| lower(&a.name)));
            names.extend(name.0.last().and_then(|p| p.as_ident()).map(lower));
            // TUMBLE(payments, ...): its first argument names the columns.
            let args = args.iter().filter_map(|a| relation_of(&a.args));
            names.extend(args.map(|arg| arg.to_string().to_lowercase()));
        }
        TableFactor::Derived {
            alias: Some(alias), ..
        } => names.push(lower(&alias.name)),
        TableFactor::NestedJoin {
            table_with_joins,
            alias,
        } => {
            names.extend(alias.as_ref().map(|a| lower(&a.name)));
            names.extend(relation_names(std::slice::from_ref(table_with_joins)));
        }
        _ => {}
    }
}

/// Names of the relations that a query reads, as written, without those that its WITH defines; once each, in alphabetical order.
/// Nothing is looked up, so this works before the relations exist.
pub fn query_names(query: &crate::ast::Query) -> Vec<String> {
    let mut reader = Reader::default();
    let _ = datafusion::sql::sqlparser::ast::Visit::visit(query.ast.as_ref(), &mut reader);
    let Reader { mut names, defined } = reader;
    names.retain(|name| !defined.contains(name));
    names.sort_unstable();
    names.dedup();
    names
}

#[derive(Default)]
struct Reader {
    names: Vec<String>,
    /// Names that WITH defines.
    defined: Vec<String>,
}

impl datafusion::sql::sqlparser::ast::Visitor for Reader {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> std::ops::ControlFlow<()> {
        let ctes = query.with.iter().flat_map(|with| &with.cte_tables);
        self.defined.extend(ctes.map(|cte| lower(&cte.alias.name)));
        std::ops::ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> std::ops::ControlFlow<()> {
        if let TableFactor::Table { name, args, .. } = factor {
            let own = name.0.last().and_then(|part| part.as_ident()).map(lower);
            let read = match args {
                None => own,
                Some(args) => relation_of(&args.args).and_then(first_ident),
            };
            self.names.extend(read);
        }
        std::ops::ControlFlow::Continue(())
    }
}

/// The relation that a function in FROM reads: its first argument, or the one that is called so.
fn relation_of(args: &[FunctionArg]) -> Option<&Expr> {
    let called = |name: &str| ["data", "relation", "input"].contains(&name.to_lowercase().as_str());
    let named = |arg: &&FunctionArg| match arg {
        FunctionArg::Named { name, .. } => called(&name.value),
        FunctionArg::ExprNamed { name, .. } => called(&name.to_string()),
        FunctionArg::Unnamed(_) => false,
    };
    match args.iter().find(named).or(args.first())? {
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
    }
}

/// `payments` of `TUMBLE(payments, ...)`.
fn first_ident(arg: &Expr) -> Option<String> {
    match arg {
        Expr::Identifier(ident) => Some(lower(ident)),
        Expr::CompoundIdentifier(parts) => parts.last().map(lower),
        _ => None,
    }
}
