//! A logical plan's nodes to operators, one by one. Whatever has no operator is refused.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::Column;
use datafusion::common::DFSchema;
use datafusion::common::NullHandling;
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{Expr, Filter, LogicalPlan, Projection, TableScan, Union, Unnest};

use super::expr::physical;
use super::{Refused, aggregate, constant, join, lineage, over, temporal, top, within};
use crate::graph::{Changelog, Graph, Node, NodeId, Op, PhysExpr, SetOperation, Temporal, Within};
use crate::model::Relation;
use crate::provider::RelationSource;
use crate::session::Session;
use crate::subquery::setop;
use crate::versions::LOOKUP;

/// The only column of rows that need none.
pub(super) const ROW: &str = "__row";

/// A graph, with what is known of its leaves.
#[derive(Debug)]
pub(super) struct Built {
    pub graph: Graph,
    /// One a node; `Some` for leaves.
    pub leaves: Vec<Option<Relation>>,
}

pub(super) fn build(session: &Session, plan: &LogicalPlan) -> Result<Built, Refused> {
    let mut builder = Builder {
        session,
        graph: Graph { nodes: Vec::new() },
        leaves: Vec::new(),
        looks_up: false,
    };
    builder.plan(plan)?;
    Ok(Built {
        graph: builder.graph,
        leaves: builder.leaves,
    })
}

pub(super) struct Builder<'a> {
    session: &'a Session,
    graph: Graph,
    leaves: Vec<Option<Relation>>,
    /// Whether the next plan holds what its join looks up.
    looks_up: bool,
}

impl Builder<'_> {
    /// Adds the operators of a plan; answers the node that gives its rows.
    pub fn plan(&mut self, plan: &LogicalPlan) -> Result<NodeId, Refused> {
        match plan {
            LogicalPlan::Projection(projection) => self.projection(projection),
            LogicalPlan::Filter(filter) => {
                if let Some(top) = top::filtered(self, filter, true)? {
                    return Ok(top);
                }
                let input = self.plan(&filter.input)?;
                if join::is_true(&filter.predicate) {
                    return Ok(input);
                }
                self.filter(filter, input)
            }
            LogicalPlan::Aggregate(node) => aggregate::aggregate(self, node),
            LogicalPlan::Join(node) => join::join(self, node),
            LogicalPlan::Union(union) => self.union(union),
            LogicalPlan::EmptyRelation(_) | LogicalPlan::Values(_) => {
                constant::constant(self, plan)
            }
            LogicalPlan::Extension(node) => match node.node.as_any().downcast_ref() {
                Some(operation) => self.set_operation(operation),
                None => Err(refusal(plan)),
            },
            LogicalPlan::TableScan(scan) => self.scan(scan),
            LogicalPlan::SubqueryAlias(alias) => {
                // Only joins know what to do with what is looked up.
                if alias.alias.table() == LOOKUP && !std::mem::take(&mut self.looks_up) {
                    return Err(no_lookup());
                }
                self.plan(&alias.input)
            }
            LogicalPlan::Unnest(unnest) => self.unnest(unnest),
            LogicalPlan::Window(window) => over::over(self, window),
            LogicalPlan::Limit(limit) => top::limit(self, limit),
            other => Err(refusal(other)),
        }
    }

    /// The same of what a join looks up at the time of each row.
    pub fn looked_up(&mut self, plan: &LogicalPlan) -> Result<NodeId, Refused> {
        self.looks_up = true;
        self.plan(plan)
    }

    /// How many nodes there are.
    pub fn nodes(&self) -> usize {
        self.graph.nodes.len()
    }

    /// Takes back the nodes that were added since there were so many.
    pub fn forget(&mut self, nodes: usize) {
        self.graph.nodes.truncate(nodes);
        self.leaves.truncate(nodes);
    }

    pub fn changelog(&self, node: NodeId) -> Changelog {
        self.graph.nodes[node].props.changelog
    }

    pub fn session(&self) -> &Session {
        self.session
    }

    pub fn schema_of(&self, node: NodeId) -> SchemaRef {
        Arc::clone(&self.graph.nodes[node].schema)
    }

    /// The physical form of an expression over the rows of a node.
    pub fn expr(&self, expr: &Expr, schema: &DFSchema, input: NodeId) -> Result<PhysExpr, Refused> {
        physical(
            self.session,
            expr,
            schema,
            self.graph.nodes[input].props.changelog,
        )
    }

    /// How far apart in time the rows of a join are by its condition.
    pub fn within(&self, inputs: [NodeId; 2], filter: Option<&PhysExpr>) -> Option<Within> {
        let (graph, leaves) = (&self.graph, self.leaves.as_slice());
        within::Planned { graph, leaves }.within(inputs, filter)
    }

    /// How far behind the watermark a row of a node that is in time may be by this time; `None`: any distance.
    pub fn behind(&self, node: NodeId, time: &PhysExpr) -> Option<i64> {
        let (graph, leaves) = (&self.graph, self.leaves.as_slice());
        within::Planned { graph, leaves }.behind(node, time)
    }

    /// The expression that a projection computes a column by.
    pub fn made_by(&self, node: NodeId, column: usize) -> Option<PhysExpr> {
        match &self.graph.nodes[node].op {
            Op::Project { exprs } => exprs.get(column).cloned(),
            _ => None,
        }
    }

    /// The same for expressions that are evaluated more than once for a row, as join conditions are.
    pub fn timeless_expr(&self, expr: &Expr, schema: &DFSchema) -> Result<PhysExpr, Refused> {
        physical(self.session, expr, schema, Changelog::Retracting)
    }

    pub fn add(&mut self, op: Op, inputs: Vec<NodeId>, schema: &DFSchema) -> NodeId {
        self.add_with(op, inputs, nullable(schema.as_arrow()), None)
    }

    pub fn add_with(
        &mut self,
        op: Op,
        inputs: Vec<NodeId>,
        schema: SchemaRef,
        leaf: Option<Relation>,
    ) -> NodeId {
        let id = self.graph.nodes.len();
        let mut node = Node {
            id,
            key: fresh_key(&self.graph.nodes, &op),
            op,
            inputs,
            schema,
            props: lineage::unknown(),
        };
        node.props = lineage::infer_one(&self.graph, &self.leaves, &node, leaf.as_ref());
        self.graph.nodes.push(node);
        self.leaves.push(leaf);
        id
    }

    fn projection(&mut self, projection: &Projection) -> Result<NodeId, Refused> {
        let input = self.projected(projection)?;
        self.project(projection, input)
    }

    /// The rows that a projection reads: it tells whether the number of a top-N is read.
    fn projected(&mut self, projection: &Projection) -> Result<NodeId, Refused> {
        let unread = |number: &Column| {
            let mut exprs = projection.expr.iter();
            exprs.all(|e| !e.column_refs().contains(number))
        };
        if let LogicalPlan::Filter(filter) = projection.input.as_ref()
            && top::number_column(&projection.input).is_some_and(|n| unread(&n))
            && let Some(top) = top::filtered(self, filter, false)?
        {
            return Ok(top);
        }
        self.plan(&projection.input)
    }

    /// A projection over a node that gives its rows.
    pub fn project(&mut self, projection: &Projection, input: NodeId) -> Result<NodeId, Refused> {
        let schema = projection.input.schema();
        let exprs = projection
            .expr
            .iter()
            .map(|e| self.expr(e, schema, input))
            .collect::<Result<Vec<_>, _>>()?;
        if exprs.is_empty() {
            return Ok(self.rows_only(input));
        }
        let output = nullable(projection.schema.as_arrow());
        if lineage::is_identity(&exprs, &self.graph.nodes[input].schema, &output) {
            return Ok(input);
        }
        Ok(self.add_with(Op::Project { exprs }, vec![input], output, None))
    }

    /// What compares with `now()` is a temporal filter, after the plain one.
    fn filter(&mut self, filter: &Filter, mut input: NodeId) -> Result<NodeId, Refused> {
        let schema = filter.input.schema();
        let (mut plain, mut from, mut until) = (Vec::new(), Vec::new(), Vec::new());
        for part in split_conjunction(&filter.predicate) {
            match temporal::as_bound(part) {
                Some((temporal::FROM, time)) => from.push(self.expr(time, schema, input)?),
                Some((_, time)) => until.push(self.expr(time, schema, input)?),
                None => plain.push(part.clone()),
            }
        }
        if let Some(predicate) = conjunction(plain) {
            let predicate = self.expr(&predicate, schema, input)?;
            let schema = Arc::clone(&self.graph.nodes[input].schema);
            input = self.add_with(Op::Filter { predicate }, vec![input], schema, None);
        }
        if from.is_empty() && until.is_empty() {
            return Ok(input);
        }
        let schema = Arc::clone(&self.graph.nodes[input].schema);
        let op = Op::Temporal(Temporal { from, until });
        Ok(self.add_with(op, vec![input], schema, None))
    }

    fn scan(&mut self, scan: &TableScan) -> Result<NodeId, Refused> {
        let Some(source) = scan.source.downcast_ref::<RelationSource>() else {
            return Err(Refused::new(
                format!("\"{}\" is not a relation of the catalog", scan.table_name),
                "read a source, table or view",
            ));
        };
        if scan.fetch.is_some() || !scan.filters.is_empty() {
            return Err(Refused::new(
                "LIMIT is not known in a view",
                "use it in an ad-hoc SELECT over the view",
            ));
        }
        let relation = source.relation.clone();
        let schema = nullable(&relation.schema);
        let op = Op::Relation {
            name: relation.name.clone(),
        };
        let leaf = self.add_with(op, Vec::new(), Arc::clone(&schema), Some(relation));
        match &scan.projection {
            Some(columns) if !columns.iter().copied().eq(0..schema.fields().len()) => {
                Ok(self.pick(leaf, columns, &scan.projected_schema))
            }
            _ => Ok(leaf),
        }
    }

    /// A projection to columns of a node, in this order.
    pub fn pick(&mut self, input: NodeId, columns: &[usize], output: &DFSchema) -> NodeId {
        let schema = Arc::clone(&self.graph.nodes[input].schema);
        if columns.is_empty() {
            return self.rows_only(input);
        }
        let exprs = columns
            .iter()
            .map(|i| lineage::column(&schema, *i))
            .collect();
        self.add(Op::Project { exprs }, vec![input], output)
    }

    /// Rows of which only the number matters, as for `count(*)`: one constant column, since a batch without columns is easily lost.
    fn rows_only(&mut self, input: NodeId) -> NodeId {
        let exprs: Vec<PhysExpr> = vec![datafusion::physical_expr::expressions::lit(true)];
        let schema = Arc::new(Schema::new(vec![Field::new(ROW, DataType::Boolean, true)]));
        self.add_with(Op::Project { exprs }, vec![input], schema, None)
    }

    fn union(&mut self, union: &Union) -> Result<NodeId, Refused> {
        let inputs = union
            .inputs
            .iter()
            .map(|input| self.plan(input))
            .collect::<Result<Vec<_>, _>>()?;
        let first = inputs
            .first()
            .map(|id| Arc::clone(&self.graph.nodes[*id].schema));
        match first.filter(|_| union.schema.fields().is_empty()) {
            Some(rows_only) => Ok(self.add_with(Op::Union, inputs, rows_only, None)),
            None => Ok(self.add(Op::Union, inputs, &union.schema)),
        }
    }

    fn set_operation(&mut self, node: &setop::SetOperation) -> Result<NodeId, Refused> {
        let inputs = vec![self.plan(&node.left)?, self.plan(&node.right)?];
        let op = SetOperation {
            except: node.except,
            all: node.all,
        };
        Ok(self.add(Op::SetOperation(op), inputs, node.left.schema()))
    }

    /// The unnested list is made the last column, and put back in its place afterwards.
    fn unnest(&mut self, unnest: &Unnest) -> Result<NodeId, Refused> {
        let refused = || {
            Refused::new(
                "UNNEST is not known in a view",
                "unnest in an ad-hoc SELECT over the view",
            )
        };
        let ([(list, columns)], []) = (
            unnest.list_type_columns.as_slice(),
            unnest.struct_type_columns.as_slice(),
        ) else {
            return Err(refused());
        };
        if columns.depth != 1 || unnest.options.null_handling != NullHandling::Drop {
            return Err(refused());
        }
        let mut input = self.plan(&unnest.input)?;
        let width = unnest.input.schema().fields().len();
        let mut order: Vec<usize> = (0..width).filter(|i| i != list).collect();
        order.push(*list);
        let in_place = order.iter().copied().eq(0..width);
        if !in_place {
            let schema = self.graph.nodes[input]
                .schema
                .project(&order)
                .map_err(|_| refused())?;
            let exprs = order
                .iter()
                .map(|i| lineage::column(&self.graph.nodes[input].schema, *i))
                .collect();
            input = self.add_with(Op::Project { exprs }, vec![input], Arc::new(schema), None);
        }
        let output = nullable(unnest.schema.as_arrow());
        let moved = if in_place {
            Arc::clone(&output)
        } else {
            Arc::new(output.project(&order).map_err(|_| refused())?)
        };
        let node = self.add_with(Op::Unnest, vec![input], moved, None);
        if in_place {
            return Ok(node);
        }
        let back: Vec<usize> = (0..width)
            .filter_map(|i| order.iter().position(|o| *o == i))
            .collect();
        Ok(self.pick(node, &back, &unnest.schema))
    }
}

/// The key of a node that comes to these: what it is, and which of its kind.
pub(super) fn fresh_key(nodes: &[Node], op: &Op) -> String {
    let kind = op.kind();
    let before = nodes.iter().filter(|n| n.op.kind() == kind).count();
    format!("{kind}-{}", before + 1)
}

/// The same columns, all nullable and without metadata, so that batch and streaming results have one schema.
pub(super) fn nullable(schema: &Schema) -> SchemaRef {
    let fields: Vec<Field> = schema
        .fields()
        .iter()
        .map(|f| Field::new(f.name(), f.data_type().clone(), true))
        .collect();
    Arc::new(Schema::new(fields))
}

pub(super) fn no_lookup() -> Refused {
    Refused::new(
        "FOR SYSTEM_TIME AS OF now() is known of the right side of JOIN and LEFT JOIN only",
        "join without FOR SYSTEM_TIME: later changes then correct the result",
    )
}

fn refusal(plan: &LogicalPlan) -> Refused {
    let adhoc = "leave it to an ad-hoc SELECT over the view";
    match plan {
        LogicalPlan::Sort(_) => Refused::new(
            "ORDER BY without LIMIT is not known in a view: its rows have no order",
            "add a LIMIT, or order an ad-hoc SELECT over the view",
        ),
        LogicalPlan::RecursiveQuery(_) => {
            Refused::new("WITH RECURSIVE is not known in a view", adhoc)
        }
        LogicalPlan::Subquery(_) => super::expr::not_pulled_up(),
        other => Refused::new(
            format!(
                "a view cannot run this part of the query: {}",
                other.display()
            ),
            adhoc,
        ),
    }
}
