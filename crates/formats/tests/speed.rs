//! Figures of decoding and encoding, printed: `cargo test --release -p headwater-formats --test speed -- --nocapture`.
//! Asserts only what a machine under load still reaches, so that a blunder in the hot path shows.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Instant;

use datafusion::arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use headwater_formats::{JsonDecoder, JsonEncoder};

const ROWS: usize = 200_000;

fn flight_schema() -> Arc<Schema> {
    let timestamp = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let names = [
        "year",
        "month",
        "day",
        "dep_time",
        "sched_dep_time",
        "dep_delay",
        "arr_time",
        "sched_arr_time",
        "arr_delay",
    ];
    let mut fields: Vec<Field> = names
        .iter()
        .map(|name| Field::new(*name, DataType::Int64, true))
        .collect();
    fields.extend(
        ["carrier", "tailnum", "origin", "dest"]
            .iter()
            .map(|name| Field::new(*name, DataType::Utf8, true)),
    );
    fields.extend(
        ["flight", "air_time", "distance", "hour"]
            .iter()
            .map(|name| Field::new(*name, DataType::Int64, true)),
    );
    fields.push(Field::new("minute", DataType::Float64, true));
    fields.push(Field::new("time_hour", timestamp, true));
    Arc::new(Schema::new(fields))
}

fn flight(i: usize) -> String {
    format!(
        r#"{{"year":2013,"month":{},"day":{},"dep_time":{},"sched_dep_time":515,"dep_delay":{},"arr_time":830,"sched_arr_time":819,"arr_delay":11,"carrier":"UA","tailnum":"N{}","origin":"EWR","dest":"IAH","flight":{},"air_time":227,"distance":1400,"hour":5,"minute":15.5,"time_hour":"2013-01-01T{:02}:00:00Z"}}"#,
        i % 12 + 1,
        i % 28 + 1,
        i % 2400,
        i as i64 % 300 - 20,
        i % 4000,
        i % 9000,
        i % 24
    )
}

#[test]
fn flights() {
    let rows: Vec<String> = (0..ROWS).map(flight).collect();
    let bytes: usize = rows.iter().map(String::len).sum();
    let mut decoder = JsonDecoder::new(flight_schema()).unwrap();
    let mut best_decode = f64::MAX;
    let mut best_encode = f64::MAX;
    for _ in 0..3 {
        let start = Instant::now();
        let mut batches = Vec::new();
        for part in rows.chunks(8192) {
            let (batch, errors) = decoder
                .decode(part.iter().map(|row| Some(row.as_bytes())))
                .unwrap();
            assert!(errors.is_empty());
            batches.push(batch);
        }
        best_decode = best_decode.min(start.elapsed().as_secs_f64());
        let start = Instant::now();
        let encoder = JsonEncoder::new(batches[0].schema_ref());
        let written: usize = batches
            .iter()
            .map(|batch| encoder.encode(batch).unwrap().0.len())
            .sum();
        best_encode = best_encode.min(start.elapsed().as_secs_f64());
        assert!(written > bytes / 2);
    }
    let decoded = ROWS as f64 / best_decode;
    let encoded = ROWS as f64 / best_encode;
    println!(
        "{} bytes a row: decoded {decoded:.0} rows/s, encoded {encoded:.0} rows/s",
        bytes / ROWS
    );
    assert!(decoded > 100_000.0 && encoded > 100_000.0);
}
