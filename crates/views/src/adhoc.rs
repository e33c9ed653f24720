//! [`AdHoc`]: plain SELECTs over snapshots, on threads and memory of their own, so that no query holds up the engine.

use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::catalog::MemoryCatalogProviderList;
use datafusion::dataframe::DataFrame;
use datafusion::error::DataFusionError;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use futures::StreamExt;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;

/// What queries may use.
#[derive(Clone, Copy, Debug)]
pub struct AdHocLimits {
    /// Memory of all running queries together, in bytes (what DataFusion accounts: sorts, joins, aggregates).
    pub memory_bytes: usize,
    pub threads: usize,
    /// Queries that run at one time; more wait.
    pub running: usize,
}

impl Default for AdHocLimits {
    fn default() -> Self {
        Self {
            memory_bytes: 256 * 1024 * 1024,
            threads: 2,
            running: 4,
        }
    }
}

/// One query: a session in which its tables are registered, and the plan over them.
pub struct Query {
    pub session: SessionContext,
    pub plan: LogicalPlan,
    /// Most rows that are answered.
    pub rows_max: usize,
    pub timeout: Duration,
}

#[derive(Clone, Debug)]
pub struct Answer {
    pub schema: SchemaRef,
    pub batches: Vec<RecordBatch>,
    pub rows: usize,
    /// There are more rows than were answered.
    pub truncated: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    #[error("the query took longer than {} s and was ended", .0.as_secs_f64())]
    Timeout(Duration),
    #[error("the query needs more memory than queries may use ({} MB): narrow it", .0 / 1024 / 1024)]
    Memory(usize),
    #[error("{0}")]
    Failed(String),
    #[error("queries are no longer answered: the node is shutting down")]
    Stopped,
}

/// Runs queries. Dropping the future of one cancels it.
pub struct AdHoc {
    /// Taken when dropped: a runtime must not be dropped where blocking is forbidden.
    runtime: Option<Runtime>,
    environment: Arc<RuntimeEnv>,
    running: Arc<Semaphore>,
    limits: AdHocLimits,
}

impl AdHoc {
    pub fn new(limits: AdHocLimits) -> Result<Self, QueryError> {
        let failed = |e: &dyn std::fmt::Display| QueryError::Failed(e.to_string());
        let runtime = Builder::new_multi_thread()
            .worker_threads(limits.threads.max(1))
            .thread_name("ad-hoc")
            .enable_time()
            .build()
            .map_err(|e| failed(&e))?;
        let environment = RuntimeEnvBuilder::new()
            // No spilling either: a query must not fill the disk that the log is on.
            .with_disk_manager_builder(
                DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled),
            )
            .with_memory_pool(Arc::new(GreedyMemoryPool::new(limits.memory_bytes)))
            .build_arc()
            .map_err(|e| failed(&e))?;
        let running = Arc::new(Semaphore::new(limits.running.max(1)));
        Ok(Self {
            runtime: Some(runtime),
            environment,
            running,
            limits,
        })
    }

    /// A session like `state` (functions, configuration, rules), with a catalog of its own and the memory bound of queries.
    pub fn session(&self, state: &SessionState) -> SessionContext {
        let config = state
            .config()
            .clone()
            .with_create_default_catalog_and_schema(true);
        let state = SessionStateBuilder::new_from_existing(state.clone())
            .with_config(config)
            .with_runtime_env(Arc::clone(&self.environment))
            .with_catalog_list(Arc::new(MemoryCatalogProviderList::new()))
            .build();
        SessionContext::new_with_state(state)
    }

    /// Answers a query. The plan is optimized and run on the executor's own threads.
    pub async fn run(&self, query: Query) -> Result<Answer, QueryError> {
        let runtime = self.runtime.as_ref().ok_or(QueryError::Stopped)?;
        let timeout = query.timeout;
        let running = Arc::clone(&self.running);
        let task = async move {
            let _turn = running.acquire().await.map_err(|_| QueryError::Stopped)?;
            collect(query).await
        };
        let handle = Cancel(runtime.spawn(tokio::time::timeout(timeout, task)));
        handle.answer(timeout, self.limits.memory_bytes).await
    }
}

impl Drop for AdHoc {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

type Outcome = Result<Result<Answer, QueryError>, tokio::time::error::Elapsed>;

/// Ends the task when the one who asked has gone.
struct Cancel(tokio::task::JoinHandle<Outcome>);

impl Cancel {
    async fn answer(
        mut self,
        timeout: Duration,
        memory_bytes: usize,
    ) -> Result<Answer, QueryError> {
        match (&mut self.0).await {
            Ok(Ok(Err(QueryError::Memory(_)))) => Err(QueryError::Memory(memory_bytes)),
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(QueryError::Timeout(timeout)),
            Err(e) if e.is_panic() => Err(QueryError::Failed(
                "the query failed inside the query engine".into(),
            )),
            Err(_) => Err(QueryError::Stopped),
        }
    }
}

impl Drop for Cancel {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn collect(query: Query) -> Result<Answer, QueryError> {
    let frame = DataFrame::new(query.session.state(), query.plan);
    // One more than asked for tells whether there are more.
    let frame = frame
        .limit(0, Some(query.rows_max.saturating_add(1)))
        .map_err(failed)?;
    let mut stream = frame.execute_stream().await.map_err(failed)?;
    let (schema, mut batches, mut rows) = (stream.schema(), Vec::new(), 0);
    while let Some(batch) = stream.next().await {
        let batch = batch.map_err(failed)?;
        let take = batch.num_rows().min(query.rows_max - rows);
        rows += take;
        if take < batch.num_rows() {
            batches.push(batch.slice(0, take));
            return Ok(Answer {
                schema,
                batches,
                rows,
                truncated: true,
            });
        }
        batches.push(batch);
        // A blocking table never waits: let the timeout and others have their turn.
        tokio::task::yield_now().await;
    }
    Ok(Answer {
        schema,
        batches,
        rows,
        truncated: false,
    })
}

fn failed(error: DataFusionError) -> QueryError {
    match error.find_root() {
        DataFusionError::ResourcesExhausted(_) => QueryError::Memory(0),
        root => QueryError::Failed(root.strip_backtrace()),
    }
}
