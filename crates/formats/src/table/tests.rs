//! Versions and keys of tables, record by record.

#![allow(clippy::unwrap_used)]
use super::*;
use crate::format::Settings;
use crate::json::JsonEncoder;
use crate::record::{HeaderView, Metadata};

fn layout(fields: Vec<Field>, primary_key: &[usize]) -> TableLayout {
    TableLayout {
        records: Layout {
            topic: "t".to_owned(),
            from: vec![From::Value; fields.len()],
            schema: Arc::new(Schema::new(fields)),
            value: Settings::of("json"),
            key: Settings::of("json"),
        },
        primary_key: primary_key.to_vec(),
        any_key: true,
    }
}

fn record<'a>(key: Option<&'a str>, value: Option<&'a str>) -> RecordView<'a> {
    RecordView {
        key: key.map(str::as_bytes),
        value: value.map(str::as_bytes),
        ..RecordView::default()
    }
}

fn decoder(primary_key: &[usize], key_type: DataType) -> TableDecoder {
    let fields = vec![
        Field::new("v", DataType::Int64, false),
        Field::new("k", key_type, true),
        Field::new("j", DataType::Int64, true),
    ];
    TableDecoder::new(&layout(fields, primary_key)).unwrap()
}

fn shown(batch: &TableBatch) -> Vec<String> {
    let encoder = JsonEncoder::new(batch.rows.schema_ref());
    let bound = encoder.bind(&batch.rows).unwrap();
    let text = |row| {
        let mut out = Vec::new();
        bound.write_object(row, &mut out);
        format!(
            "{}{}",
            if batch.deleted[row] { "-" } else { "" },
            String::from_utf8(out).unwrap()
        )
    };
    (0..batch.deleted.len()).map(text).collect()
}

fn one(
    primary_key: &[usize],
    key_type: DataType,
    key: Option<&str>,
    value: Option<&str>,
) -> Result<String, String> {
    let mut decoder = decoder(primary_key, key_type);
    decoder.push(&record(key, value)).map_err(|e| e.message)?;
    Ok(shown(&decoder.finish().unwrap()).remove(0))
}

#[test]
fn keys_of_one_column() {
    let value = Some(r#"{"v":1,"k":"ignored","j":2}"#);
    for (key, found) in [
        ("N1", "N1"),
        ("\"N1\"", "N1"),
        ("12", "12"),
        (r#"{"k":"N1"}"#, "N1"),
        ("{odd", "{odd"),
        ("", ""),
    ] {
        assert_eq!(
            one(&[1], DataType::Utf8, Some(key), value).unwrap(),
            format!(r#"{{"v":1,"k":"{found}","j":2}}"#),
            "{key}"
        );
    }
    for key in ["7", "\"7\"", "{\"k\":7}"] {
        let found = one(&[1], DataType::Int64, Some(key), Some(r#"{"v":1}"#));
        assert_eq!(found.is_ok(), key != "\"7\"", "{key}");
    }
    assert_eq!(
        one(&[1], DataType::Date32, Some("2013-01-01"), None).unwrap(),
        r#"-{"v":null,"k":"2013-01-01","j":null}"#
    );
}

#[test]
fn keys_that_are_dead_letters() {
    let value = Some(r#"{"v":1,"k":"in the value","j":2}"#);
    let message = |key_type, key| one(&[1], key_type, Some(key), value).unwrap_err();
    assert_eq!(
        message(DataType::Int64, "x"),
        "record key: field k: expected BIGINT, found string \"x\" at byte 5"
    );
    assert!(message(DataType::Utf8, r#"{"other":1}"#).contains("field k: NULL or missing"));
    assert_eq!(
        one(&[1], DataType::Utf8, None, None).unwrap_err(),
        "a tombstone without a key"
    );
    assert!(
        one(&[1, 2], DataType::Utf8, Some("bare"), value)
            .unwrap_err()
            .contains("not a JSON object")
    );
}

#[test]
fn keys_of_two_columns_and_from_the_value() {
    let key = Some(r#"{"j":5,"k":"a"}"#);
    assert_eq!(
        one(&[2, 1], DataType::Utf8, key, Some(r#"{"v":1}"#)).unwrap(),
        r#"{"v":1,"k":"a","j":5}"#
    );
    assert_eq!(
        one(&[2, 1], DataType::Utf8, key, None).unwrap(),
        r#"-{"v":null,"k":"a","j":5}"#
    );
    let whole = Some(r#"{"v":1,"k":"a","j":5}"#);
    assert_eq!(
        one(&[2, 1], DataType::Utf8, None, whole).unwrap(),
        r#"{"v":1,"k":"a","j":5}"#
    );
}

#[test]
fn a_bad_value_takes_its_key_back() {
    let mut decoder = decoder(&[1], DataType::Utf8);
    decoder.push(&record(Some("a"), Some("{\"v\":1}"))).unwrap();
    assert!(
        decoder
            .push(&record(Some("b"), Some("{}")))
            .unwrap_err()
            .message
            .contains("field v: NULL or missing")
    );
    decoder.push(&record(Some("c"), None)).unwrap();
    decoder.push(&record(Some("d"), Some("{\"v\":4}"))).unwrap();
    let batch = decoder.finish().unwrap();
    let expected = [
        r#"{"v":1,"k":"a","j":null}"#,
        r#"-{"v":null,"k":"c","j":null}"#,
        r#"{"v":4,"k":"d","j":null}"#,
    ];
    assert_eq!(shown(&batch), expected);
}

/// CSV values, a key in two columns of CSV of which one is no part of the primary key, and metadata.
#[test]
fn formats_and_metadata() {
    let fields = vec![
        Field::new("name", DataType::Utf8, true),
        Field::new("region", DataType::Utf8, true),
        Field::new("id", DataType::Int64, true),
        Field::new("n", DataType::Int64, false),
        Field::new("at", DataType::Int64, true),
        Field::new("by", DataType::Utf8, false),
    ];
    let mut layout = layout(fields, &[2]);
    let header = |name: &str| From::Metadata(Metadata::Header(name.to_owned()));
    layout.records.from[1] = From::Key;
    layout.records.from[4] = From::Metadata(Metadata::Offset);
    layout.records.from[5] = header("by");
    layout.records.value = Settings::of("csv");
    layout.records.value.options = [("header".to_owned(), "true".to_owned())].into();
    layout.records.key = Settings::of("csv");
    layout.any_key = false;
    let mut decoder = TableDecoder::new(&layout).unwrap();
    assert!(decoder.wants_headers());
    let by = [HeaderView {
        key: b"by",
        value: Some(b"me"),
    }];
    let view = |offset, key, value, signed: bool| RecordView {
        offset,
        headers: if signed { &by } else { &[] },
        ..record(key, value)
    };
    let push = |decoder: &mut TableDecoder, view: RecordView<'_>| {
        decoder.push(&view).map_err(|e| e.message)
    };
    let decoder = &mut decoder;
    assert_eq!(
        push(decoder, view(0, Some("x,0"), Some("name,n"), true)),
        Ok(false)
    );
    assert_eq!(
        push(decoder, view(1, Some("eu,1"), Some("a,5"), true)),
        Ok(true)
    );
    // Nobody signs for what goes.
    assert_eq!(push(decoder, view(2, Some("us,2"), None, false)), Ok(true));
    for (key, value, signed, says) in [
        (Some("us,3"), "b,7", false, "column by is NOT NULL"),
        (
            Some("3"),
            "b,7",
            true,
            "record key: expected 2 fields, found 1",
        ),
        (Some("us,3"), "b", true, "expected 2 fields"),
        (None, "b,7", true, "the record has no key"),
    ] {
        let error = push(decoder, view(3, key, Some(value), signed)).unwrap_err();
        assert!(error.contains(says), "{error}");
    }
    assert_eq!(
        push(decoder, view(4, Some("us,4"), Some(",8"), true)),
        Ok(true)
    );
    let expected = [
        r#"{"name":"a","region":"eu","id":1,"n":5,"at":1,"by":"me"}"#,
        r#"-{"name":null,"region":"us","id":2,"n":null,"at":2,"by":null}"#,
        r#"{"name":null,"region":"us","id":4,"n":8,"at":4,"by":"me"}"#,
    ];
    assert_eq!(shown(&decoder.finish().unwrap()), expected);
}

#[test]
fn a_table_of_keys_alone() {
    let mut layout = layout(vec![Field::new("k", DataType::Binary, true)], &[0]);
    layout.records.value = Settings::of("raw");
    layout.records.key = Settings::of("raw");
    layout.any_key = false;
    let mut decoder = TableDecoder::new(&layout).unwrap();
    let key = RecordView {
        key: Some(&[0xff]),
        value: Some(&[0xfe]),
        ..RecordView::default()
    };
    assert_eq!(decoder.push(&key), Ok(true));
    assert_eq!(decoder.push(&RecordView { value: None, ..key }), Ok(true));
    let batch = decoder.finish().unwrap();
    assert_eq!(batch.deleted, [false, true]);
    assert_eq!(shown(&batch)[0], r#"{"k":"/w=="}"#);
}
