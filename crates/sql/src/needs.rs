//! Which columns of a relation a graph reads, also within structs, so that a decoder can leave out the others.
//!
//! Cautious: what is not understood is read as a whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::physical_expr::ScalarFunctionExpr;
use datafusion::physical_expr::expressions::{Column, Literal};

use crate::graph::{Graph, NodeId, Op, PhysExpr};

/// What is read of one column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Need {
    #[default]
    Nothing,
    /// These fields of a struct.
    Fields(BTreeMap<String, Need>),
    All,
}

impl Need {
    fn add(&mut self, other: &Self) {
        match (&mut *self, other) {
            (_, Self::Nothing) | (Self::All, _) => {}
            (_, Self::All) => *self = Self::All,
            (Self::Nothing, other) => *self = other.clone(),
            (Self::Fields(fields), Self::Fields(more)) => {
                for (name, need) in more {
                    fields.entry(name.clone()).or_default().add(need);
                }
            }
        }
    }

    /// The same, of a field at the end of a path.
    fn under(self, path: &[String]) -> Self {
        if self == Self::Nothing {
            return self;
        }
        path.iter().rev().fold(self, |need, name| {
            Self::Fields(BTreeMap::from([(name.clone(), need)]))
        })
    }
}

/// What a graph reads of the columns of a relation, if `root` is read of its result. Empty if it does not read the relation.
pub fn needs(graph: &Graph, root: Vec<Need>, relation: &str) -> Vec<Need> {
    let mut of_node: Vec<Vec<Need>> = graph
        .nodes
        .iter()
        .map(|node| vec![Need::Nothing; node.schema.fields().len()])
        .collect();
    if let Some(last) = of_node.last_mut() {
        add_all(last, &root);
    }
    let mut found = Vec::new();
    for (at, node) in graph.nodes.iter().enumerate().rev() {
        let needed = std::mem::take(&mut of_node[at]);
        match &node.op {
            Op::Relation { name } if name == relation => {
                found.resize(needed.len(), Need::Nothing);
                add_all(&mut found, &needed);
            }
            Op::Relation { .. } => {}
            Op::Filter { predicate } => {
                let input = of_input(graph, &mut of_node, node.inputs.first());
                add_all(input, &needed);
                mark(predicate, &Need::All, input);
            }
            Op::Project { exprs } => {
                let input = of_input(graph, &mut of_node, node.inputs.first());
                for (expr, need) in exprs.iter().zip(&needed) {
                    mark(expr, need, input);
                }
            }
            Op::Union => {
                for input in &node.inputs {
                    add_all(of_input(graph, &mut of_node, Some(input)), &needed);
                }
            }
            _ => {
                for input in &node.inputs {
                    of_input(graph, &mut of_node, Some(input)).fill(Need::All);
                }
            }
        }
    }
    found
}

/// What all of a relation's columns are read as.
pub fn all(columns: usize) -> Vec<Need> {
    vec![Need::All; columns]
}

/// Adds what `more` says to what `known` says, column by column.
pub fn add_all(known: &mut [Need], more: &[Need]) {
    for (known, more) in known.iter_mut().zip(more) {
        known.add(more);
    }
}

/// The part of a schema that is read.
pub fn pruned(schema: &SchemaRef, needs: &[Need]) -> SchemaRef {
    let fields = schema.fields().iter().zip(needs);
    let fields: Vec<Field> = fields
        .filter_map(|(field, need)| pruned_field(field, need))
        .collect();
    Arc::new(Schema::new(fields))
}

fn pruned_field(field: &Field, need: &Need) -> Option<Field> {
    match (need, field.data_type()) {
        (Need::Nothing, _) => None,
        (Need::Fields(needs), DataType::Struct(fields)) => {
            let read = |field: &Arc<Field>| pruned_field(field, needs.get(field.name())?);
            let read: Fields = fields.iter().filter_map(read).collect();
            Some(field.clone().with_data_type(DataType::Struct(read)))
        }
        _ => Some(field.clone()),
    }
}

fn of_input<'a>(
    graph: &Graph,
    of_node: &'a mut [Vec<Need>],
    input: Option<&NodeId>,
) -> &'a mut [Need] {
    let place = input.and_then(|id| graph.nodes.iter().position(|node| node.id == *id));
    match place {
        Some(place) => &mut of_node[place],
        None => &mut [],
    }
}

/// Notes what an expression reads. A column or a field of one hands on what is read of it; any other is evaluated whether its
/// result is read or not, so it reads all that it names.
fn mark(expr: &PhysExpr, need: &Need, input: &mut [Need]) {
    if let Some((column, path)) = path(expr) {
        if let Some(known) = input.get_mut(column) {
            known.add(&need.clone().under(&path));
        }
        return;
    }
    for child in expr.children() {
        mark(child, &Need::All, input);
    }
}

/// The column and the fields within it that an expression names.
fn path(expr: &PhysExpr) -> Option<(usize, Vec<String>)> {
    if let Some(column) = expr.downcast_ref::<Column>() {
        return Some((column.index(), Vec::new()));
    }
    let call = expr.downcast_ref::<ScalarFunctionExpr>()?;
    if call.fun().name() != "get_field" {
        return None;
    }
    let (base, names) = call.args().split_first()?;
    let (column, mut path) = path(base)?;
    for name in names {
        match name.downcast_ref::<Literal>()?.value() {
            ScalarValue::Utf8(Some(name)) | ScalarValue::Utf8View(Some(name)) => {
                path.push(name.clone());
            }
            _ => return None,
        }
    }
    Some((column, path))
}

#[cfg(test)]
#[path = "needs_tests.rs"]
mod tests;
