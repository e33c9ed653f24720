//! A node with fixed answers that counts what reaches it, and the server over it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::{FutureExt, StreamExt, stream};
use headwater_edge_http::dto::{
    Alerts, Applied, ApplyRequest, ChangeBatch, ChangeOp, DeadLetters, Group, Health, HealthStatus,
    Overview, Pipeline, RecordsQuery, RowChange, RowsQuery, SqlAnswer, SqlResult, Topic,
    TopicDetail, TopicRecord, View, ViewRows,
};
use headwater_edge_http::{
    Answer, ApiError, ChangeStream, Flows, HttpConfig, Node, SourceError, Statements, Streams,
    serve,
};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

#[derive(Default)]
pub struct Fake {
    pub calls: AtomicUsize,
    /// Change streams that are open: each holds one.
    pub following: Arc<()>,
    pub ready: bool,
}

impl Fake {
    fn answer<T: Send + 'static>(&self, value: Result<T, ApiError>) -> Answer<'_, T> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        async move { value }.boxed()
    }
}

impl Statements for Fake {
    fn sql(&self, sql: String) -> Answer<'_, SqlAnswer> {
        if sql.contains("oops") {
            let detail = SourceError {
                message: "there is no column 'oops'".into(),
                line: Some(1),
                column: Some(8),
                caret: Some("SELECT oops\n       ^".into()),
                ..SourceError::default()
            };
            return self.answer(Err(ApiError::in_source(detail)));
        }
        // A number that no double can hold must arrive as it is.
        let exact = serde_json::from_str("123456789012345678901234567890.50").unwrap();
        self.answer(Ok(SqlAnswer {
            results: vec![SqlResult {
                rows: vec![vec![exact]],
                ..SqlResult::default()
            }],
        }))
    }

    fn apply(&self, request: ApplyRequest) -> Answer<'_, Applied> {
        self.answer(Ok(Applied {
            pipeline: request.pipeline,
            ..Applied::default()
        }))
    }
}

impl Streams for Fake {
    fn topics(&self) -> Answer<'_, Vec<Topic>> {
        self.answer(Ok(vec![Topic {
            name: "flights".into(),
            ..Topic::default()
        }]))
    }

    fn topic(&self, name: String) -> Answer<'_, TopicDetail> {
        match name.as_str() {
            "a/b c" => self.answer(Ok(TopicDetail::default())),
            "flights" => self.answer(Ok(TopicDetail::default())),
            _ => self.answer(Err(ApiError::not_found(format!(
                "there is no topic '{name}'"
            ))
            .with_hint("make it"))),
        }
    }

    fn records(&self, _topic: String, query: RecordsQuery) -> Answer<'_, Vec<TopicRecord>> {
        let record = |n: usize| TopicRecord {
            partition: query.partition.unwrap_or(0),
            offset: n as i64,
            timestamp_ms: 0,
            key: None,
            value: None,
            headers: Vec::new(),
        };
        self.answer(Ok((0..query.limit).map(record).collect()))
    }

    fn groups(&self) -> Answer<'_, Vec<Group>> {
        self.answer(Ok(Vec::new()))
    }
}

impl Flows for Fake {
    fn pipelines(&self) -> Answer<'_, Vec<Pipeline>> {
        self.answer(Ok(vec![Pipeline::default()]))
    }

    fn views(&self) -> Answer<'_, Vec<View>> {
        self.answer(Ok(vec![View::default()]))
    }

    fn view_rows(&self, _view: String, query: RowsQuery) -> Answer<'_, ViewRows> {
        let order = query.order_by.unwrap_or_default();
        let row = vec![order.into(), query.descending.into(), query.limit.into()];
        self.answer(Ok(ViewRows {
            rows: vec![row],
            ..ViewRows::default()
        }))
    }

    /// `some`: two changes, then the end. `flood`: changes without end, as fast as they are taken.
    fn view_changes(&self, view: String) -> Answer<'_, ChangeStream> {
        let held = self.following.clone();
        let change = RowChange {
            op: ChangeOp::Insert,
            row: vec!["x".repeat(2_000).into()],
        };
        let batch = move |commit: u64| {
            let _held = &held;
            ChangeBatch {
                commit,
                changes: vec![change.clone(); 400],
                left_out: 0,
            }
        };
        let changes: ChangeStream = match view.as_str() {
            "flood" => Box::pin(stream::iter(1..).then(move |commit| {
                let batch = batch(commit);
                // One event a batch: each comes after the moment in which changes are gathered.
                async move {
                    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
                    batch
                }
            })),
            _ => Box::pin(stream::iter(1..3).map(batch)),
        };
        self.answer(Ok(changes))
    }

    fn alerts(&self) -> Answer<'_, Alerts> {
        self.answer(Ok(Alerts::default()))
    }

    fn dead_letters(&self, _limit: usize) -> Answer<'_, DeadLetters> {
        self.answer(Ok(DeadLetters::default()))
    }
}

impl Node for Fake {
    /// Not counted: the live stream asks for it by itself.
    fn overview(&self) -> Answer<'_, Overview> {
        async { Ok(Overview::default()) }.boxed()
    }

    fn metrics(&self) -> Answer<'_, String> {
        self.answer(Ok("headwater_up 1\n".into()))
    }

    fn health(&self) -> Answer<'_, Health> {
        let status = if self.ready {
            HealthStatus::Ok
        } else {
            HealthStatus::Unavailable
        };
        self.answer(Ok(Health {
            status,
            checks: Vec::new(),
        }))
    }
}

pub struct Server {
    pub address: SocketAddr,
    pub fake: Arc<Fake>,
    pub stop: Option<oneshot::Sender<()>>,
    pub task: JoinHandle<std::io::Result<()>>,
}

impl Server {
    pub async fn start() -> Self {
        Self::with(HttpConfig::default()).await
    }

    pub async fn with(config: HttpConfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let fake = Arc::new(Fake {
            ready: true,
            ..Fake::default()
        });
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async move { drop(stopped.await) };
        let task = tokio::spawn(serve(listener, fake.clone(), config, shutdown));
        Self {
            address,
            fake,
            stop: Some(stop),
            task,
        }
    }

    pub fn calls(&self) -> usize {
        self.fake.calls.load(Ordering::SeqCst)
    }

    /// Change streams that the edge holds open.
    pub fn following(&self) -> usize {
        Arc::strong_count(&self.fake.following) - 1
    }
}
