//! What is written is read back: every format, every type, and what cannot be written.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BinaryArray, Decimal128Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::Field;

use super::*;
use crate::format::Decoder;
use crate::record::{From, HeaderView, Layout, Metadata, RecordDecoder, RecordView};

fn batch() -> RecordBatch {
    let times = TimestampMicrosecondArray::from(vec![Some(1_767_261_600_123_456), None, Some(-1)]);
    let amounts = Decimal128Array::from(vec![Some(1250), Some(-5), None]);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from(vec![1, 2, 3]))),
        (
            "name",
            Arc::new(StringArray::from(vec![Some("a;\"b\""), None, Some("")])),
        ),
        ("at", Arc::new(times.with_timezone("UTC"))),
        (
            "amount",
            Arc::new(amounts.with_precision_and_scale(10, 2).unwrap()),
        ),
        (
            "blob",
            Arc::new(BinaryArray::from_opt_vec(vec![
                Some(&[0xff, 0]),
                None,
                Some(b"x"),
            ])),
        ),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, a)| (n, a, true)))
        .unwrap()
}

fn settings(format: &str, options: &[(&str, &str)]) -> Settings {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Settings {
        format: format.to_owned(),
        options: options.iter().map(own).collect::<BTreeMap<_, _>>(),
        declared: Vec::new(),
    }
}

fn part(format: &str, options: &[(&str, &str)], columns: &[usize]) -> Part {
    Part {
        columns: columns.to_vec(),
        settings: settings(format, options),
    }
}

fn outline(value: Part) -> Outline {
    Outline {
        value,
        key: None,
        always_keyed: false,
        headers: Vec::new(),
        timestamp: None,
    }
}

fn values(value: Part) -> Vec<Option<String>> {
    let batch = batch();
    let encoder = RecordEncoder::new(batch.schema_ref(), &outline(value)).unwrap();
    let rows = encoder.bind(&batch).unwrap();
    let one = |row| {
        let mut out = Vec::new();
        rows.value(row, &mut out)
            .then(|| String::from_utf8_lossy(&out).into_owned())
    };
    (0..batch.num_rows()).map(one).collect()
}

fn some(texts: [&str; 3]) -> Vec<Option<String>> {
    texts.map(|text| Some(text.to_owned())).to_vec()
}

#[test]
fn csv_quotes_what_would_not_read_back() {
    assert_eq!(
        values(part("csv", &[("delimiter", ";")], &[1, 0, 3])),
        some(["\"a;\"\"b\"\"\";1;12.50", ";2;-0.05", "\"\";3;"])
    );
    assert_eq!(
        values(part("csv", &[("null", "2"), ("quote", "'")], &[0, 1])),
        some(["1,a;\"b\"", "'2',2", "3,"])
    );
    assert_eq!(
        values(part("csv", &[("delimiter", "tab")], &[0, 2])),
        some([
            "1\t2026-01-01T10:00:00.123456Z",
            "2\t",
            "3\t1969-12-31T23:59:59.999999Z"
        ])
    );
}

#[test]
fn json_has_the_forms_that_were_asked_for() {
    let columns = &[2, 3];
    let row = |text: &[(&str, &str)]| values(part("json", text, columns))[0].clone().unwrap();
    assert_eq!(
        row(&[]),
        r#"{"at":"2026-01-01T10:00:00.123456Z","amount":12.50}"#
    );
    assert_eq!(
        row(&[("timestamp", "epoch_ms"), ("decimal", "text")]),
        r#"{"at":1767261600123,"amount":"12.50"}"#
    );
    assert_eq!(
        values(part(
            "json",
            &[("timestamp", "epoch_ms"), ("decimal", "text")],
            columns
        ))[2],
        Some(r#"{"at":-1,"amount":null}"#.to_owned())
    );
}

#[test]
fn one_bare_value_and_no_bytes_for_null() {
    let name = |text: &str| Some(text.to_owned());
    let expected = vec![name("a;\"b\""), None, name("")];
    assert_eq!(values(part("text", &[], &[1])), expected);
    assert_eq!(values(part("raw", &[], &[1])), expected);
    assert_eq!(values(part("text", &[], &[0])), some(["1", "2", "3"]));
    let batch = batch();
    let encoder = RecordEncoder::new(batch.schema_ref(), &outline(part("raw", &[], &[4]))).unwrap();
    let mut out = Vec::new();
    assert!(encoder.bind(&batch).unwrap().value(0, &mut out));
    assert_eq!(out, [0xff, 0]);
}

#[test]
fn what_a_format_cannot_hold_is_refused() {
    let refused = |value| {
        let error = RecordEncoder::new(batch().schema_ref(), &outline(value)).err();
        error.map(|e| e.to_string()).unwrap_or_default()
    };
    assert!(refused(part("csv", &[], &[0, 4])).contains("column blob: type BYTEA"));
    assert!(refused(part("text", &[], &[4])).contains("column blob: type BYTEA"));
    assert!(refused(part("raw", &[], &[0])).contains("column id: type BIGINT"));
    assert!(refused(part("text", &[], &[0, 1])).contains("2 are declared"));
}

/// What is written reads back as the same rows.
#[test]
fn records_come_back() {
    let batch = batch();
    let outline = Outline {
        value: part("csv", &[], &[1, 3]),
        key: Some(part("text", &[], &[0])),
        always_keyed: true,
        headers: vec![("X-Blob".to_owned(), 4), ("n".to_owned(), 1)],
        timestamp: Some(2),
    };
    let encoder = RecordEncoder::new(batch.schema_ref(), &outline).unwrap();
    let rows = encoder.bind(&batch).unwrap();
    let field =
        |index: usize, name: &str| Field::new(name, batch.column(index).data_type().clone(), true);
    let schema = Schema::new(vec![
        field(0, "id"),
        field(1, "name"),
        field(3, "amount"),
        field(4, "blob"),
    ]);
    let mut decoder = RecordDecoder::new(&Layout {
        topic: "t".to_owned(),
        schema: Arc::new(schema),
        from: vec![
            From::Key,
            From::Value,
            From::Value,
            From::Metadata(Metadata::Header("X-Blob".to_owned())),
        ],
        value: settings("csv", &[]),
        key: settings("text", &[]),
    })
    .unwrap();
    for row in 0..batch.num_rows() {
        let (mut key, mut value) = (Vec::new(), Vec::new());
        assert!(rows.key(row, &mut key) && rows.value(row, &mut value));
        let written = rows.headers(row);
        let headers: Vec<HeaderView<'_>> = written
            .iter()
            .map(|(name, value)| HeaderView {
                key: name.as_bytes(),
                value: Some(value),
            })
            .collect();
        decoder
            .push_record(&RecordView {
                key: Some(&key),
                value: Some(&value),
                headers: &headers,
                ..RecordView::default()
            })
            .unwrap();
    }
    let read = decoder.finish().unwrap();
    for (read, written) in read.columns().iter().zip([0, 1, 3, 4]) {
        assert_eq!(read, batch.column(written));
    }
    assert_eq!(rows.headers(1), []);
    // No time, and one before 1970, which records cannot have.
    let times = [0, 1, 2].map(|row| rows.timestamp_ms(row));
    assert_eq!(times, [Some(1_767_261_600_123), None, None]);
}

#[test]
fn a_row_that_changes_always_has_a_key() {
    let batch = batch();
    let key = |always_keyed| {
        let outline = Outline {
            key: Some(part("text", &[], &[1])),
            always_keyed,
            ..outline(part("json", &[], &[0]))
        };
        let encoder = RecordEncoder::new(batch.schema_ref(), &outline).unwrap();
        let mut out = Vec::new();
        let keyed = encoder.bind(&batch).unwrap().key(1, &mut out);
        (keyed, String::from_utf8(out).unwrap())
    };
    assert_eq!(key(false), (false, String::new()));
    assert_eq!(key(true), (true, r#"{"name":null}"#.to_owned()));
}
