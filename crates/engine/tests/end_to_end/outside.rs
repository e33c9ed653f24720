//! A sink outside the log: away for a while, restarted, it ends up with the view's rows.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use headwater_connect::{ChangeKind, Sink, SinkBatch, SinkError, SinkPosition};
use headwater_engine::{SinkFactory, SinkRequest};
use parking_lot::Mutex;
use serde_json::Value;

use crate::harness::{Node, config, inputs, produce, sorted};

/// A database that refuses its first writes.
#[derive(Default)]
struct Database {
    refusals: usize,
    position: Option<SinkPosition>,
    rows: BTreeMap<String, Vec<Value>>,
}

struct Client {
    database: Arc<Mutex<Database>>,
    key: Vec<usize>,
}

type Done<'a, T> = Pin<Box<dyn Future<Output = Result<T, SinkError>> + Send + 'a>>;

impl Sink for Client {
    fn open(&mut self) -> Done<'_, Option<SinkPosition>> {
        Box::pin(async { Ok(self.database.lock().position) })
    }

    fn write(&mut self, batch: SinkBatch) -> Done<'_, ()> {
        Box::pin(async move {
            let mut database = self.database.lock();
            if database.refusals > 0 {
                database.refusals -= 1;
                return Err(SinkError::Unavailable("away".to_owned()));
            }
            if batch.snapshot {
                database.rows.clear();
            }
            for change in batch.changes {
                let key = Value::Array(
                    self.key
                        .iter()
                        .map(|column| change.values[*column].clone())
                        .collect(),
                )
                .to_string();
                match change.kind {
                    ChangeKind::Upsert => database.rows.insert(key, change.values),
                    ChangeKind::Delete => database.rows.remove(&key),
                };
            }
            database.position = Some(batch.after);
            Ok(())
        })
    }
}

fn factory(database: &Arc<Mutex<Database>>) -> SinkFactory {
    let database = Arc::clone(database);
    Arc::new(move |request: &SinkRequest| {
        let key = request.key.clone().ok_or("a key is needed")?;
        Ok(Box::new(Client {
            database: Arc::clone(&database),
            key,
        }) as Box<dyn Sink>)
    })
}

async fn settled(node: &Node, database: &Mutex<Database>) {
    let rows = node.rows("SELECT * FROM by_country").await;
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while sorted(database.lock().rows.values().cloned().collect()) != rows {
        assert!(
            std::time::Instant::now() < deadline,
            "{:?} is not {rows:?}",
            database.lock().rows
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_that_was_away_catches_up_and_goes_on_after_a_restart() {
    let database = Arc::new(Mutex::new(Database {
        refusals: 2,
        ..Database::default()
    }));
    let dir = tempfile::tempdir().unwrap();
    let configured = config(dir.path());
    let log = headwater_engine::testing::MemoryStepLog::new();
    let mut node = Node::on(log, dir, configured, Some(factory(&database))).await;
    node.apply().await;
    node.sql(
        "CREATE SINK out INTO postgres FROM by_country WITH (url = 'postgres://x', table = 't')",
    )
    .await;
    let all = inputs(150, 11);
    produce(&node.log, &all[..80]).await;
    settled(&node, &database).await;
    node.engine.stop().await;
    let configured = config(node.dir.path());
    node = Node::on(
        node.log.clone(),
        node.dir,
        configured,
        Some(factory(&database)),
    )
    .await;
    database.lock().refusals = 1;
    produce(&node.log, &all[80..]).await;
    settled(&node, &database).await;
    let status = node.engine.status();
    assert!(
        status
            .sinks
            .iter()
            .any(|sink| sink.name == "out" && sink.written > 0)
    );
    node.engine.stop().await;
}

/// Each has a changelog of its own, with offsets of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sinks_of_one_view_do_not_mix_up_their_positions() {
    let databases = [
        Arc::new(Mutex::new(Database::default())),
        Arc::new(Mutex::new(Database::default())),
    ];
    let [first, second] = databases.clone().map(|database| factory(&database));
    let both: SinkFactory = Arc::new(move |request: &SinkRequest| {
        if request.def.name == "first" {
            first(request)
        } else {
            second(request)
        }
    });
    let dir = tempfile::tempdir().unwrap();
    let configured = config(dir.path());
    let log = headwater_engine::testing::MemoryStepLog::new();
    let node = Node::on(log, dir, configured, Some(both)).await;
    let sink = |name: &str| {
        format!(
            "CREATE SINK {name} INTO postgres FROM by_country WITH (url = 'postgres://x', table = 't');"
        )
    };
    let apply = async |more: &str| {
        let files = vec![(
            "all.sql".to_owned(),
            format!("{}{more}", crate::harness::PIPELINE),
        )];
        node.engine.apply("shop", files, false).await.unwrap();
    };
    let all = inputs(300, 13);
    apply(&sink("first")).await;
    for piece in all[..150].chunks(10) {
        produce(&node.log, piece).await;
        node.rows("SELECT * FROM by_country").await;
    }
    settled(&node, &databases[0]).await;
    apply(&format!("{}{}", sink("first"), sink("second"))).await;
    settled(&node, &databases[1]).await;
    for piece in all[150..].chunks(50) {
        produce(&node.log, piece).await;
        settled(&node, &databases[0]).await;
        settled(&node, &databases[1]).await;
    }
    node.engine.stop().await;
}
