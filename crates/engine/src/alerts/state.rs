//! Which conditions of an alert hold, by key, and what has been announced of it. Part of a pipeline's state: the same steps give
//! the same events.
//!
//! Over windowed rows the newest window of a key counts, and its closing resolves. While the pipeline catches up nothing is
//! announced; what still holds at the end of it is.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A row of the alert's view that came or went.
#[derive(Clone, Debug)]
pub struct ConditionChange {
    /// The alert's subject, as a JSON object of the key columns.
    pub key: Map<String, Value>,
    pub row: Map<String, Value>,
    /// End of the row's window in microseconds, when it is windowed.
    pub window_end: Option<i64>,
    pub adds: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertPhase {
    Firing,
    Resolved,
}

/// One transition of one key, as it is logged and sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlertEvent {
    pub alert: String,
    pub severity: String,
    pub state: AlertPhase,
    pub key: Map<String, Value>,
    pub row: Map<String, Value>,
    /// Clock of the step in which it happened, milliseconds.
    pub at_ms: i64,
    /// The same for every attempt to deliver this event.
    pub idempotency_key: String,
}

type RowId = (Option<i64>, String);

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct KeyState {
    /// Rows that hold: (window end, row) -> how often. Never 0.
    #[serde(with = "pairs")]
    rows: BTreeMap<RowId, i64>,
    announced: Option<Map<String, Value>>,
}

/// JSON has no keys but texts.
mod pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serializer};

    use super::RowId;

    pub fn serialize<S: Serializer>(rows: &BTreeMap<RowId, i64>, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(rows)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<BTreeMap<RowId, i64>, D::Error> {
        let pairs: Vec<(RowId, i64)> = Deserialize::deserialize(from)?;
        Ok(pairs.into_iter().collect())
    }
}

/// See the module's description.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct AlertState {
    keys: BTreeMap<String, KeyState>,
    /// Keys that changed since they were last looked at.
    dirty: BTreeSet<String>,
    /// Announced keys by the end of the newest window that holds.
    closing: BTreeSet<(i64, String)>,
    seq: u64,
}

/// What is the same for every event of an alert.
pub struct Announce<'a> {
    pub alert: &'a str,
    /// Id of the alert's topic: another one whenever the alert is created.
    pub topic: &'a str,
    pub step: u64,
    pub severity: &'a str,
    pub generation: u64,
    pub at_ms: i64,
    pub watermark_us: i64,
    pub catching_up: bool,
}

impl AlertState {
    /// Takes the changes of a step. Call [`AlertState::announce`] afterwards.
    pub fn apply(&mut self, changes: Vec<ConditionChange>) {
        for change in changes {
            let key = Value::Object(change.key).to_string();
            let id = (change.window_end, Value::Object(change.row).to_string());
            let state = self.keys.entry(key.clone()).or_default();
            let by = if change.adds { 1 } else { -1 };
            let count = state.rows.get(&id).copied().unwrap_or(0) + by;
            if count == 0 {
                state.rows.remove(&id);
            } else {
                state.rows.insert(id, count);
            }
            self.dirty.insert(key);
        }
    }

    /// The transitions that are due at the end of a step.
    pub fn announce(&mut self, about: &Announce<'_>) -> Vec<AlertEvent> {
        self.close(about.watermark_us);
        if about.catching_up {
            return Vec::new();
        }
        let mut events = Vec::new();
        for key in std::mem::take(&mut self.dirty) {
            events.extend(self.transition(&key, about));
        }
        events
    }

    /// Keys that fire, with the row that was announced.
    pub fn firing(&self) -> Vec<(Map<String, Value>, Map<String, Value>)> {
        let announced = self
            .keys
            .iter()
            .filter_map(|(key, state)| Some((object(key), state.announced.clone()?)));
        announced.collect()
    }

    /// Takes over what an earlier generation has announced, so that nothing is announced twice.
    pub fn adopt(&mut self, events: impl Iterator<Item = AlertEvent>) {
        for event in events {
            let key = Value::Object(event.key).to_string();
            let state = self.keys.entry(key.clone()).or_default();
            state.announced = (event.state == AlertPhase::Firing).then_some(event.row);
            self.dirty.insert(key);
        }
    }

    pub fn state_bytes(&self) -> usize {
        let rows: usize = self
            .keys
            .values()
            .flat_map(|state| &state.rows)
            .map(|((_, row), _)| row.len() + 48)
            .sum();
        rows + self.keys.keys().map(|key| key.len() + 64).sum::<usize>()
    }

    fn close(&mut self, watermark_us: i64) {
        while let Some((end, _)) = self.closing.first()
            && *end <= watermark_us
        {
            if let Some((_, key)) = self.closing.pop_first() {
                self.dirty.insert(key);
            }
        }
    }

    fn transition(&mut self, key: &str, about: &Announce<'_>) -> Option<AlertEvent> {
        let state = self.keys.get_mut(key)?;
        // Rows without a window sort before all that have one.
        let windowed = (Some(i64::MIN), String::new())..;
        let first = |rows: &BTreeMap<RowId, i64>| {
            let first = rows.range(windowed.clone()).next();
            first.map(|(id, _)| id.clone())
        };
        while let Some(closed) = first(&state.rows).filter(|id| id.0 <= Some(about.watermark_us)) {
            state.rows.remove(&closed);
        }
        let newest = state.rows.iter().rev().find(|(_, count)| **count > 0);
        let newest = newest.map(|(id, _)| id);
        let holds = newest.map(|(_, row)| object(row));
        if let Some((Some(end), _)) = newest {
            self.closing.insert((*end, key.to_owned()));
        }
        let (phase, row) = match (state.announced.take(), holds) {
            (None, Some(row)) => {
                state.announced = Some(row.clone());
                (AlertPhase::Firing, row)
            }
            (Some(row), None) => (AlertPhase::Resolved, row),
            (Some(_), Some(row)) => {
                state.announced = Some(row);
                return None;
            }
            (None, None) => {
                if state.rows.is_empty() {
                    self.keys.remove(key);
                }
                return None;
            }
        };
        if state.announced.is_none() && state.rows.is_empty() {
            self.keys.remove(key);
        }
        self.seq += 1;
        Some(AlertEvent {
            alert: about.alert.to_owned(),
            severity: about.severity.to_owned(),
            state: phase,
            key: object(key),
            row,
            at_ms: about.at_ms,
            idempotency_key: format!(
                "{}-{}-{}-{}-{}",
                about.alert, about.topic, about.generation, about.step, self.seq
            ),
        })
    }
}

fn object(text: &str) -> Map<String, Value> {
    serde_json::from_str(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn change(key: &str, n: i64, end: Option<i64>, adds: bool) -> ConditionChange {
        let object = |value: Value| value.as_object().unwrap().clone();
        ConditionChange {
            key: object(json!({"k": key})),
            row: object(json!({"k": key, "n": n})),
            window_end: end,
            adds,
        }
    }

    fn about(watermark_us: i64, catching_up: bool) -> Announce<'static> {
        Announce {
            alert: "a",
            topic: "t",
            step: 1,
            severity: "page",
            generation: 1,
            at_ms: 5,
            watermark_us,
            catching_up,
        }
    }

    fn phases(events: &[AlertEvent]) -> Vec<AlertPhase> {
        events.iter().map(|event| event.state).collect()
    }

    #[test]
    fn fires_once_and_resolves_once() {
        let mut state = AlertState::default();
        state.apply(vec![change("x", 1, None, true)]);
        assert_eq!(
            phases(&state.announce(&about(0, false))),
            [AlertPhase::Firing]
        );
        state.apply(vec![
            change("x", 1, None, false),
            change("x", 2, None, true),
        ]);
        assert!(state.announce(&about(0, false)).is_empty());
        assert_eq!(state.firing()[0].1["n"], json!(2));
        state.apply(vec![change("x", 2, None, false)]);
        assert_eq!(
            phases(&state.announce(&about(0, false))),
            [AlertPhase::Resolved]
        );
        assert!(state.firing().is_empty() && state.keys.is_empty());
    }

    #[test]
    fn the_newest_window_counts_and_its_closing_resolves() {
        let mut state = AlertState::default();
        state.apply(vec![change("x", 1, Some(10), true)]);
        assert_eq!(
            phases(&state.announce(&about(0, false))),
            [AlertPhase::Firing]
        );
        state.apply(vec![change("x", 4, Some(20), true)]);
        assert!(state.announce(&about(10, false)).is_empty());
        assert_eq!(
            phases(&state.announce(&about(20, false))),
            [AlertPhase::Resolved]
        );
        state.apply(vec![change("x", 9, Some(20), true)]);
        assert!(state.announce(&about(20, false)).is_empty());
    }

    #[test]
    fn says_nothing_while_catching_up_and_then_what_still_holds() {
        let mut state = AlertState::default();
        state.apply(vec![change("x", 1, None, true), change("y", 1, None, true)]);
        assert!(state.announce(&about(0, true)).is_empty());
        state.apply(vec![change("y", 1, None, false)]);
        assert!(state.announce(&about(0, true)).is_empty());
        let events = state.announce(&about(0, false));
        assert_eq!((events.len(), &events[0].key["k"]), (1, &json!("x")));
    }

    #[test]
    fn comes_back_from_json_as_it_was() {
        let mut state = AlertState::default();
        state.apply(vec![
            change("x", 1, Some(10), true),
            change("x", 1, Some(20), true),
            change("x", 2, None, true),
        ]);
        assert_eq!(state.announce(&about(10, false)).len(), 1);
        let text = serde_json::to_string(&state).unwrap();
        let mut again: AlertState = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&again).unwrap(), text);
        again.apply(vec![change("x", 1, Some(20), false)]);
        assert!(
            again.announce(&about(20, false)).is_empty(),
            "the row without a window holds"
        );
        again.apply(vec![change("x", 2, None, false)]);
        assert_eq!(
            phases(&again.announce(&about(20, false))),
            [AlertPhase::Resolved]
        );
    }

    #[test]
    fn adopts_what_was_announced_before() {
        let mut before = AlertState::default();
        before.apply(vec![change("x", 1, None, true), change("y", 1, None, true)]);
        let events = before.announce(&about(0, false));
        let mut after = AlertState::default();
        after.apply(vec![change("x", 1, None, true)]);
        after.adopt(events.into_iter());
        let events = after.announce(&about(0, false));
        assert_eq!(
            (phases(&events), &events[0].key["k"]),
            (vec![AlertPhase::Resolved], &json!("y"))
        );
    }
}
