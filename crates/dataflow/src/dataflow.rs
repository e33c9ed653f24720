//! A running graph: rows go in by relation, the result's changes come out.
//!
//! Each delta runs through the graph as far as it goes before the next is taken (so little is held at a time); at the end of the step the nodes
//! finish in topological order.

use std::collections::HashMap;
use std::io::{self, Read, Write};

use headwater_sql::graph::{self as plan, Changelog, Graph, Node, NodeId, Op};

use crate::aggregate::{Aggregate, session::BySession};
use crate::close::{gate::Gate, hold::Hold};
use crate::codec::persist::{expect_version, get_bytes, get_u32, invalid, put_bytes, put_u32};
use crate::delta::Delta;
use crate::divided::{Divided, Spilled};
use crate::eval::broken;
use crate::frames::{FrameReader, FrameWriter};
use crate::join::{Join, as_of::AsOf, lookup::LookUp};
use crate::operator::{Due, Operator, OperatorError, StepContext};
use crate::over::{Over, labels::Sessions, top::Top};
use crate::setop::SetOperation;
use crate::spill::{Division, PartId};
use crate::stage::Stage;
use crate::stateless::{
    constant::Constant, filter::Filter, project::Project, union::Union, unnest::Unnest,
};
use crate::temporal::Temporal;

const VERSION: u32 = 2;
/// Rows that go through a graph at once in which each may become as many as a row has windows (1,000).
const UNNEST_ROWS_MAX: usize = 1_024;
/// The state of closed windows goes each time that the watermark has moved so often.
const CLOSED_EVERY: u32 = 16;

/// One view's operators and their state. Owned by one task.
pub struct Dataflow {
    nodes: Vec<Running>,
    /// Leaves of each relation; a relation that is used twice has two.
    leaves: HashMap<String, Vec<usize>>,
    /// The root's deltas of this step so far.
    results: Vec<Delta>,
    /// Whether a row may become many on its way.
    unnests: bool,
    /// Reads a clock in nanoseconds, for the figures only.
    ticks: fn() -> u64,
    /// Of `EMIT ON WINDOW CLOSE`: how often the watermark has moved; `None` if nothing closes.
    closes: Option<u32>,
    /// The last watermark.
    watermark_us: i64,
}

struct Running {
    key: String,
    kind: &'static str,
    /// None for relations.
    operator: Option<Stage>,
    columns: usize,
    /// Nodes that read this one, and as which of their inputs.
    users: Vec<(usize, usize)>,
    rows_in: u64,
    rows_out: u64,
    busy_ns: u64,
}

/// Live figures of one node, since the dataflow was built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeStatus {
    /// `Node::key`.
    pub key: String,
    /// `relation`, `filter`, `project`, `unnest`, `aggregate`, `join`, `union`, `over`, `top`, `gate` or `close`.
    pub kind: &'static str,
    pub rows_in: u64,
    pub rows_out: u64,
    pub state_bytes: usize,
    /// Groups of an aggregate, distinct rows of a join.
    pub state_rows: usize,
    /// Time spent in it, if there is a clock ([`Dataflow::timed`]).
    pub busy_ns: u64,
    /// What of its state is not in memory.
    pub spilled: Spilled,
}

impl Dataflow {
    /// Operators with empty state, all of it in memory.
    pub fn new(graph: &Graph) -> Result<Self, OperatorError> {
        Self::with(graph, &Division::default())
    }

    /// Operators with empty state, which will be divided, and spilled when it is more than [`Dataflow::allow`] says.
    pub fn with(graph: &Graph, division: &Division) -> Result<Self, OperatorError> {
        let places: HashMap<NodeId, usize> = graph
            .nodes
            .iter()
            .enumerate()
            .map(|(at, n)| (n.id, at))
            .collect();
        let mut dataflow = Self {
            nodes: Vec::new(),
            leaves: HashMap::new(),
            results: Vec::new(),
            unnests: graph.nodes.iter().any(|node| matches!(node.op, Op::Unnest)),
            ticks: || 0,
            closes: (graph.nodes.iter())
                .any(|node| matches!(node.op, Op::Close { .. }))
                .then_some(0),
            watermark_us: i64::MIN,
        };
        for (at, node) in graph.nodes.iter().enumerate() {
            let known = |id: &NodeId| places.get(id).copied().filter(|input| *input < at);
            let inputs: Option<Vec<usize>> = node.inputs.iter().map(known).collect();
            let inputs = inputs
                .ok_or_else(|| broken(&node.key, "an input does not come before its user"))?;
            let sources: Vec<&Node> = inputs.iter().map(|input| &graph.nodes[*input]).collect();
            let operator = stage(node, &sources, division)?;
            for (number, input) in inputs.iter().enumerate() {
                dataflow.nodes[*input].users.push((at, number));
            }
            if let Op::Relation { name } = &node.op {
                dataflow.leaves.entry(name.clone()).or_default().push(at);
            }
            dataflow.nodes.push(Running {
                key: node.key.clone(),
                kind: node.op.kind(),
                operator,
                columns: node.schema.fields().len(),
                users: Vec::new(),
                rows_in: 0,
                rows_out: 0,
                busy_ns: 0,
            });
        }
        Ok(dataflow)
    }

    /// The same with a clock (nanoseconds since any moment) that says how long each operator works. Results do not depend on it.
    pub fn timed(self, ticks: fn() -> u64) -> Self {
        Self { ticks, ..self }
    }

    /// One whole step: all its rows, in order, and its end. Relations that the graph does not read are passed over.
    pub fn step<N: AsRef<str>>(
        &mut self,
        inputs: impl IntoIterator<Item = (N, Vec<Delta>)>,
        ctx: &mut StepContext,
    ) -> Result<Vec<Delta>, OperatorError> {
        for (relation, deltas) in inputs {
            for delta in deltas {
                self.push(relation.as_ref(), delta, ctx)?;
            }
        }
        self.finish(ctx)
    }

    /// Rows of a relation, for the step that the next [`Dataflow::finish`] ends.
    pub fn push(
        &mut self,
        relation: &str,
        delta: Delta,
        ctx: &mut StepContext,
    ) -> Result<(), OperatorError> {
        if delta.is_empty() {
            return Ok(());
        }
        for leaf in self.leaves.get(relation).cloned().unwrap_or_default() {
            let node = &mut self.nodes[leaf];
            if delta.rows.num_columns() != node.columns {
                let reason = format!(
                    "{} columns came, {} are declared",
                    delta.rows.num_columns(),
                    node.columns
                );
                return Err(broken(&node.key, reason));
            }
            node.rows_in += delta.len() as u64;
            let pieces = match self.unnests {
                true => delta.clone().pieces(UNNEST_ROWS_MAX),
                false => vec![delta.clone()],
            };
            for piece in pieces {
                self.spread(leaf, vec![piece], ctx)?;
            }
        }
        Ok(())
    }

    /// Ends the step: the changes of the result, in order. See [`crate::consolidate`] for their net.
    pub fn finish(&mut self, ctx: &mut StepContext) -> Result<Vec<Delta>, OperatorError> {
        for at in 0..self.nodes.len() {
            if let Some(operator) = &mut self.nodes[at].operator {
                let began = (self.ticks)();
                let deltas = operator.finish(ctx)?;
                self.nodes[at].busy_ns += (self.ticks)().saturating_sub(began);
                self.spread(at, deltas, ctx)?;
            }
        }
        self.closed(ctx.watermark_us)?;
        Ok(std::mem::take(&mut self.results))
    }

    /// Lets go of the state of windows that have closed; now and then, because operators look through all they have.
    fn closed(&mut self, watermark_us: i64) -> Result<(), OperatorError> {
        let Some(moved) = &mut self.closes else {
            return Ok(());
        };
        if watermark_us <= self.watermark_us {
            return Ok(());
        }
        self.watermark_us = watermark_us;
        *moved = moved.wrapping_add(1);
        if *moved % CLOSED_EVERY != 0 {
            return Ok(());
        }
        self.nodes
            .iter_mut()
            .filter_map(|n| n.operator.as_mut())
            .try_for_each(|o| o.closed(watermark_us))
    }

    /// Hands a node's output to its users.
    fn spread(
        &mut self,
        from: usize,
        deltas: Vec<Delta>,
        ctx: &mut StepContext,
    ) -> Result<(), OperatorError> {
        for delta in deltas.into_iter().filter(|d| !d.is_empty()) {
            let rows = delta.len() as u64;
            self.nodes[from].rows_out += rows;
            for user in 0..self.nodes[from].users.len() {
                let (to, input) = self.nodes[from].users[user];
                self.nodes[to].rows_in += rows;
                if let Some(operator) = &mut self.nodes[to].operator {
                    let began = (self.ticks)();
                    let next = operator.push(input, delta.clone(), ctx)?;
                    self.nodes[to].busy_ns += (self.ticks)().saturating_sub(began);
                    self.spread(to, next, ctx)?;
                }
            }
            if from + 1 == self.nodes.len() {
                self.results.push(delta);
            }
        }
        Ok(())
    }

    /// When [`Dataflow::finish`] has something to do although no row has come.
    pub fn due(&self) -> Due {
        let operators = self.nodes.iter().filter_map(|n| n.operator.as_ref());
        operators.fold(Due::default(), |due, o| due.or(o.due()))
    }

    /// Lets go of state that only results older than this need (window ends, microseconds of event time). To be called between steps, with
    /// times that only grow, and again at the same steps when they are replayed.
    pub fn retain(&mut self, older_than_us: i64) -> Result<(), OperatorError> {
        self.nodes
            .iter_mut()
            .filter_map(|n| n.operator.as_mut())
            .try_for_each(|o| o.retain(older_than_us))
    }

    /// Memory that the state holds, in bytes.
    pub fn state_bytes(&self) -> usize {
        self.nodes
            .iter()
            .filter_map(|n| n.operator.as_ref())
            .map(|o| o.state_bytes())
            .sum()
    }

    /// Bytes of memory that the state would take if all of it were in memory.
    pub fn wanted_bytes(&self) -> usize {
        self.stages().map(Stage::wanted_bytes).sum()
    }

    /// What of the state is in the store only.
    pub fn spilled(&self) -> Spilled {
        self.stages()
            .map(Stage::spilled)
            .fold(Spilled::default(), |a, b| Spilled {
                bytes: a.bytes + b.bytes,
                loads: a.loads + b.loads,
                parts: a.parts + b.parts,
            })
    }

    fn stages(&self) -> impl Iterator<Item = &Stage> {
        self.nodes.iter().filter_map(|node| node.operator.as_ref())
    }

    /// How many bytes of memory the state may take from now on; every operator gets its share by its size, and spills what is more.
    pub fn allow(&mut self, bytes: usize) -> Result<(), OperatorError> {
        let wanted = self.wanted_bytes();
        for stage in self
            .nodes
            .iter_mut()
            .filter_map(|node| node.operator.as_mut())
        {
            let own = stage.wanted_bytes();
            let share = match wanted > bytes {
                true => (bytes as u128 * own as u128 / wanted.max(1) as u128) as usize,
                false => own.saturating_add(bytes - wanted),
            };
            stage.allow(share)?;
        }
        Ok(())
    }

    /// Gives the store what a snapshot can then refer to. Before [`Dataflow::snapshot`].
    pub fn save_parts(&mut self) -> Result<(), OperatorError> {
        let stages = self
            .nodes
            .iter_mut()
            .filter_map(|node| node.operator.as_mut());
        stages.into_iter().try_for_each(Stage::save_parts)
    }

    /// What the store holds for this state as it is now.
    pub fn saved_parts(&self) -> Vec<PartId> {
        self.stages().flat_map(Stage::saved).collect()
    }

    /// One entry a node, in the graph's order.
    pub fn status(&self) -> Vec<NodeStatus> {
        let status = |node: &Running| NodeStatus {
            key: node.key.clone(),
            kind: node.kind,
            rows_in: node.rows_in,
            rows_out: node.rows_out,
            busy_ns: node.busy_ns,
            state_bytes: node.operator.as_ref().map_or(0, |o| o.state_bytes()),
            state_rows: node.operator.as_ref().map_or(0, |o| o.state_rows()),
            spilled: node
                .operator
                .as_ref()
                .map(Stage::spilled)
                .unwrap_or_default(),
        };
        self.nodes.iter().map(status).collect()
    }

    /// Writes the state of all operators, each framed under its key. Between steps only.
    pub fn snapshot(&self, out: &mut dyn Write) -> io::Result<()> {
        put_u32(out, VERSION)?;
        put_u32(
            out,
            self.nodes.iter().filter(|n| n.operator.is_some()).count() as u32,
        )?;
        for node in &self.nodes {
            if let Some(operator) = &node.operator {
                put_bytes(out, node.key.as_bytes())?;
                let mut frames = FrameWriter::new(out);
                operator.snapshot(&mut frames)?;
                frames.end()?;
            }
        }
        Ok(())
    }

    /// Takes the state that [`Dataflow::snapshot`] of the same graph wrote. After an error the dataflow is of no use.
    pub fn restore(&mut self, from: &mut dyn Read) -> io::Result<()> {
        expect_version(from, VERSION)?;
        let written = get_u32(from)? as usize;
        let operators = self
            .nodes
            .iter_mut()
            .filter_map(|n| Some((&n.key, n.operator.as_mut()?)));
        let mut operators: HashMap<&String, _> = operators.collect();
        if written != operators.len() {
            return Err(invalid(format!(
                "the snapshot has {written} operators, the graph {}",
                operators.len()
            )));
        }
        for _ in 0..written {
            let key = String::from_utf8(get_bytes(from)?)
                .map_err(|_| invalid("an operator's key is not text"))?;
            let operator = operators
                .remove(&key)
                .ok_or_else(|| invalid(format!("no operator {key} in the graph")))?;
            let mut frames = FrameReader::new(from);
            operator.restore(&mut frames)?;
            frames
                .end()
                .map_err(|e| invalid(format!("operator {key}: {e}")))?;
        }
        Ok(())
    }
}

/// A node's operator; one that keeps state is divided by key.
fn stage(
    node: &Node,
    inputs: &[&Node],
    division: &Division,
) -> Result<Option<Stage>, OperatorError> {
    if matches!(
        node.op,
        Op::Relation { .. } | Op::Filter { .. } | Op::Project { .. } | Op::Unnest | Op::Union
    ) {
        return Ok(build(node, inputs)?.map(Stage::Plain));
    }
    let (own, sources) = (
        node.clone(),
        inputs.iter().map(|n| (*n).clone()).collect::<Vec<_>>(),
    );
    let make = move || {
        let built = build(&own, &sources.iter().collect::<Vec<_>>())?;
        built.ok_or_else(|| broken(&own.key, "a relation has no state"))
    };
    let divided = Divided::new(&node.key, std::sync::Arc::new(make), division)?;
    Ok(Some(Stage::Divided(Box::new(divided))))
}

fn build(node: &Node, inputs: &[&Node]) -> Result<Option<Box<dyn Operator>>, OperatorError> {
    let wanted = match &node.op {
        Op::Relation { .. } | Op::Constant { .. } => 0,
        Op::Join(_) | Op::SetOperation(_) => 2,
        Op::Union => inputs.len(),
        _ => 1,
    };
    if inputs.len() != wanted {
        return Err(broken(
            &node.key,
            format!("{} inputs, {wanted} wanted", inputs.len()),
        ));
    }
    let (key, schema) = (node.key.clone(), node.schema.clone());
    let append_only = |input: &Node| input.props.changelog == Changelog::AppendOnly;
    Ok(match &node.op {
        Op::Relation { .. } => None,
        Op::Constant { rows } => Some(Box::new(Constant {
            rows: rows.clone(),
            given: false,
        })),
        Op::Filter { predicate } => Some(Box::new(Filter {
            key,
            predicate: predicate.clone(),
        })),
        Op::Project { exprs } => Some(Box::new(Project {
            key,
            exprs: exprs.clone(),
            schema,
        })),
        Op::Unnest => Some(Box::new(Unnest { key, schema })),
        Op::Union => Some(Box::new(Union { key, schema })),
        Op::Temporal(plan) => Some(Box::new(Temporal::new(node, plan)?)),
        Op::Aggregate(plan) => Some(match plan.session {
            Some(bounds) => Box::new(BySession::new(node, plan, bounds, &inputs[0].schema)?),
            None => Box::new(Aggregate::new(
                node,
                plan,
                &inputs[0].schema,
                !append_only(inputs[0]),
            )?),
        }),
        Op::Over(plan) => Some(match plan.labels {
            Some(labels) => {
                let input = &inputs[0].schema;
                Box::new(Sessions::new(node, &plan.partition, labels, input)?)
            }
            None => Box::new(Over::new(node, plan, &inputs[0].schema)?),
        }),
        Op::TopN(plan) => Some(Box::new(Top::new(
            node,
            plan,
            &inputs[0].schema,
            !append_only(inputs[0]),
        )?)),
        Op::SetOperation(plan) => Some(Box::new(SetOperation::new(node, *plan)?)),
        Op::Join(plan) => Some(join(node, plan, [inputs[0], inputs[1]])?),
        Op::Gate(plan) => Some(Box::new(Gate::new(node, plan))),
        Op::Close { column } => Some(Box::new(Hold::new(node, *column)?)),
    })
}

fn join(
    node: &Node,
    plan: &plan::Join,
    inputs: [&Node; 2],
) -> Result<Box<dyn Operator>, OperatorError> {
    Ok(match &plan.as_of {
        Some(as_of) => Box::new(AsOf::new(node, plan, as_of, inputs)?),
        None if plan.lookup => Box::new(LookUp::new(node, plan, inputs)?),
        None => Box::new(Join::new(node, plan, inputs)?),
    })
}
