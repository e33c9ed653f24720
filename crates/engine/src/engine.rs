//! All pipelines together: the catalog, what runs, and the change from one catalog to the next.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use headwater_connect::{StepLog, TopicInfo};
use headwater_sql::{Session, SqlError};
use headwater_views::{AdHoc, AdHocLimits};
use parking_lot::{Mutex, RwLock};
use tokio::task::JoinHandle;

use crate::alerts::notify::Notifier;
use crate::alerts::runner::{AlertTask, AlertView, Cursors, compact_cursors, read_cursors};
use crate::builtin;
use crate::catalog::{Objects, build, store};
use crate::cell::ViewCell;
use crate::config::EngineConfig;
use crate::error::EngineError;
use crate::pipeline::output::SharedTopics;
use crate::pipeline::plan::{OutputKind, OutputPlan, PipelinePlan};
use crate::pipeline::shared::{NodeMemory, Shared};
use crate::pipeline::sharing::Sharings;
use crate::pipeline::snapshot::SnapshotDir;
use crate::pipeline::start::{Running, Surroundings, start};
use crate::sinks::runner::{SinkTask, SinkView};
use crate::sinks::{SinkFactory, SinkRequest, columns};

const CURSORS_TOPIC: &str = "__headwater_cursors";

/// What is handed in besides the log: the parts of the world that the engine does not know.
#[derive(Clone, Default)]
pub(crate) struct Outside {
    pub sinks: Option<SinkFactory>,
    pub notifier: Option<Arc<dyn Notifier>>,
}

/// The engine. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Engine {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub config: EngineConfig,
    pub log: Arc<dyn StepLog>,
    pub outside: Outside,
    pub objects: RwLock<Objects>,
    pub running: Mutex<BTreeMap<String, RunningPipeline>>,
    pub memory: Arc<NodeMemory>,
    pub topics: SharedTopics,
    pub sharings: Arc<Sharings>,
    pub adhoc: AdHoc,
    /// Held while the catalog changes.
    pub changing: tokio::sync::Mutex<()>,
    catalog: TopicInfo,
    cursors: TopicInfo,
    delivered: Cursors,
}

pub(crate) struct RunningPipeline {
    pub running: Running,
    pub plan: Arc<PipelinePlan>,
    pub tasks: Vec<JoinHandle<()>>,
    pub alerts: BTreeMap<String, Arc<Mutex<AlertView>>>,
    pub sinks: BTreeMap<String, Arc<Mutex<SinkView>>>,
}

impl Engine {
    /// Recovers the catalog and starts its pipelines; they recover on their own threads. To be called on a tokio runtime, which
    /// runs the tasks of sinks and alerts.
    pub async fn start(
        config: EngineConfig,
        log: Arc<dyn StepLog>,
        sinks: impl Into<Option<SinkFactory>>,
        notifier: impl Into<Option<Arc<dyn Notifier>>>,
    ) -> Result<Self, EngineError> {
        let outside = Outside {
            sinks: sinks.into(),
            notifier: notifier.into(),
        };
        let catalog = log.ensure_topic(store::TOPIC, 1).await?;
        let cursors = log.ensure_topic(CURSORS_TOPIC, 1).await?;
        let topics = SharedTopics {
            dead_letters: log.ensure_topic(builtin::DEAD_LETTERS_TOPIC, 1).await?,
            late_rows: log.ensure_topic(builtin::LATE_ROWS_TOPIC, 1).await?,
            rebuilds: log.ensure_topic(builtin::REBUILDS_TOPIC, 1).await?,
        };
        let objects = store::load(log.as_ref(), catalog.partition(0))?;
        let delivered = read_cursors(log.as_ref(), cursors.partition(0));
        compact_cursors(
            log.as_ref(),
            cursors.partition(0),
            &delivered,
            config.clock.now_ms(),
        );
        let memory = NodeMemory {
            used: AtomicI64::new(0),
            pipelines: AtomicUsize::new(0),
            node_max: AtomicUsize::new(config.node_state_bytes_max),
            pipeline_max: AtomicUsize::new(config.pipeline_state_bytes_max),
        };
        let adhoc = AdHoc::new(AdHocLimits::default())
            .map_err(|error| EngineError::Catalog(error.to_string()))?;
        let inner = Inner {
            config,
            log,
            outside,
            objects: RwLock::new(Objects::default()),
            running: Mutex::new(BTreeMap::new()),
            memory: Arc::new(memory),
            topics,
            sharings: Arc::default(),
            adhoc,
            changing: tokio::sync::Mutex::new(()),
            catalog,
            cursors,
            delivered: Arc::new(Mutex::new(delivered)),
        };
        let engine = Self {
            inner: Arc::new(inner),
        };
        if let Err(error) = engine.sweep(&objects).await {
            tracing::warn!(error = error.message, "an internal topic stays for now");
        }
        let plans = engine
            .plan_all(&objects)
            .await
            .map_err(|error| EngineError::Catalog(error.render()))?;
        *engine.inner.objects.write() = objects;
        engine.run(plans).await;
        Ok(engine)
    }

    /// Stops all pipelines, each after a last snapshot, and waits for their threads.
    pub async fn stop(&self) {
        let all: Vec<RunningPipeline> = std::mem::take(&mut *self.inner.running.lock())
            .into_values()
            .collect();
        for pipeline in &all {
            pipeline.running.ask_to_stop();
        }
        for pipeline in all {
            halt(pipeline).await;
        }
    }

    /// Other limits for the state of one pipeline and of all; pipelines that paused go on if there is room now.
    pub fn set_memory_limits(&self, node_bytes: usize, pipeline_bytes: usize) {
        self.inner
            .memory
            .node_max
            .store(node_bytes, Ordering::Release);
        self.inner
            .memory
            .pipeline_max
            .store(pipeline_bytes, Ordering::Release);
    }

    /// Deletes internal topics that no object has: what a crash between two changes left. An object of the same name would go on
    /// with them as if it had never been away.
    async fn sweep(&self, objects: &Objects) -> Result<(), SqlError> {
        let wanted = internal_topics(objects);
        for topic in self.inner.log.topics() {
            if build::is_own_topic(&topic.name) && !wanted.contains(&topic.name) {
                let deleted = self.inner.log.delete_topic(&topic.name).await;
                deleted.map_err(|error| {
                    SqlError::new(format!("internal topic {}: {error}", topic.name))
                        .hint("it is left over from an earlier change; try again in a moment")
                })?;
            }
        }
        Ok(())
    }

    /// Makes another catalog the one that counts: all of it, or nothing.
    pub(crate) async fn change_to(&self, after: Objects) -> Result<(), SqlError> {
        let before = self.inner.objects.read().clone();
        self.sweep(&before).await?;
        let plans = self.plan_all(&after).await?;
        let now_ms = self.inner.config.clock.now_ms();
        store::save(
            &self.inner.log,
            self.inner.catalog.partition(0),
            &after,
            now_ms,
        )
        .await
        .map_err(|error| SqlError::new(error.to_string()))?;
        let gone = internal_topics(&before)
            .difference(&internal_topics(&after))
            .cloned()
            .collect::<Vec<_>>();
        let gone_pipelines: Vec<String> = before
            .pipelines()
            .into_iter()
            .filter(|name| !after.pipelines().contains(name))
            .collect();
        *self.inner.objects.write() = after;
        self.run(plans).await;
        for pipeline in gone_pipelines {
            SnapshotDir::new(&self.inner.config.state_dir, &pipeline).remove();
            self.inner.log.retain(&pipeline, Vec::new());
        }
        for topic in gone {
            if let Err(error) = self.inner.log.delete_topic(&topic).await {
                tracing::warn!(topic, %error, "an internal topic stays");
            }
        }
        Ok(())
    }

    /// Lets a pipeline rest, or go on; for good, until it is told otherwise.
    pub(crate) async fn set_paused(&self, pipeline: &str, paused: bool) -> Result<bool, SqlError> {
        let mut after = self.inner.objects.read().clone();
        let changed = match paused {
            true => after.paused.insert(pipeline.to_owned()),
            false => after.paused.remove(pipeline),
        };
        if changed {
            self.change_to(after).await?;
        }
        if let Some(running) = self.inner.running.lock().get(pipeline) {
            running.running.shared.set_paused(paused);
        }
        Ok(changed)
    }

    /// Starts pipelines that have failed once more, for whoever mended what made them fail.
    pub(crate) async fn take_up_again(&self, pipeline: &str) -> Result<(), SqlError> {
        let failed = self
            .inner
            .running
            .lock()
            .get(pipeline)
            .is_none_or(|running| running.running.shared.failed());
        if failed {
            let objects = self.inner.objects.read().clone();
            let plans = self.plan_all(&objects).await?;
            self.run(plans).await;
        }
        Ok(())
    }

    async fn plan_all(&self, objects: &Objects) -> Result<Vec<(PipelinePlan, Session)>, SqlError> {
        let mut plans = Vec::new();
        for name in objects.pipelines() {
            for (topic, partitions) in
                build::topics_of(objects, &name, self.inner.config.topic_partitions)
            {
                let made = self.inner.log.ensure_topic(&topic, partitions).await;
                made.map_err(|error| SqlError::new(format!("topic {topic}: {error}")))?;
            }
            let session = Session::new();
            if let Some(plan) = build::build(objects, &name, self.inner.log.as_ref(), &session)? {
                self.check_outputs(&plan)?;
                plans.push((plan, session));
            }
        }
        Ok(plans)
    }

    fn check_outputs(&self, plan: &PipelinePlan) -> Result<(), SqlError> {
        let Some(factory) = &self.inner.outside.sinks else {
            return Ok(());
        };
        for output in &plan.outputs {
            if let OutputKind::Changelog { topic, sink } = &output.kind {
                let made = factory(&request(plan, output, topic, sink));
                made.map_err(|error| SqlError::new(format!("sink {}: {error}", sink.name)))?;
            }
        }
        Ok(())
    }

    /// Stops what is no longer wanted as it is, starts what is not running yet.
    async fn run(&self, plans: Vec<(PipelinePlan, Session)>) {
        let keeps = |running: &RunningPipeline| {
            !running.running.shared.failed()
                && plans.iter().any(|(plan, _)| same(plan, &running.plan))
        };
        let stopped: Vec<RunningPipeline> = {
            let mut running = self.inner.running.lock();
            let names: Vec<String> = running
                .iter()
                .filter(|(_, r)| !keeps(r))
                .map(|(name, _)| name.clone())
                .collect();
            names
                .iter()
                .filter_map(|name| running.remove(name))
                .collect()
        };
        for pipeline in &stopped {
            pipeline.running.ask_to_stop();
        }
        for pipeline in stopped {
            halt(pipeline).await;
        }
        for (plan, session) in plans {
            if !self.inner.running.lock().contains_key(&plan.name) {
                self.start_pipeline(plan, &session);
            }
        }
    }

    fn start_pipeline(&self, plan: PipelinePlan, session: &Session) {
        let inner = &self.inner;
        let Some(steps) = inner.log.topic(&build::steps_topic(&plan.name)) else {
            return;
        };
        let around = Surroundings {
            log: Arc::clone(&inner.log),
            config: inner.config.clone(),
            memory: Arc::clone(&inner.memory),
            topics: inner.topics.clone(),
            sharings: Arc::clone(&inner.sharings),
            steps: steps.partition(0),
            clock: session.clock().clone(),
            paused: inner.objects.read().paused.contains(&plan.name),
        };
        let plan = Arc::new(plan);
        let running = match start(Arc::clone(&plan), around) {
            Ok(running) => running,
            Err(error) => {
                tracing::error!(pipeline = plan.name, %error, "cannot start its threads");
                return;
            }
        };
        let mut pipeline = RunningPipeline {
            running,
            plan: Arc::clone(&plan),
            tasks: Vec::new(),
            alerts: BTreeMap::new(),
            sinks: BTreeMap::new(),
        };
        for output in &plan.outputs {
            self.start_output(&mut pipeline, output);
        }
        inner.running.lock().insert(plan.name.clone(), pipeline);
    }

    fn start_output(&self, pipeline: &mut RunningPipeline, output: &OutputPlan) {
        let inner = &self.inner;
        let clock = Arc::clone(&inner.config.clock);
        let now_ms: Arc<dyn Fn() -> i64 + Send + Sync> = Arc::new(move || clock.now_ms());
        match &output.kind {
            OutputKind::Topic { .. } => {}
            OutputKind::Alert { topic, def, .. } => {
                let view = Arc::new(Mutex::new(AlertView::default()));
                pipeline
                    .alerts
                    .insert(output.name.clone(), Arc::clone(&view));
                let task = AlertTask {
                    // Of this topic: an alert that is dropped and created again begins with its first event.
                    key: format!("alert:{}:{}", def.name, topic.id),
                    log: Arc::clone(&inner.log),
                    events: topic.partition(0),
                    cursors: inner.cursors.partition(0),
                    targets: def
                        .notify
                        .iter()
                        .map(|target| expand(target, &inner.config))
                        .collect(),
                    notifier: inner.outside.notifier.clone(),
                    view,
                    now_ms,
                    delivered: Arc::clone(&inner.delivered),
                };
                pipeline.tasks.push(tokio::spawn(task.run()));
            }
            OutputKind::Changelog { topic, sink } => {
                let view = Arc::new(Mutex::new(SinkView::default()));
                pipeline
                    .sinks
                    .insert(output.name.clone(), Arc::clone(&view));
                let task = SinkTask {
                    request: request(&pipeline.plan, output, topic, sink),
                    factory: inner.outside.sinks.clone(),
                    log: Arc::clone(&inner.log),
                    changelog: topic.partition(0),
                    shared: Arc::clone(&pipeline.running.shared),
                    relation: output.relation,
                    lag_bytes_max: inner.config.sink_lag_bytes_max,
                    view,
                    now_ms,
                    change_bytes: 0,
                };
                pipeline.tasks.push(tokio::spawn(task.run()));
            }
        }
    }

    /// The pipeline that shows this view or table.
    pub(crate) fn owner(&self, name: &str) -> Option<(Arc<Shared>, Arc<ViewCell>)> {
        let pipeline = self.inner.objects.read().get(name)?.pipeline.clone();
        let running = self.inner.running.lock();
        let shared = Arc::clone(&running.get(&pipeline)?.running.shared);
        let cell = shared
            .cells
            .iter()
            .flatten()
            .find(|cell| cell.info.name == name)
            .cloned()?;
        Some((shared, cell))
    }
}

async fn halt(mut pipeline: RunningPipeline) {
    for task in &pipeline.tasks {
        task.abort();
    }
    let stopped = tokio::task::spawn_blocking(move || {
        pipeline.running.stop();
        pipeline
            .running
            .shared
            .cells
            .iter()
            .flatten()
            .for_each(|cell| cell.retire());
    });
    let _ = stopped.await;
}

fn same(a: &PipelinePlan, b: &PipelinePlan) -> bool {
    let outputs = |plan: &PipelinePlan| -> Vec<(String, String)> {
        plan.outputs
            .iter()
            .map(|output| (output.name.clone(), output.fingerprint.clone()))
            .collect()
    };
    a.name == b.name
        && a.flow_fingerprint == b.flow_fingerprint
        && outputs(a) == outputs(b)
        && a.objects == b.objects
}

fn request(
    plan: &PipelinePlan,
    output: &OutputPlan,
    topic: &TopicInfo,
    sink: &headwater_sql::model::SinkDef,
) -> SinkRequest {
    let key = if plan.append_only(output.relation) {
        None
    } else {
        plan.key(output.relation).map(<[usize]>::to_vec)
    };
    SinkRequest {
        def: sink.clone(),
        id: format!("{}-{}-{}", sink.name, topic.id, &output.fingerprint[..16]),
        columns: columns::of(plan.schema(output.relation)),
        key,
    }
}

/// Internal topics that the objects of a catalog have.
fn internal_topics(objects: &Objects) -> BTreeSet<String> {
    let pipelines = objects.pipelines();
    pipelines
        .iter()
        .flat_map(|pipeline| build::own_topics(objects, pipeline))
        .collect()
}

/// `${VAR}` replaced by its value; a variable that has gone since it was checked leaves nothing.
pub(crate) fn expand(text: &str, config: &EngineConfig) -> String {
    let mut out = text.to_owned();
    for name in headwater_sql::variables(text) {
        let value = (config.variable)(&name).unwrap_or_default();
        out = out.replace(&format!("${{{name}}}"), &value);
    }
    out
}
