//! From the conditions of a query to the ranges of a view's key that can fulfil them. What is found is checked again by the query, so
//! a range may be wider than its condition, never narrower.

use std::ops::Bound;

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};

/// Most values of an `IN` list (times those of other columns) that are looked up one by one.
const POINTS_MAX: usize = 1_000;

/// Some of the first key columns fixed, and at most one more between bounds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct KeyRange {
    prefix: Vec<ScalarValue>,
    lower: Bound<ScalarValue>,
    upper: Bound<ScalarValue>,
}

/// A bound as arrays of one row, one for each key column that it names.
pub(crate) type Edge = Bound<Vec<ArrayRef>>;

impl KeyRange {
    pub fn edges(&self) -> Result<(Edge, Edge)> {
        let all = |bound: &Bound<ScalarValue>| -> Result<Edge> {
            let edge = |last: Option<&ScalarValue>| -> Result<Vec<ArrayRef>> {
                let values = self.prefix.iter().chain(last);
                values.map(|value| value.to_array_of_size(1)).collect()
            };
            Ok(match bound {
                Bound::Unbounded if self.prefix.is_empty() => Bound::Unbounded,
                // The fixed columns bound it from both sides.
                Bound::Unbounded => Bound::Included(edge(None)?),
                Bound::Included(value) => Bound::Included(edge(Some(value))?),
                Bound::Excluded(value) => Bound::Excluded(edge(Some(value))?),
            })
        };
        Ok((all(&self.lower)?, all(&self.upper)?))
    }
}

/// The ranges of the key in which all rows lie that fulfil the conditions; `None`: everywhere.
pub(crate) fn ranges(filters: &[Expr], schema: &SchemaRef, key: &[usize]) -> Option<Vec<KeyRange>> {
    let mut conditions = Vec::new();
    filters.iter().for_each(|f| split(f, &mut conditions));
    let mut points: Vec<Vec<ScalarValue>> = vec![Vec::new()];
    for (at, column) in key.iter().enumerate() {
        let field = schema.field(*column);
        let of_column = |expr: &&Expr| column_of(expr) == Some(field.name());
        let about: Vec<&Expr> = conditions.iter().copied().filter(of_column).collect();
        let fits =
            |value: &ScalarValue| !value.is_null() && value.data_type() == *field.data_type();
        let equal = about.iter().filter_map(|expr| equal_to(expr));
        let values = equal
            .filter(|values| values.iter().all(fits))
            .min_by_key(Vec::len);
        match values {
            Some(values) if values.len() * points.len() <= POINTS_MAX => {
                points = times(&points, &values);
            }
            _ => {
                let (lower, upper) = bounds(&about, &fits);
                let free = lower == Bound::Unbounded && upper == Bound::Unbounded;
                return (at > 0 || !free).then(|| all_between(points, &lower, &upper));
            }
        }
    }
    Some(all_between(points, &Bound::Unbounded, &Bound::Unbounded))
}

/// How the rows that fulfil the conditions are found, for people; `None`: by looking at all of them.
pub fn lookup_told(filters: &[Expr], schema: &SchemaRef, key: &[usize]) -> Option<String> {
    let ranges = ranges(filters, schema, key)?;
    let prefix = ranges.first()?.prefix.len();
    let bounded = ranges
        .iter()
        .any(|r| r.lower != Bound::Unbounded || r.upper != Bound::Unbounded);
    let used = key.iter().take(prefix + usize::from(bounded));
    let used: Vec<&str> = used.map(|c| schema.field(*c).name().as_str()).collect();
    let what = match prefix == key.len() {
        true => "point",
        false => "range",
    };
    let many = if ranges.len() == 1 { "" } else { "s" };
    Some(format!(
        "{} {what}{many} of {}",
        ranges.len(),
        used.join(", ")
    ))
}

fn all_between(
    points: Vec<Vec<ScalarValue>>,
    lower: &Bound<ScalarValue>,
    upper: &Bound<ScalarValue>,
) -> Vec<KeyRange> {
    let range = |prefix| KeyRange {
        prefix,
        lower: lower.clone(),
        upper: upper.clone(),
    };
    points.into_iter().map(range).collect()
}

/// Each of the points with each of the values; equal values once.
fn times(points: &[Vec<ScalarValue>], values: &[ScalarValue]) -> Vec<Vec<ScalarValue>> {
    let mut once: Vec<&ScalarValue> = Vec::new();
    for value in values {
        if !once.contains(&value) {
            once.push(value);
        }
    }
    let longer = |point: &Vec<ScalarValue>| {
        let with = |value: &&ScalarValue| {
            let mut point = point.clone();
            point.push((*value).clone());
            point
        };
        once.iter().map(with).collect::<Vec<_>>()
    };
    points.iter().flat_map(longer).collect()
}

fn split<'a>(expr: &'a Expr, into: &mut Vec<&'a Expr>) {
    match expr {
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::And,
            right,
        }) => {
            split(left, into);
            split(right, into);
        }
        other => into.push(other),
    }
}

fn name(expr: &Expr) -> Option<&String> {
    match expr {
        Expr::Column(column) => Some(&column.name),
        _ => None,
    }
}

fn literal(expr: &Expr) -> Option<&ScalarValue> {
    match expr {
        Expr::Literal(value, _) => Some(value),
        _ => None,
    }
}

/// The column that a condition speaks of, if it is one column against values.
fn column_of(expr: &Expr) -> Option<&String> {
    match expr {
        Expr::BinaryExpr(binary) if binary.op == Operator::Or => {
            let column = column_of(&binary.left)?;
            (column_of(&binary.right)? == column).then_some(column)
        }
        Expr::BinaryExpr(binary) => match (name(&binary.left), literal(&binary.right)) {
            (Some(column), Some(_)) => Some(column),
            _ => literal(&binary.left).and_then(|_| name(&binary.right)),
        },
        Expr::InList(list) => name(&list.expr),
        Expr::Between(between) => name(&between.expr),
        _ => None,
    }
}

/// The values that the column must have one of.
fn equal_to(expr: &Expr) -> Option<Vec<ScalarValue>> {
    match expr {
        Expr::BinaryExpr(binary) if binary.op == Operator::Eq => {
            let value = literal(&binary.right).or_else(|| literal(&binary.left))?;
            Some(vec![value.clone()])
        }
        Expr::InList(list) if !list.negated => list
            .list
            .iter()
            .map(|item| literal(item).cloned())
            .collect(),
        // So the optimizer writes short lists: a = 1 OR a = 2.
        Expr::BinaryExpr(binary) if binary.op == Operator::Or => {
            let mut values = equal_to(&binary.left)?;
            values.extend(equal_to(&binary.right)?);
            Some(values)
        }
        _ => None,
    }
}

/// The narrowest bounds among the conditions.
fn bounds(
    about: &[&Expr],
    fits: &dyn Fn(&ScalarValue) -> bool,
) -> (Bound<ScalarValue>, Bound<ScalarValue>) {
    let (mut lower, mut upper) = (Bound::Unbounded, Bound::Unbounded);
    let mut take = |op: Operator, value: &ScalarValue| {
        if !fits(value) {
            return;
        }
        let value = value.clone();
        match op {
            Operator::Gt => narrow(
                &mut lower,
                Bound::Excluded(value),
                std::cmp::Ordering::Greater,
            ),
            Operator::GtEq => narrow(
                &mut lower,
                Bound::Included(value),
                std::cmp::Ordering::Greater,
            ),
            Operator::Lt => narrow(&mut upper, Bound::Excluded(value), std::cmp::Ordering::Less),
            Operator::LtEq => narrow(&mut upper, Bound::Included(value), std::cmp::Ordering::Less),
            _ => {}
        }
    };
    for expr in about {
        match expr {
            Expr::BinaryExpr(binary) => match (literal(&binary.left), literal(&binary.right)) {
                (None, Some(value)) => take(binary.op, value),
                (Some(value), None) => {
                    binary.op.swap().into_iter().for_each(|op| take(op, value));
                }
                _ => {}
            },
            Expr::Between(between) if !between.negated => {
                if let Some(low) = literal(&between.low) {
                    take(Operator::GtEq, low);
                }
                if let Some(high) = literal(&between.high) {
                    take(Operator::LtEq, high);
                }
            }
            _ => {}
        }
    }
    (lower, upper)
}

/// Takes the new bound if it lies further in (`inwards` of the old one), or at the same value.
fn narrow(bound: &mut Bound<ScalarValue>, new: Bound<ScalarValue>, inwards: std::cmp::Ordering) {
    let value = |bound: &Bound<ScalarValue>| match bound {
        Bound::Included(value) | Bound::Excluded(value) => Some(value.clone()),
        Bound::Unbounded => None,
    };
    let further = match (value(bound), value(&new)) {
        (Some(old), Some(new_value)) => match new_value.partial_cmp(&old) {
            Some(std::cmp::Ordering::Equal) => matches!(new, Bound::Excluded(_)),
            order => order == Some(inwards),
        },
        _ => true,
    };
    if further {
        *bound = new;
    }
}

#[cfg(test)]
mod tests;
