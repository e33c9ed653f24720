//! A pipeline as it runs: inputs, flows in the order of their dependencies, outputs. Made from definitions, names no state.
//!
//! Every pipeline is self-contained: of a view of another pipeline that it reads it runs its own instance, so that no pipeline
//! can stop or slow another, and each replays by itself.

use headwater_connect::TopicInfo;
use headwater_formats::write::Outline;
use headwater_sql::graph::Graph;
use headwater_sql::model::{AlertDef, SinkDef, SourceDef, TableDef};

use datafusion::arrow::datatypes::SchemaRef;

/// Number of an input or a flow among the relations of a pipeline: inputs first, then flows.
pub type RelationId = usize;

/// See the module's description.
#[derive(Clone, Debug)]
pub struct PipelinePlan {
    pub name: String,
    /// Names of the objects that belong to it.
    pub objects: Vec<String>,
    pub inputs: Vec<InputPlan>,
    pub flows: Vec<FlowPlan>,
    pub outputs: Vec<OutputPlan>,
    /// Of everything that the state depends on: inputs with their topics' identities, and flows.
    pub flow_fingerprint: String,
}

#[derive(Clone, Debug)]
pub enum InputDef {
    Source(SourceDef),
    Table(TableDef),
}

/// A topic that is read, and how.
#[derive(Clone, Debug)]
pub struct InputPlan {
    pub name: String,
    pub def: InputDef,
    pub schema: SchemaRef,
    /// The part of its declared columns that somebody reads.
    pub read: SchemaRef,
    /// From the declared columns to all columns and the watermark.
    pub computed: Graph,
    pub topic: TopicInfo,
    pub has_watermark: bool,
    /// The watermark is a time of arrival: so far ahead of the step's clock, whatever has arrived (microseconds).
    pub clock_watermark: Option<i64>,
    pub idle_ms: i64,
    pub from_latest: bool,
    /// Its rows are shown under its name (a table that belongs to this pipeline).
    pub shown: bool,
}

impl InputPlan {
    pub fn is_table(&self) -> bool {
        matches!(self.def, InputDef::Table(_))
    }

    pub fn key(&self) -> Option<&[usize]> {
        match &self.def {
            InputDef::Table(table) => Some(&table.primary_key),
            InputDef::Source(_) => None,
        }
    }
}

/// A materialized view, or the condition of an alert.
#[derive(Clone, Debug)]
pub struct FlowPlan {
    pub name: String,
    pub graph: Graph,
    pub schema: SchemaRef,
    pub key: Option<Vec<usize>>,
    pub append_only: bool,
    pub event_time: Option<usize>,
    pub window_end: Option<usize>,
    pub retention_ms: Option<i64>,
    pub is_alert: bool,
    /// Its rows are kept and shown under its name; otherwise it only feeds others.
    pub shown: bool,
    /// What it reads, by the names in its graph.
    pub reads: Vec<(String, RelationId)>,
    /// Sources with a watermark that its rows come from, through other flows too.
    pub timed_inputs: Vec<usize>,
    /// Flows that it needs come before: its distance from the inputs.
    pub level: usize,
}

/// Where rows of a relation go besides being shown.
#[derive(Clone, Debug)]
pub struct OutputPlan {
    pub name: String,
    pub fingerprint: String,
    pub relation: RelationId,
    pub kind: OutputKind,
}

#[derive(Clone, Debug)]
pub enum OutputKind {
    /// Records of another topic, part of the step's commit.
    Topic {
        topic: TopicInfo,
        records: TopicRecords,
    },
    /// The view's durable changelog, for sinks outside the log.
    Changelog { topic: TopicInfo, sink: SinkDef },
    /// Transitions of an alert, in its own topic.
    Alert {
        topic: TopicInfo,
        def: AlertDef,
        key: Vec<usize>,
        window_end: Option<usize>,
    },
}

/// How the rows of a topic sink become records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicRecords {
    /// Columns that name a row: one record a key and step, tombstones for deletes. `None`: rows are appended.
    pub upserts: Option<Vec<usize>>,
    pub outline: Outline,
}

impl PipelinePlan {
    pub fn relations(&self) -> usize {
        self.inputs.len() + self.flows.len()
    }

    pub fn schema(&self, relation: RelationId) -> &SchemaRef {
        match self.inputs.get(relation) {
            Some(input) => &input.schema,
            None => &self.flows[relation - self.inputs.len()].schema,
        }
    }

    pub fn key(&self, relation: RelationId) -> Option<&[usize]> {
        match self.inputs.get(relation) {
            Some(input) => input.key(),
            None => self.flows[relation - self.inputs.len()].key.as_deref(),
        }
    }

    pub fn append_only(&self, relation: RelationId) -> bool {
        match self.inputs.get(relation) {
            Some(input) => !input.is_table(),
            None => self.flows[relation - self.inputs.len()].append_only,
        }
    }

    pub fn relation_name(&self, relation: RelationId) -> &str {
        match self.inputs.get(relation) {
            Some(input) => &input.name,
            None => &self.flows[relation - self.inputs.len()].name,
        }
    }

    /// Whether the rows of a relation are kept, because people or sinks outside the log read them.
    pub fn kept(&self, relation: RelationId) -> bool {
        let shown = match self.inputs.get(relation) {
            Some(input) => input.shown,
            None => self.flows[relation - self.inputs.len()].shown,
        };
        shown
            || self
                .outputs
                .iter()
                .any(|o| o.relation == relation && !matches!(o.kind, OutputKind::Alert { .. }))
    }
}
