//! One task an alert: reads its durable transitions with its own cursor and hands them to the `Notifier`, in order per key.
//!
//! The cursor is a record of the topic `__headwater_cursors`, so a restart sends nothing again but, after a crash, what was on its way.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use headwater_base::{Offset, PartitionId};
use headwater_connect::{Step, StepLog, Visibility};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::log::read_from;
use super::notify::Notifier;
use super::state::{AlertEvent, AlertPhase};
use crate::pipeline::appends::Appends;

const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// How long an alert without news sleeps at most.
const NAP: Duration = Duration::from_secs(5);
/// Events that the console can look back on.
const HISTORY_MAX: usize = 200;

/// What people see of one alert.
#[derive(Clone, Debug, Default)]
pub struct AlertView {
    /// By key: the event that announced it.
    pub firing: BTreeMap<String, AlertEvent>,
    /// Oldest first.
    pub history: Vec<AlertEvent>,
    pub fired: u64,
    pub undelivered: i64,
    pub last_error: Option<String>,
}

/// Offset up to which the events of each alert have been delivered.
pub type Cursors = Arc<Mutex<BTreeMap<String, Offset>>>;

/// What an alert's task works with.
pub struct AlertTask {
    /// Names its cursor.
    pub key: String,
    pub log: Arc<dyn StepLog>,
    pub events: PartitionId,
    pub cursors: PartitionId,
    /// Targets with `${VAR}` expanded. Never shown.
    pub targets: Vec<String>,
    pub notifier: Option<Arc<dyn Notifier>>,
    pub view: Arc<Mutex<AlertView>>,
    pub now_ms: Arc<dyn Fn() -> i64 + Send + Sync>,
    /// All cursors; outlives the task, which is started anew whenever its pipeline is.
    pub delivered: Cursors,
}

impl AlertTask {
    /// Runs for as long as the task is not aborted.
    pub async fn run(self) {
        let wake = Arc::new(Notify::new());
        let _guard = self
            .log
            .register(&[self.events], Visibility::Durable, Arc::clone(&wake));
        let mut next = self.log.extent(self.events).0;
        loop {
            let (events, after, _) =
                match read_from(self.log.as_ref(), self.events, next, Visibility::Durable) {
                    Ok(read) => read,
                    Err(error) => {
                        self.view.lock().last_error = Some(error);
                        tokio::time::sleep(PAUSE_MAX).await;
                        continue;
                    }
                };
            for (offset, event) in events {
                self.see(&event, offset);
                if offset >= self.cursor() {
                    self.deliver(&event).await;
                    self.remember(offset + 1).await;
                }
            }
            if after > next {
                next = after;
            } else {
                let _ = tokio::time::timeout(NAP, wake.notified()).await;
            }
        }
    }

    fn see(&self, event: &AlertEvent, offset: Offset) {
        let mut view = self.view.lock();
        let key = serde_json::Value::Object(event.key.clone()).to_string();
        match event.state {
            AlertPhase::Firing => {
                view.fired += 1;
                view.firing.insert(key, event.clone());
            }
            AlertPhase::Resolved => {
                view.firing.remove(&key);
            }
        }
        view.history.push(event.clone());
        if view.history.len() > HISTORY_MAX {
            view.history.remove(0);
        }
        view.undelivered = if self.targets.is_empty() {
            0
        } else {
            (offset + 1 - self.cursor()).max(0)
        };
    }

    /// To every target, as often as it takes: events of a key must not overtake one another.
    async fn deliver(&self, event: &AlertEvent) {
        let Some(notifier) = &self.notifier else {
            return;
        };
        for target in &self.targets {
            let mut pause = PAUSE_MIN;
            while let Err(error) = notifier.notify(target, event).await {
                self.view.lock().last_error = Some(error.message);
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
        if !self.targets.is_empty() {
            self.view.lock().last_error = None;
        }
    }

    fn cursor(&self) -> Offset {
        self.delivered.lock().get(&self.key).copied().unwrap_or(0)
    }

    async fn remember(&self, delivered: Offset) {
        self.delivered.lock().insert(self.key.clone(), delivered);
        self.view.lock().undelivered = 0;
        let mut appends = Appends::new((self.now_ms)());
        appends.push(
            self.cursors,
            Some(self.key.as_bytes()),
            Some(delivered.to_string().as_bytes()),
        );
        let step = Step {
            appends: appends.finish(),
            trims: Vec::new(),
        };
        // A cursor that could not be written only means that the event may be sent again after a crash.
        if let Ok((_, durable)) = self.log.commit(step) {
            let _ = durable.await;
        }
    }
}

/// The newest cursor of each key.
pub fn read_cursors(log: &dyn StepLog, cursors: PartitionId) -> BTreeMap<String, Offset> {
    let mut found = BTreeMap::new();
    let mut next = 0;
    while let Ok(read) = log.read_committed(cursors, next, 1024 * 1024, Visibility::InFlight) {
        for record in read
            .batches
            .iter()
            .filter_map(|batch| headwater_record::records(batch).ok())
            .flatten()
            .flatten()
        {
            let text = |bytes: Option<bytes::Bytes>| String::from_utf8(bytes?.to_vec()).ok();
            if let (Some(key), Some(offset)) = (
                text(record.key),
                text(record.value).and_then(|v| v.parse().ok()),
            ) {
                found.insert(key, offset);
            }
        }
        if read.next <= next || read.next >= read.end {
            break;
        }
        next = read.next;
    }
    found
}

/// Writes the cursors anew and lets go of the older records.
pub fn compact_cursors(
    log: &dyn StepLog,
    cursors: PartitionId,
    found: &BTreeMap<String, Offset>,
    now_ms: i64,
) {
    let (start, end) = log.extent(cursors);
    if end - start < 1_000 + 2 * i64::try_from(found.len()).unwrap_or(i64::MAX / 4) {
        return;
    }
    let mut appends = Appends::new(now_ms);
    for (key, offset) in found {
        appends.push(
            cursors,
            Some(key.as_bytes()),
            Some(offset.to_string().as_bytes()),
        );
    }
    let _ = log.commit(Step {
        appends: appends.finish(),
        trims: vec![(cursors, end)],
    });
}
