//! An operator graph as text, for `EXPLAIN`.

use std::fmt::Write;

use crate::graph::{
    Aggregate, AggregateFunction, Changelog, Graph, Join, JoinKind, Node, NodeId, Op, Over,
    PhysExpr, Rank, SetOperation, Stage, Temporal, TopN,
};
use datafusion::arrow::compute::SortOptions;

use crate::types::to_sql;

/// The operator tree: the result first, inputs indented under it; each line with what the planner knows of the rows.
pub fn graph(graph: &Graph) -> String {
    with_figures(graph, &|_| String::new())
}

/// The same with what `figures` says of each node behind it.
pub fn with_figures(graph: &Graph, figures: &dyn Fn(&Node) -> String) -> String {
    let mut text = String::new();
    if let Some(root) = graph.root() {
        node(graph, root.id, 0, figures, &mut text);
    }
    text
}

/// Depth to which inputs are indented.
const INDENT_MAX: usize = 60;

fn node(
    graph: &Graph,
    id: NodeId,
    depth: usize,
    figures: &dyn Fn(&Node) -> String,
    text: &mut String,
) {
    let Some(node_of) = graph.nodes.get(id) else {
        return;
    };
    let indent = "  ".repeat(depth.min(INDENT_MAX));
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "{indent}{} {}  [{}]{}",
        node_of.key,
        operation(node_of, graph),
        facts(node_of, graph),
        figures(node_of)
    );
    for input in &node_of.inputs {
        node(graph, *input, depth + 1, figures, text);
    }
}

/// What an operator does, in a line.
pub fn operation(node: &Node, graph: &Graph) -> String {
    match &node.op {
        Op::Relation { name } => name.clone(),
        Op::Constant { rows } => match rows.num_rows() {
            1 => "one row".to_owned(),
            rows => format!("{rows} rows"),
        },
        Op::Filter { predicate } => shown(predicate),
        Op::Project { exprs } => projection(node, exprs),
        Op::Unnest => node
            .schema
            .fields()
            .last()
            .map_or_else(String::new, |f| format!("each of {}", f.name())),
        Op::Temporal(temporal) => lifetime(temporal),
        Op::Aggregate(aggregate) => aggregation(node, aggregate),
        Op::Join(join) => condition(node, join, graph),
        Op::SetOperation(operation) => set_operation(*operation).to_owned(),
        Op::Union => format!("{} inputs", node.inputs.len()),
        Op::Over(over) => windows(node, over),
        Op::TopN(top) => first_rows(node, top),
        Op::Gate(gate) => format!("not late by {}", name_of(node, gate.column)),
        Op::Close { column } => format!("when {} has passed", name_of(node, *column)),
    }
}

fn set_operation(operation: SetOperation) -> &'static str {
    match (operation.except, operation.all) {
        (true, true) => "EXCEPT ALL",
        (true, false) => "EXCEPT",
        (false, true) => "INTERSECT ALL",
        (false, false) => "INTERSECT",
    }
}

fn projection(node: &Node, exprs: &[PhysExpr]) -> String {
    let columns = node.schema.fields().iter().zip(exprs).map(|(field, expr)| {
        let expr = shown(expr);
        if expr == *field.name() {
            expr
        } else {
            format!("{expr} AS {}", field.name())
        }
    });
    columns.collect::<Vec<_>>().join(", ")
}

fn lifetime(temporal: &Temporal) -> String {
    let side = |sign: &str, times: &[PhysExpr]| {
        let times: Vec<String> = times
            .iter()
            .map(|t| format!("now() {sign} {}", shown(t)))
            .collect();
        times
    };
    let mut all = side(">=", &temporal.from);
    all.extend(side("<", &temporal.until));
    all.join(" AND ")
}

fn aggregation(node: &Node, aggregate: &Aggregate) -> String {
    let calls = aggregate.calls.iter().map(|call| {
        let name = match call.function {
            AggregateFunction::Count => "count",
            AggregateFunction::Sum => "sum",
            AggregateFunction::Avg => "avg",
            AggregateFunction::Min => "min",
            AggregateFunction::Max => "max",
            AggregateFunction::Whole => call
                .whole
                .as_ref()
                .map_or("", |whole| whole.function.fun().name()),
        };
        let distinct = if call.distinct { "DISTINCT " } else { "" };
        let arg = call.arg.as_ref().map_or_else(|| "*".to_owned(), shown);
        let filter = call
            .filter
            .as_ref()
            .map(|f| format!(" FILTER ({})", shown(f)))
            .unwrap_or_default();
        format!("{name}({distinct}{arg}){filter}")
    });
    let mut text = calls.collect::<Vec<_>>().join(", ");
    if !aggregate.group.is_empty() {
        let group: Vec<String> = aggregate.group.iter().map(shown).collect();
        text = format!("{text} BY {}", group.join(", "));
    }
    if let Some(close) = aggregate.close {
        text = format!("{text} AT CLOSE OF {}", node.schema.field(close).name());
    }
    text.trim_start().to_owned()
}

fn name_of(node: &Node, column: usize) -> &str {
    let field = node.schema.fields().get(column);
    field.map_or("?", |f| f.name().as_str())
}

fn by_key(node: &Node, partition: &[usize]) -> String {
    let names: Vec<&str> = partition.iter().map(|c| name_of(node, *c)).collect();
    match names.is_empty() {
        true => String::new(),
        false => format!(" BY {}", names.join(", ")),
    }
}

fn ordered(node: &Node, order: &[(usize, SortOptions)]) -> String {
    let one = |(column, options): &(usize, SortOptions)| {
        let way = if options.descending { " DESC" } else { "" };
        format!("{}{way}", name_of(node, *column))
    };
    match order.is_empty() {
        true => String::new(),
        false => format!(
            " ORDER {}",
            order.iter().map(one).collect::<Vec<_>>().join(", ")
        ),
    }
}

fn windows(node: &Node, over: &Over) -> String {
    let stage = |stage: &Stage| {
        let names: Vec<&str> = stage
            .exprs
            .iter()
            .map(|e| e.name().split(" PARTITION BY").next().unwrap_or_default())
            .map(|name| name.split(" ORDER BY").next().unwrap_or_default())
            .collect();
        format!("{}{}", names.join(", "), ordered(node, &stage.order))
    };
    let stages: Vec<String> = over.stages.iter().map(stage).collect();
    format!("{}{}", stages.join(" THEN "), by_key(node, &over.partition))
}

fn first_rows(node: &Node, top: &TopN) -> String {
    let rank = match top.rank {
        Rank::Row => "",
        Rank::Rank => " ranks",
        Rank::Dense => " dense ranks",
    };
    let numbers = match (top.from, top.to) {
        (1, to) => format!("first {to}{rank}"),
        (from, to) => format!("{from} to {to}{rank}"),
    };
    let order = ordered(node, &top.order);
    let number = if top.numbered { " WITH NUMBER" } else { "" };
    format!("{numbers}{}{order}{number}", by_key(node, &top.partition))
}

fn condition(node: &Node, join: &Join, graph: &Graph) -> String {
    let name = |side: usize| {
        node.inputs
            .get(side)
            .and_then(|i| graph.nodes.get(*i))
            .map_or("", |n| n.key.as_str())
    };
    let kind = match join.kind {
        JoinKind::Inner => "inner",
        JoinKind::Left => "left",
        JoinKind::Full => "full",
        JoinKind::Semi => "semi",
        JoinKind::Anti => "anti",
        JoinKind::Mark => "mark",
    };
    let equals = if join.null_equal {
        "IS NOT DISTINCT FROM"
    } else {
        "="
    };
    let on = join
        .on
        .iter()
        .map(|(l, r)| format!("{}.{} {equals} {}.{}", name(0), shown(l), name(1), shown(r)));
    let on: Vec<String> = on.chain(join.filter.as_ref().map(shown)).collect();
    let kind = match &join.as_of {
        Some(plan) => format!("{kind} as of {}", shown(&plan.time)),
        None if join.lookup => format!("{kind} as of now()"),
        None => kind.to_owned(),
    };
    if on.is_empty() {
        return format!("{kind}, every pair");
    }
    format!("{kind} ON {}", on.join(" AND "))
}

/// An expression without the column numbers that DataFusion prints (`amount@2`).
fn shown(expr: &PhysExpr) -> String {
    let text = expr.to_string();
    let mut answer = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '@' && chars.peek().is_some_and(char::is_ascii_digit) {
            while chars.peek().is_some_and(char::is_ascii_digit) {
                chars.next();
            }
        } else {
            answer.push(c);
        }
    }
    answer
}

/// Changelog, key, state and time of a node's rows.
fn facts(node: &Node, graph: &Graph) -> String {
    let retracting = node.inputs.iter().any(|input| {
        let input = graph.nodes.get(*input);
        input.is_some_and(|n| n.props.changelog == Changelog::Retracting)
    });
    let name = |i: usize| {
        node.schema
            .fields()
            .get(i)
            .map_or("?", |f| f.name().as_str())
    };
    let mut facts = vec![match node.props.changelog {
        Changelog::AppendOnly => "appends".to_owned(),
        Changelog::Retracting => "retracts".to_owned(),
    }];
    if let Some(key) = &node.props.key {
        let columns: Vec<&str> = key.iter().map(|i| name(*i)).collect();
        facts.push(if columns.is_empty() {
            "one row".to_owned()
        } else {
            format!("key {}", columns.join(", "))
        });
    }
    match &node.op {
        Op::Aggregate(aggregate) if aggregate.close.is_some() => {
            facts.push("state: open windows".to_owned())
        }
        Op::Aggregate(_) => facts.push("state: a row a group".to_owned()),
        Op::Over(over) => facts.push(match over.labels {
            Some(_) => "state: rows of open sessions".to_owned(),
            None => "state: all rows".to_owned(),
        }),
        Op::Close { .. } => facts.push("state: open windows".to_owned()),
        Op::TopN(top) => facts.push(match top.rank {
            Rank::Row if !retracting => format!("state: {} rows a key", top.to),
            _ if !retracting => format!("state: rows up to rank {}", top.to),
            _ => "state: all rows".to_owned(),
        }),
        Op::SetOperation(_) => facts.push("state: distinct rows and their counts".to_owned()),
        Op::Join(join) => {
            let counted = join.kind.only_left() && join.filter.is_none();
            if join.on.is_empty() && !counted {
                facts.push("cost: each row meets all rows of the other side".to_owned());
            }
            if let Some(within) = &join.within {
                let seconds = |us: i64| us as f64 / 1e6;
                let [left, right] = within.keep_us.map(seconds);
                facts.push(format!(
                    "state: left rows until the watermark is {left} s past them, right rows {right} s"
                ));
            } else if let Some(plan) = &join.as_of {
                facts.push(match plan.slack_us {
                    Some(slack) => versions_kept(slack),
                    None => {
                        "state: both sides, all versions (both need a WATERMARK to let go of any)"
                            .to_owned()
                    }
                });
            } else if join.lookup {
                facts.push("state: right side".to_owned());
            } else {
                facts.push(if counted {
                    "state: left rows, right keys".to_owned()
                } else {
                    "state: both sides".to_owned()
                });
            }
        }
        Op::Temporal(_) => facts.push("state: rows whose time will come or go".to_owned()),
        _ => {}
    }
    if let Some(time) = node.props.event_time {
        facts.push(format!("watermark {}", name(time)));
    }
    if let Some(end) = node.props.window_end {
        facts.push(format!("window {}", name(end)));
    }
    facts.join("; ")
}

/// What is kept of versions and of the rows that meet them.
fn versions_kept([left, right]: [i64; 2]) -> String {
    let past = |us: i64| match us {
        0 => "the watermark has passed them".to_owned(),
        us => format!("the watermark is {} s past them", us as f64 / 1e6),
    };
    format!(
        "state: left rows until {}; of each key the newest version before that, and those after it, until {}",
        past(right),
        past(left.max(right)).replace("them", "the next one")
    )
}

/// Columns and types of a node, as `DESCRIBE` shows them.
pub fn columns(schema: &datafusion::arrow::datatypes::Schema) -> Vec<(String, String)> {
    schema
        .fields()
        .iter()
        .map(|f| (f.name().clone(), to_sql(f.data_type())))
        .collect()
}
