//! The arguments of window functions in FROM: by position, or by name as PostgreSQL and Flink write them.

use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Value,
};

use super::Kind;

pub(super) struct Call {
    pub relation: Expr,
    /// Of SESSION.
    pub keys: Vec<Expr>,
    pub time: Expr,
    /// Slide or step before the size.
    pub lengths: Vec<Expr>,
    pub offset: Option<Expr>,
    pub zone: Option<Expr>,
}

#[derive(Default)]
struct Named {
    relation: Option<Expr>,
    keys: Vec<Expr>,
    time: Option<Expr>,
    step: Option<Expr>,
    size: Option<Expr>,
    offset: Option<Expr>,
    zone: Option<Expr>,
}

/// The arguments in their places; the problem with them, if any.
pub(super) fn read(kind: Kind, args: Vec<FunctionArg>) -> Result<Call, String> {
    let (mut named, mut plain) = (Named::default(), Vec::new());
    for arg in args {
        match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => plain.push(expr),
            FunctionArg::Named {
                name,
                arg: FunctionArgExpr::Expr(expr),
                ..
            } => {
                named.take(kind, &name.value, expr)?;
            }
            FunctionArg::ExprNamed {
                name: Expr::Identifier(name),
                arg: FunctionArgExpr::Expr(expr),
                ..
            } => {
                named.take(kind, &name.value, expr)?;
            }
            other => return Err(format!("{other} is no argument of a window")),
        }
    }
    place(kind, named, plain)
}

impl Named {
    fn take(&mut self, kind: Kind, name: &str, expr: Expr) -> Result<(), String> {
        let lower = name.to_lowercase();
        let place = match lower.as_str() {
            "data" | "relation" | "input" => &mut self.relation,
            "timecol" | "time" | "ts" | "time_column" => &mut self.time,
            "slide" | "step" if kind != Kind::Session => &mut self.step,
            "size" | "length" if kind != Kind::Session => &mut self.size,
            "gap" if kind == Kind::Session => &mut self.size,
            "offset" => &mut self.offset,
            "zone" | "timezone" | "time_zone" => &mut self.zone,
            "key" | "partition" if kind == Kind::Session => {
                self.keys.push(expr);
                return Ok(());
            }
            _ => return Err(format!("there is no argument \"{name}\"")),
        };
        *place = Some(expr);
        Ok(())
    }
}

fn place(kind: Kind, mut named: Named, plain: Vec<Expr>) -> Result<Call, String> {
    let found = plain.len();
    let wanted = match kind {
        Kind::Tumble | Kind::Session => 3,
        Kind::Hop | Kind::Cumulate => 4,
    };
    let missing = || format!("expected {wanted} arguments, found {found}");
    let mut plain: std::collections::VecDeque<Expr> = plain.into();
    if kind == Kind::Session {
        // What stands between the relation and the last two are keys.
        if named.size.is_none() {
            named.size = plain.pop_back();
        }
        if named.time.is_none() {
            named.time = plain.pop_back();
        }
    }
    let mut next = |place: Option<Expr>| place.or_else(|| plain.pop_front()).ok_or_else(missing);
    let relation = next(named.relation)?;
    let time = next(named.time)?;
    let mut lengths = Vec::with_capacity(2);
    if matches!(kind, Kind::Hop | Kind::Cumulate) {
        lengths.push(next(named.step)?);
    }
    lengths.push(next(named.size)?);
    let mut call = Call {
        relation,
        keys: named.keys,
        time: column(time),
        lengths,
        offset: named.offset,
        zone: named.zone,
    };
    for expr in plain {
        if kind == Kind::Session {
            call.keys.push(column(expr));
        } else if is_text(&expr) && call.zone.is_none() {
            call.zone = Some(expr);
        } else if call.offset.is_none() {
            call.offset = Some(expr);
        } else {
            return Err(missing());
        }
    }
    match kind == Kind::Session && (call.offset.is_some() || call.zone.is_some()) {
        true => Err("a session has neither offset nor time zone".to_owned()),
        false => Ok(call),
    }
}

fn is_text(expr: &Expr) -> bool {
    matches!(expr, Expr::Value(value) if matches!(value.value, Value::SingleQuotedString(_)))
}

/// `DESCRIPTOR(ts)` is `ts`.
fn column(expr: Expr) -> Expr {
    let Expr::Function(call) = &expr else {
        return expr;
    };
    let FunctionArguments::List(list) = &call.args else {
        return expr;
    };
    match list.args.as_slice() {
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(inner))]
            if call.name.to_string().eq_ignore_ascii_case("descriptor") =>
        {
            inner.clone()
        }
        _ => expr,
    }
}
