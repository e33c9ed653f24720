//! Invented views, alerts and dead letters.

use futures::FutureExt;
use headwater_edge_http::dto::{
    AlertEvent, AlertEventKind, AlertInfo, Alerts, DeadLetter, DeadLetterCount, DeadLetters,
    Pipeline, RowsQuery, View, ViewKind, ViewRows,
};
use headwater_edge_http::payload::Payload;
use headwater_edge_http::{Answer, ApiError, ChangeStream, Flows};

use crate::table::{self, NAME};
use crate::world::World;

impl World {
    fn views_now(&self) -> Vec<View> {
        let view = |name: &str, kind, rows: u64, rate: f64| View {
            name: name.into(),
            kind,
            pipeline: "flights".into(),
            query: table::QUERY.into(),
            columns: table::columns(),
            append_only: name == "delayed_flights",
            emit_on_close: name == "daily_final",
            rows,
            bytes: rows * 180,
            retention_ms: (name == "delayed_flights").then_some(7 * 86_400_000),
            watermark_ms: Some(self.watermark_ms()),
            changes_total: if rate > 0.0 {
                self.total(rate, rows as f64)
            } else {
                rows
            },
            ..View::default()
        };
        vec![
            view(NAME, ViewKind::View, self.table.len(), 8.0),
            view(
                "delayed_flights",
                ViewKind::View,
                self.total(1_320.0, 0.0),
                1_320.0,
            ),
            view("rolling_by_carrier", ViewKind::View, 18_211, 2_100.0),
            view(
                "flights_enriched",
                ViewKind::View,
                self.total(13_900.0, 0.0),
                14_200.0,
            ),
            view("daily_final", ViewKind::View, 0, 0.0),
            view("planes", ViewKind::Table, 3_322, 0.0),
            view("airport_delays", ViewKind::Alert, 2, 14.0),
        ]
    }

    fn known(&self, view: &str) -> Result<(), ApiError> {
        match self.views_now().iter().any(|known| known.name == view) {
            true => Ok(()),
            false => Err(ApiError::not_found(format!("there is no view '{view}'"))),
        }
    }

    fn rows_of(&self, view: &str, query: &RowsQuery) -> Result<ViewRows, ApiError> {
        self.known(view)?;
        if view == "daily_final" {
            return Ok(ViewRows {
                columns: table::columns(),
                ..ViewRows::default()
            });
        }
        Ok(self.table.rows(query))
    }

    fn alerts_now(&self) -> Alerts {
        let firing = self.firing();
        let event = |n: i64| AlertEvent {
            at_ms: self.now_ms() - n * 97_000 - 64_000,
            kind: if n % 2 == 0 {
                AlertEventKind::Fired
            } else {
                AlertEventKind::Resolved
            },
            alert: "airport_delays".into(),
            severity: "page".into(),
            key: ["EWR", "LGA", "JFK"][(n / 2 % 3) as usize].into(),
            row: firing[0].row.clone(),
        };
        let info = AlertInfo {
            name: "airport_delays".into(),
            pipeline: "flights".into(),
            severity: "page".into(),
            query:
                "SELECT origin, departures, avg_delay FROM hourly_by_airport WHERE avg_delay > 30"
                    .into(),
            notify: vec!["webhook:${ALERT_URL}".into()],
            firing: 2,
            fired_total: 31,
            pending: 0,
            error: None,
        };
        Alerts {
            alerts: vec![info],
            history: (0..14).map(event).collect(),
            firing,
        }
    }

    fn dead_now(&self, limit: usize) -> DeadLetters {
        let reasons = [
            (
                "column dep_delay: expected BIGINT, found text \"NA\"",
                r#"{"carrier":"UA","dep_delay":"NA"}"#,
            ),
            (
                "value is not JSON: expected value at line 1 column 1",
                "<script>window.__xss=1</script>",
            ),
            ("null value", ""),
        ];
        let letter = |n: usize| {
            let (reason, value) = reasons[n % 3];
            DeadLetter {
                at_ms: self.now_ms() - 4_000 - n as i64 * 41_000,
                pipeline: "flights".into(),
                source: "flights".into(),
                topic: "flights".into(),
                partition: n as i32 % 6,
                offset: 91_000 - n as i64 * 311,
                reason: reason.into(),
                key: Some(Payload::decode(b"UA")),
                value: (n % 3 != 2).then(|| Payload::decode(value.as_bytes())),
            }
        };
        let count = |source: &str, total| DeadLetterCount {
            pipeline: "flights".into(),
            source: source.into(),
            total,
        };
        DeadLetters {
            total: 37,
            counts: vec![count("flights", 35), count("weather", 2)],
            newest: (0..limit.min(37)).map(letter).collect(),
        }
    }
}

impl Flows for World {
    fn pipelines(&self) -> Answer<'_, Vec<Pipeline>> {
        async { Ok(self.pipelines_now()) }.boxed()
    }

    fn views(&self) -> Answer<'_, Vec<View>> {
        async { Ok(self.views_now()) }.boxed()
    }

    fn view_rows(&self, view: String, query: RowsQuery) -> Answer<'_, ViewRows> {
        async move { self.rows_of(&view, &query) }.boxed()
    }

    fn view_changes(&self, view: String) -> Answer<'_, ChangeStream> {
        async move { self.known(&view).map(|()| self.table.changes()) }.boxed()
    }

    fn alerts(&self) -> Answer<'_, Alerts> {
        async { Ok(self.alerts_now()) }.boxed()
    }

    fn dead_letters(&self, limit: usize) -> Answer<'_, DeadLetters> {
        async move { Ok(self.dead_now(limit)) }.boxed()
    }
}
