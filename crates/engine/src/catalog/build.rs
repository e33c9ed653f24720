//! From the catalog to a pipeline's plan: its own instance of every view that it needs, in the order of their dependencies.

use std::collections::BTreeMap;
use std::sync::Arc;

use headwater_connect::{StepLog, TopicInfo};
use headwater_sql::model::{AlertDef, Definition, SinkDef, ViewDef};
use headwater_sql::{
    Places, PlannedView, Planner, Session, SqlError, VERSIONS, clock_watermark, explain,
    input_graph_at, physical_schema_of,
};

use super::topic_sink::{self, Rows};
use super::{Object, Objects, reads};
use crate::pipeline::plan::{
    FlowPlan, InputDef, InputPlan, OutputKind, OutputPlan, PipelinePlan, RelationId,
};

/// Grows when an operator keeps its state in another form, so that a newer program builds it anew and never misreads it.
const STATE_VERSION: &str = "state 3";
/// How long a partition may be silent unless its source says otherwise.
const IDLE_MS_NEVER: i64 = i64::MAX / 4;

/// Topics that a pipeline reads or writes: `(name, partitions when it is made)`.
pub fn topics_of(objects: &Objects, pipeline: &str, partitions: i32) -> Vec<(String, i32)> {
    let mut topics: Vec<(String, i32)> = own_topics(objects, pipeline)
        .into_iter()
        .map(|topic| (topic, 1))
        .collect();
    for object in objects
        .of_pipeline(pipeline)
        .flat_map(|object| objects.closure(&object.name))
    {
        match &object.definition {
            Definition::Source(source) => topics.push((source.topic.clone(), partitions)),
            Definition::Table(table) => topics.push((table.topic.clone(), partitions)),
            Definition::Sink(sink) if object.pipeline == pipeline && sink.connector == "topic" => {
                topics.push((sink_topic(sink), sink_partitions(sink, partitions)))
            }
            _ => {}
        }
    }
    topics.sort();
    topics.dedup_by(|a, b| a.0 == b.0);
    topics
}

/// Topics that nobody but the pipeline itself has to do with; they come and go with its objects.
pub fn own_topics(objects: &Objects, pipeline: &str) -> Vec<String> {
    let mut topics = vec![steps_topic(pipeline)];
    for object in objects.of_pipeline(pipeline) {
        match &object.definition {
            Definition::Sink(sink) if sink.connector != "topic" => {
                topics.push(changelog_topic(&sink.name))
            }
            Definition::Alert(alert) => topics.push(alert_topic(&alert.name)),
            _ => {}
        }
    }
    topics
}

pub fn steps_topic(pipeline: &str) -> String {
    format!("__headwater_steps_{}", safe(pipeline))
}

/// One a sink, so that each lets go of what it has passed.
pub fn changelog_topic(sink: &str) -> String {
    format!("__headwater_changes_{}", safe(sink))
}

pub fn alert_topic(alert: &str) -> String {
    format!("__headwater_alerts_{}", safe(alert))
}

/// Whether it is one of the above, of whatever object.
pub fn is_own_topic(topic: &str) -> bool {
    ["steps", "changes", "alerts"]
        .iter()
        .any(|kind| topic.starts_with(&format!("__headwater_{kind}_")))
}

/// A name as part of a topic's name: other characters as their code.
fn safe(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.') {
            out.push(c);
        } else {
            out.push_str(&format!("-u{:x}-", u32::from(c)));
        }
    }
    out
}

fn sink_topic(sink: &SinkDef) -> String {
    sink.options
        .get("topic")
        .cloned()
        .unwrap_or_else(|| sink.name.clone())
}

fn sink_partitions(sink: &SinkDef, default: i32) -> i32 {
    sink.options
        .get("partitions")
        .and_then(|count| count.parse().ok())
        .unwrap_or(default)
}

/// Builds one pipeline; `None` when nothing of it runs (sources and plain views only).
pub fn build(
    objects: &Objects,
    pipeline: &str,
    log: &dyn StepLog,
    session: &Session,
) -> Result<Option<PipelinePlan>, SqlError> {
    let mut builder = Builder {
        objects,
        pipeline,
        log,
        session,
        inputs: Vec::new(),
        flows: Vec::new(),
    };
    let own: Vec<&Arc<Object>> = objects.of_pipeline(pipeline).collect();
    let roots = own.iter().filter_map(|object| match &object.definition {
        Definition::Table(_) | Definition::Alert(_) => Some(object.name.as_str()),
        Definition::View(view) if view.materialized => Some(object.name.as_str()),
        Definition::Sink(sink) => Some(sink.from.as_str()),
        _ => None,
    });
    for name in roots {
        builder.need(name)?;
    }
    // A view of constants has no input, but its rows all the same.
    if builder.inputs.is_empty() && builder.flows.is_empty() {
        return Ok(None);
    }
    let (inputs, flows) = builder.numbered();
    flows
        .iter()
        .try_for_each(|flow| check_retention(objects, flow))?;
    let relations: BTreeMap<String, RelationId> = inputs
        .iter()
        .map(|input| input.name.clone())
        .chain(flows.iter().map(|flow| flow.name.clone()))
        .enumerate()
        .map(|(id, name)| (name, id))
        .collect();
    let mut plan = PipelinePlan {
        name: pipeline.to_owned(),
        objects: own.iter().map(|object| object.name.clone()).collect(),
        flow_fingerprint: flow_fingerprint(objects, &inputs, &flows),
        inputs,
        flows,
        outputs: Vec::new(),
    };
    plan.outputs = outputs(objects, &own, &plan, &relations, log)?;
    reads::narrow(&mut plan);
    Ok(Some(plan))
}

struct Builder<'a> {
    objects: &'a Objects,
    pipeline: &'a str,
    log: &'a dyn StepLog,
    session: &'a Session,
    inputs: Vec<InputPlan>,
    flows: Vec<(FlowPlan, Vec<String>)>,
}

impl Builder<'_> {
    fn need(&mut self, name: &str) -> Result<(), SqlError> {
        let known = self.inputs.iter().any(|i| i.name == name)
            || self.flows.iter().any(|(f, _)| f.name == name);
        if known {
            return Ok(());
        }
        if let Some(table) = name.strip_suffix(VERSIONS)
            && let Some(object) = self.objects.get(table)
            && let Definition::Table(def) = &object.definition
        {
            return self.add_input(&Object {
                name: name.to_owned(),
                definition: Definition::Source(def.versions()),
                ..object.as_ref().clone()
            });
        }
        let object = self.objects.get(name).ok_or_else(|| {
            SqlError::new(format!("\"{name}\" cannot be read by a view"))
                .hint("declare a SOURCE or TABLE over the topic first")
        })?;
        let object = Arc::clone(object);
        match &object.definition {
            Definition::Source(_) | Definition::Table(_) => self.add_input(&object),
            Definition::View(view) => self.add_flow(&object, view, false),
            Definition::Alert(alert) => self.add_flow(&object, &alert.view, true),
            Definition::Sink(_) => Err(SqlError::new(format!("\"{name}\" is a sink"))),
        }
    }

    fn add_input(&mut self, object: &Object) -> Result<(), SqlError> {
        let (def, columns, watermark, topic, schema) = match &object.definition {
            Definition::Source(def) => (
                InputDef::Source(def.clone()),
                &def.columns,
                &def.watermark,
                &def.topic,
                def.schema(),
            ),
            Definition::Table(def) => (
                InputDef::Table(def.clone()),
                &def.columns,
                &def.watermark,
                &def.topic,
                def.schema(),
            ),
            _ => return Err(SqlError::new("not an input")),
        };
        let from_latest = matches!(&def, InputDef::Source(def) if def.start == headwater_sql::model::StartAt::Latest);
        self.inputs.push(InputPlan {
            name: object.name.clone(),
            schema,
            read: physical_schema_of(columns),
            computed: input_graph_at(self.session, columns, watermark.as_ref())?,
            clock_watermark: watermark
                .as_ref()
                .and_then(|watermark| clock_watermark(columns, watermark)),
            topic: topic_info(self.log, topic)?,
            has_watermark: watermark.is_some(),
            idle_ms: watermark
                .as_ref()
                .map_or(IDLE_MS_NEVER, |watermark| watermark.idle_ms),
            from_latest,
            shown: matches!(def, InputDef::Table(_)) && object.pipeline == self.pipeline,
            def,
        });
        Ok(())
    }

    fn add_flow(
        &mut self,
        object: &Object,
        view: &ViewDef,
        is_alert: bool,
    ) -> Result<(), SqlError> {
        let planner = Planner::with_session(self.objects, self.session.clone());
        let query = object
            .query
            .as_ref()
            .ok_or_else(|| SqlError::new("a view without a query"))?;
        let PlannedView {
            graph,
            schema,
            props,
        } = planner.planned(query, view.emit, view.ttl_ms)?;
        let reads: Vec<String> = graph.relations().into_iter().map(str::to_owned).collect();
        for read in &reads {
            self.need(read)?;
        }
        let flow = FlowPlan {
            name: object.name.clone(),
            window_end: window_end(props.window_end, &schema),
            graph,
            schema,
            key: props.key,
            append_only: props.changelog == headwater_sql::graph::Changelog::AppendOnly,
            event_time: props.event_time,
            retention_ms: view.retention_ms,
            is_alert,
            shown: object.pipeline == self.pipeline,
            reads: Vec::new(),
            timed_inputs: Vec::new(),
            level: 0,
        };
        self.flows.push((flow, reads));
        Ok(())
    }

    /// With relations as numbers, levels and the inputs that time comes from. Flows are in the order of their dependencies.
    fn numbered(self) -> (Vec<InputPlan>, Vec<FlowPlan>) {
        let inputs = self.inputs;
        let mut flows: Vec<FlowPlan> = Vec::new();
        for (mut flow, reads) in self.flows {
            for name in reads {
                if let Some(input) = inputs.iter().position(|input| input.name == name) {
                    flow.reads.push((name, input));
                    if inputs[input].has_watermark && !inputs[input].is_table() {
                        flow.timed_inputs.push(input);
                    }
                } else if let Some(other) = flows.iter().position(|other| other.name == name) {
                    flow.reads.push((name, inputs.len() + other));
                    flow.level = flow.level.max(flows[other].level + 1);
                    flow.timed_inputs.extend(&flows[other].timed_inputs);
                }
            }
            flow.timed_inputs.sort_unstable();
            flow.timed_inputs.dedup();
            flows.push(flow);
        }
        (inputs, flows)
    }
}

fn topic_info(log: &dyn StepLog, name: &str) -> Result<TopicInfo, SqlError> {
    log.topic(name)
        .ok_or_else(|| SqlError::new(format!("the topic {name} is not there")))
}

fn outputs(
    objects: &Objects,
    own: &[&Arc<Object>],
    plan: &PipelinePlan,
    relations: &BTreeMap<String, RelationId>,
    log: &dyn StepLog,
) -> Result<Vec<OutputPlan>, SqlError> {
    let mut outputs = Vec::new();
    for object in own {
        let kind = match &object.definition {
            Definition::Sink(sink) => {
                let relation = relations.get(&sink.from).copied();
                relation.map(|relation| {
                    sink_kind(object, sink, plan, relation, log).map(|kind| (relation, kind))
                })
            }
            Definition::Alert(alert) => {
                let relation = relations.get(&alert.name).copied();
                relation.map(|relation| {
                    alert_kind(alert, plan, relation, log).map(|kind| (relation, kind))
                })
            }
            _ => None,
        };
        let Some((relation, kind)) = kind.transpose()? else {
            continue;
        };
        let closure = objects.closure(&object.name);
        outputs.push(OutputPlan {
            name: object.name.clone(),
            fingerprint: fingerprint(closure.iter().map(|object| object.text.as_str())),
            relation,
            kind,
        });
    }
    Ok(outputs)
}

fn sink_kind(
    object: &Object,
    sink: &SinkDef,
    plan: &PipelinePlan,
    relation: RelationId,
    log: &dyn StepLog,
) -> Result<OutputKind, SqlError> {
    if sink.connector != "topic" {
        return Ok(OutputKind::Changelog {
            topic: topic_info(log, &changelog_topic(&sink.name))?,
            sink: sink.clone(),
        });
    }
    let topic = topic_info(log, &sink_topic(sink))?;
    if plan.inputs.iter().any(|input| input.topic.id == topic.id) {
        let message = format!(
            "sink {} writes the topic {} that its own pipeline reads",
            sink.name, topic.name
        );
        return Err(SqlError::new(message).hint("write into another topic"));
    }
    let rows = Rows {
        schema: plan.schema(relation),
        append_only: plan.append_only(relation),
        key: plan.key(relation),
    };
    let records = topic_sink::records(sink, rows, &object.places)?;
    Ok(OutputKind::Topic { topic, records })
}

fn alert_kind(
    alert: &AlertDef,
    plan: &PipelinePlan,
    relation: RelationId,
    log: &dyn StepLog,
) -> Result<OutputKind, SqlError> {
    let flow = &plan.flows[relation - plan.inputs.len()];
    Ok(OutputKind::Alert {
        topic: topic_info(log, &alert_topic(&alert.name))?,
        def: alert.clone(),
        key: key_columns(alert, &flow.schema, flow.key.as_deref(), flow.window_end)?,
        window_end: flow.window_end,
    })
}

/// What makes a sink into a topic impossible is told when it is created.
pub fn check_sink(objects: &Objects, sink: &SinkDef, places: &Places) -> Result<(), SqlError> {
    let relation = objects.get(&sink.from).and_then(|object| object.relation());
    let relation = relation.ok_or_else(|| {
        let message = format!(
            "sink {} reads \"{}\", which is not there",
            sink.name, sink.from
        );
        places
            .error("", message)
            .hint("create the view first; SHOW VIEWS lists them")
    })?;
    use headwater_sql::model::RelationKind;
    if !matches!(
        relation.kind,
        RelationKind::Materialized | RelationKind::Table
    ) {
        let message = format!(
            "sink {} reads \"{}\", which is no materialized view",
            sink.name, sink.from
        );
        let error = places.error("", message);
        return Err(error.hint("CREATE MATERIALIZED VIEW ... AS SELECT ... and sink that"));
    }
    if sink.connector == "topic" {
        let topic = sink_topic(sink);
        if topic.starts_with("__") || topic == crate::builtin::DEAD_LETTERS_TOPIC {
            let message = format!(
                "sink {}: {topic} is a topic of the database itself",
                sink.name
            );
            let error = places.error("topic", message);
            return Err(error.hint("choose another topic: WITH (topic = '...')"));
        }
        let rows = Rows {
            schema: &relation.schema,
            append_only: relation.append_only,
            key: relation.key.as_deref(),
        };
        topic_sink::records(sink, rows, places)?;
    } else if !relation.append_only && relation.key.is_none() {
        return Err(topic_sink::keyless(sink, places));
    }
    Ok(())
}

pub fn columns_of<'a>(
    object: &str,
    schema: &datafusion::arrow::datatypes::SchemaRef,
    names: impl Iterator<Item = &'a str>,
) -> Result<Vec<usize>, SqlError> {
    let find = |name: &str| {
        schema.index_of(name).map_err(|_| {
            let names: Vec<&str> = schema
                .fields()
                .iter()
                .map(|field| field.name().as_str())
                .collect();
            SqlError::new(format!("{object}: there is no column \"{name}\""))
                .hint(format!("columns are {}", names.join(", ")))
        })
    };
    names.map(find).collect()
}

/// Refuses a retention that would let go of nothing: no watermark moves, or no column has an age.
fn check_retention(objects: &Objects, flow: &FlowPlan) -> Result<(), SqlError> {
    let aged = flow.window_end.or(flow.event_time).is_some();
    if flow.retention_ms.is_none() || (aged && !flow.timed_inputs.is_empty()) {
        return Ok(());
    }
    let message = match flow.timed_inputs.is_empty() {
        true => "retention goes by the watermark, but no source of this view has one",
        false => {
            "retention goes by event time, but the view has neither such a column nor window_end"
        }
    };
    let query = objects
        .get(&flow.name)
        .and_then(|object| object.query.as_ref());
    let error = match query {
        Some(query) => query.source.error_at_start(message),
        None => SqlError::new(message),
    };
    Err(error.hint(
        "declare WATERMARK FOR ts AS ts - INTERVAL '5 seconds' on the source and have ts or window_end among the view's columns, or leave retention out",
    ))
}

/// Over a view that is windowed itself the planner does not know the window any more; its column has kept the name.
fn window_end(
    planned: Option<usize>,
    schema: &datafusion::arrow::datatypes::SchemaRef,
) -> Option<usize> {
    use datafusion::arrow::datatypes::DataType;
    let named = schema.column_with_name("window_end");
    let timed = named.filter(|(_, field)| matches!(field.data_type(), DataType::Timestamp(..)));
    planned.or(timed.map(|(column, _)| column))
}

/// The columns that name an alert's subject.
pub fn alert_key(alert: &AlertDef, planned: &PlannedView) -> Result<Vec<usize>, SqlError> {
    key_columns(
        alert,
        &planned.schema,
        planned.props.key.as_deref(),
        window_end(planned.props.window_end, &planned.schema),
    )
}

fn key_columns(
    alert: &AlertDef,
    schema: &datafusion::arrow::datatypes::SchemaRef,
    key: Option<&[usize]>,
    window_end: Option<usize>,
) -> Result<Vec<usize>, SqlError> {
    if !alert.key.is_empty() {
        return columns_of(&alert.name, schema, alert.key.iter().map(String::as_str));
    }
    let all: Vec<usize> = (0..schema.fields().len()).collect();
    let of_window = |column: &usize| {
        Some(*column) == window_end
            || (window_end.is_some() && schema.field(*column).name() == "window_start")
    };
    Ok(key
        .unwrap_or(&all)
        .iter()
        .copied()
        .filter(|column| !of_window(column))
        .collect())
}

fn flow_fingerprint(objects: &Objects, inputs: &[InputPlan], flows: &[FlowPlan]) -> String {
    let names = inputs
        .iter()
        .map(|input| &input.name)
        .chain(flows.iter().map(|flow| &flow.name));
    let mut texts: Vec<String> = Vec::new();
    for name in names {
        texts.push(name.clone());
        texts.extend(
            objects
                .closure(name)
                .iter()
                .map(|object| object.text.clone()),
        );
    }
    texts.extend(inputs.iter().map(|input| input.topic.id.to_string()));
    texts.extend(flows.iter().map(|flow| explain::graph(&flow.graph)));
    texts.push(STATE_VERSION.to_owned());
    fingerprint(texts.iter().map(String::as_str))
}

/// FNV-1a with 128 bits, each text with its length: stable for ever, unlike the hashers of libraries.
pub fn fingerprint<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    let mut eat = |bytes: &[u8]| {
        for byte in bytes {
            hash =
                (hash ^ u128::from(*byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
        }
    };
    for text in texts {
        eat(&(text.len() as u64).to_le_bytes());
        eat(text.as_bytes());
    }
    format!("{hash:032x}")
}
