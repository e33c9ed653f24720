//! Alerts are delivered once, whatever restarts their pipeline, and from the first event on when they are made anew.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use headwater_engine::testing::MemoryStepLog;
use headwater_engine::{AlertEvent, Engine, Notifier, NotifyError};
use parking_lot::Mutex;
use serde_json::json;

use crate::harness::{config, produce};

#[derive(Default)]
struct Receiver {
    keys: Mutex<Vec<String>>,
}

impl Notifier for Receiver {
    fn notify<'a>(
        &'a self,
        _target: &'a str,
        event: &'a AlertEvent,
    ) -> Pin<Box<dyn Future<Output = Result<(), NotifyError>> + Send + 'a>> {
        self.keys.lock().push(event.idempotency_key.clone());
        Box::pin(async { Ok(()) })
    }
}

impl Receiver {
    async fn has(&self, count: usize) {
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        while self.keys.lock().len() < count {
            assert!(std::time::Instant::now() < deadline, "{:?}", self.keys);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_event_is_delivered_once() {
    let receiver = Arc::new(Receiver::default());
    let dir = tempfile::tempdir().unwrap();
    let log = MemoryStepLog::new();
    let notifier: Arc<dyn Notifier> = receiver.clone();
    let engine = Engine::start(config(dir.path()), log.clone(), None, notifier)
        .await
        .unwrap();
    let text = "CREATE SOURCE s (k TEXT, v BIGINT) WITH (topic = 's', format = 'json');
        CREATE ALERT high AS SELECT k, v FROM s WHERE v > 5 WITH (key = 'k', notify = 'webhook:http://127.0.0.1:1/x');";
    let apply = async |more: &str| {
        let files = vec![("all.sql".to_owned(), format!("{text}{more}"))];
        engine.apply("p", files, true).await.unwrap();
    };
    let record = |k: &str| {
        let value = json!({"k": k, "v": 9}).to_string();
        ("s".to_owned(), 0, None, Some(value))
    };
    apply("").await;
    engine.execute("SELECT * FROM high", None).await.unwrap();
    for k in ["a", "b", "c"] {
        produce(&log, &[record(k)]).await;
    }
    receiver.has(3).await;
    // Starts the pipeline, and the alert's task, anew.
    apply("CREATE MATERIALIZED VIEW more AS SELECT k FROM s;").await;
    engine.execute("SELECT * FROM more", None).await.unwrap();
    produce(&log, &[record("d")]).await;
    receiver.has(4).await;
    engine.execute("DROP ALERT high", None).await.unwrap();
    apply("").await;
    // What holds when it is made is told.
    receiver.has(8).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut keys = receiver.keys.lock().clone();
    assert_eq!(keys.len(), 8, "{keys:?}");
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 8, "no receiver may take one for another");
    engine.stop().await;
}
