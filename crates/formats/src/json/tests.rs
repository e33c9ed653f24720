//! The decoder against serde_json as the reference, on good, odd and broken texts; the encoder back through the decoder.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray};
use datafusion::arrow::datatypes::{
    DataType, Field, Float64Type, Int64Type, Schema, SchemaRef, TimeUnit,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{JsonDecoder, JsonEncoder};

fn schema(fields: Vec<Field>) -> SchemaRef {
    Arc::new(Schema::new(fields))
}

fn field(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, true)
}

fn timestamptz() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// Every type there is.
fn all_types() -> SchemaRef {
    let inner = vec![field("a", DataType::Int64), field("t", DataType::Utf8)];
    schema(vec![
        field("b", DataType::Boolean),
        field("s", DataType::Int16),
        field("i", DataType::Int32),
        field("l", DataType::Int64),
        field("r", DataType::Float32),
        field("d", DataType::Float64),
        field("n", DataType::Decimal128(38, 4)),
        field("t", DataType::Utf8),
        field("y", DataType::Binary),
        field("day", DataType::Date32),
        field("at", DataType::Timestamp(TimeUnit::Microsecond, None)),
        field("ts", timestamptz()),
        field("o", DataType::Struct(inner.into())),
        field(
            "x",
            DataType::List(Arc::new(field("item", DataType::Int64))),
        ),
    ])
}

fn error_of(schema: &SchemaRef, text: &str) -> String {
    JsonDecoder::new(schema.clone())
        .unwrap()
        .push(text.as_bytes())
        .unwrap_err()
        .message
}

#[test]
fn every_type_comes_back_as_it_went_in() {
    let rows = [
        r#"{"b":true,"s":-32768,"i":2147483647,"l":-9223372036854775808,"r":1.5,"d":-0.1,"n":-12345678901234567890123456789012.3456,"t":"a\"b\\\n\u00e9\ud83d\ude00","y":"AAEC","day":"2013-02-28","at":"2013-01-01T05:00:00.123456Z","ts":"2013-01-01T05:00:00Z","o":{"a":9007199254740993,"t":null},"x":[1,null,3]}"#,
        r#"{"b":null,"s":null,"i":null,"l":null,"r":null,"d":null,"n":null,"t":null,"y":null,"day":null,"at":null,"ts":null,"o":null,"x":null}"#,
        r#"{"b":false,"s":0,"i":0,"l":0,"r":"NaN","d":"-Infinity","n":0.0000,"t":"","y":"","day":"1970-01-01","at":"1969-12-31T23:59:59.999Z","ts":"0001-01-01T00:00:00Z","o":{"a":null,"t":"x"},"x":[]}"#,
    ];
    let mut decoder = JsonDecoder::new(all_types()).unwrap();
    let (batch, errors) = decoder
        .decode(rows.iter().map(|r| Some(r.as_bytes())))
        .unwrap();
    assert_eq!(errors, vec![]);
    let encoder = JsonEncoder::new(batch.schema_ref());
    let (bytes, ends) = encoder.encode(&batch).unwrap();
    let mut start = 0;
    for (row, end) in rows.iter().zip(ends) {
        let found: Value = serde_json::from_slice(&bytes[start..end]).unwrap();
        assert_eq!(found, serde_json::from_str::<Value>(row).unwrap());
        start = end;
    }
    let values = encoder.bind(&batch).unwrap().values(0);
    assert_eq!(values[3], json!(i64::MIN));
    assert_eq!(
        values[6].to_string(),
        "-12345678901234567890123456789012.3456"
    );
}

#[test]
fn messages_name_field_type_and_place() {
    let schema = schema(vec![
        field("amount", DataType::Float64),
        Field::new("id", DataType::Int64, false),
        field(
            "o",
            DataType::Struct(vec![field("a", DataType::Int16)].into()),
        ),
        field("price", DataType::Decimal128(5, 2)),
        field("ts", timestamptz()),
    ]);
    let cases = [
        (
            r#"{"id":1,"amount":"x"}"#,
            r#"field amount: expected DOUBLE, found string "x" at byte 17"#,
        ),
        (
            r#"{"id":1.5}"#,
            "field id: expected BIGINT, found number 1.5 at byte 6",
        ),
        (
            r#"{"id":9223372036854775808}"#,
            "field id: expected BIGINT, found number 9223372036854775808 at byte 6",
        ),
        (
            r#"{"id":null}"#,
            "field id: NULL or missing, but it is NOT NULL at byte 0",
        ),
        (
            r#"{}"#,
            "field id: NULL or missing, but it is NOT NULL at byte 0",
        ),
        (
            r#"{"id":1,"o":{"a":40000}}"#,
            "field o.a: expected SMALLINT, found number 40000 at byte 17",
        ),
        (
            r#"{"id":1,"o":[]}"#,
            "field o: expected an object, found an array at byte 12",
        ),
        (
            r#"{"id":1,"price":1000.00}"#,
            "field price: expected DECIMAL(5,2), found number 1000.00 at byte 16",
        ),
        (
            r#"{"id":1,"price":"1.001"}"#,
            r#"field price: expected DECIMAL(5,2), found string "1.001" at byte 16"#,
        ),
        (
            r#"{"id":1,"ts":"yesterday"}"#,
            r#"field ts: expected TIMESTAMPTZ (RFC 3339 text or epoch milliseconds), found string "yesterday" at byte 13"#,
        ),
        (
            r#"[1]"#,
            "expected a JSON object, found another JSON value at byte 0",
        ),
        (r#"{"id":1"#, "not JSON: unexpected end at byte 7"),
        (
            r#"{"id":1} x"#,
            "not JSON: something follows the object at byte 9",
        ),
        (
            r#"{"id":true,}"#,
            "not JSON: expected a field name at byte 11",
        ),
        ("", "not JSON: unexpected end at byte 0"),
    ];
    for (text, message) in cases {
        assert_eq!(error_of(&schema, text), message, "{text}");
    }
}

#[test]
fn a_bad_row_leaves_nothing_behind() {
    let mut decoder = JsonDecoder::new(all_types()).unwrap();
    let rows: [&[u8]; 5] = [
        br#"{"l":1,"t":"one","x":[1,2],"o":{"a":1,"t":"q"}}"#,
        br#"{"t":"lost","x":[1,2,"x"],"l":7}"#,
        br#"{"t":"lost","o":{"a":1,"t":"lost"},"l":7,"#,
        b"{\"t\":\"\xff\"}",
        br#"{"l":2,"t":"two","x":[3]}"#,
    ];
    let (batch, errors) = decoder
        .decode(rows.iter().map(|r| Some(*r)).chain([None]))
        .unwrap();
    assert_eq!(
        errors.iter().map(|(index, _)| *index).collect::<Vec<_>>(),
        [1, 2, 3, 5]
    );
    assert_eq!(errors[3].1.message, "null value");
    let shown: Vec<Value> = objects(&batch);
    assert_eq!(shown[0]["t"], "one");
    assert_eq!(shown[1]["t"], "two");
    assert_eq!(shown[1]["x"], json!([3]));
    assert_eq!(shown[1]["o"], Value::Null);
}

#[test]
fn duplicates_strangers_order_and_escaped_names() {
    let mut decoder = JsonDecoder::new(schema(vec![
        field("a", DataType::Int64),
        field("b", DataType::Utf8),
    ]))
    .unwrap();
    let rows = [
        r#"{"a":"wrong","b":"x","a":5}"#,
        r#"{"b":"y","extra":{"a":[1,{"a":2}]},"a":6}"#,
        r#"{"\u0061":7,"A":8}"#,
        r#" { "b" : "z" , "a" : 9 } "#,
        r#"{"a":1,"a":null}"#,
    ];
    let (batch, errors) = decoder
        .decode(rows.iter().map(|r| Some(r.as_bytes())))
        .unwrap();
    assert_eq!(errors, vec![]);
    let a = batch.column(0).as_primitive::<Int64Type>();
    assert_eq!(
        a.iter().collect::<Vec<_>>(),
        [Some(5), Some(6), Some(7), Some(9), None]
    );
    let b = batch.column(1).as_string::<i32>();
    assert_eq!(
        b.iter().collect::<Vec<_>>(),
        [Some("x"), Some("y"), None, Some("z"), None]
    );
    assert_eq!(
        error_of(decoder.schema(), r#"{"a":5,"a":"wrong"}"#),
        r#"field a: expected BIGINT, found string "wrong" at byte 11"#
    );
}

#[test]
fn numbers_as_timestamps_are_milliseconds() {
    let mut decoder = JsonDecoder::new(schema(vec![field("ts", timestamptz())])).unwrap();
    for text in [
        r#"{"ts":1357034400000}"#,
        r#"{"ts":1357034400000.5}"#,
        r#"{"ts":1.3570344e12}"#,
    ] {
        decoder.push(text.as_bytes()).unwrap();
    }
    let shown = objects(&decoder.finish().unwrap());
    let texts: Vec<&str> = shown.iter().map(|v| v["ts"].as_str().unwrap()).collect();
    assert_eq!(
        texts,
        [
            "2013-01-01T10:00:00Z",
            "2013-01-01T10:00:00.000500Z",
            "2013-01-01T10:00:00Z"
        ]
    );
}

#[test]
fn depth_is_bounded() {
    let mut decoder = JsonDecoder::new(schema(vec![field("a", DataType::Int64)])).unwrap();
    let deep = |n: usize| format!("{{\"x\":{}1{}}}", "[".repeat(n), "]".repeat(n));
    assert!(decoder.push(deep(90).as_bytes()).is_ok());
    assert!(
        decoder
            .push(deep(100_000).as_bytes())
            .unwrap_err()
            .message
            .contains("nested too deep")
    );
    assert!(decoder.push("[".repeat(1_000_000).as_bytes()).is_err());
}

fn objects(batch: &datafusion::arrow::record_batch::RecordBatch) -> Vec<Value> {
    let encoder = JsonEncoder::new(batch.schema_ref());
    let bound = encoder.bind(batch).unwrap();
    let object = |row| {
        let mut out = Vec::new();
        bound.write_object(row, &mut out);
        serde_json::from_slice(&out).unwrap()
    };
    (0..batch.num_rows()).map(object).collect()
}

/// Any JSON value, with the names that the schema has and others.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1000i64..1000).prop_map(Value::from),
        any::<f64>()
            .prop_filter("finite", |v| v.is_finite())
            .prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec(("[a-e]|.{0,3}", inner), 0..4)
                .prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

fn reference_schema() -> SchemaRef {
    let inner = vec![field("a", DataType::Int64), field("b", DataType::Utf8)];
    schema(vec![
        field("a", DataType::Int64),
        field("b", DataType::Utf8),
        field("c", DataType::Float64),
        field("d", DataType::List(Arc::new(field("item", DataType::Utf8)))),
        field("e", DataType::Struct(inner.into())),
    ])
}

/// What the schema above makes of a value, by serde_json's data model. `Err`: a dead letter.
fn expected(value: &Value) -> Result<Value, ()> {
    let object = value.as_object().ok_or(())?;
    let get = |name: &str| object.get(name).cloned().unwrap_or(Value::Null);
    let text = |v: Value| {
        if v.is_null() || v.is_string() {
            Ok(v)
        } else {
            Err(())
        }
    };
    let integer = |v: Value| match &v {
        Value::Null => Ok(v),
        Value::Number(n) => super::number::Number::scan(n.to_string().as_bytes())
            .unwrap()
            .0
            .to_i64()
            .map(Value::from)
            .ok_or(()),
        _ => Err(()),
    };
    let double = |v: Value| match &v {
        Value::Null => Ok(v),
        Value::Number(n) => n.as_f64().map(|v| Value::from(v + 0.0)).ok_or(()),
        Value::String(s) if ["NaN", "Infinity", "-Infinity"].contains(&s.as_str()) => Ok(v),
        _ => Err(()),
    };
    let list = |v: Value| match v {
        Value::Null => Ok(Value::Null),
        Value::Array(items) => items
            .into_iter()
            .map(text)
            .collect::<Result<Vec<_>, _>>()
            .map(Value::from),
        _ => Err(()),
    };
    let inner = |v: Value| match &v {
        Value::Null => Ok(v),
        Value::Object(o) => {
            let get = |name: &str| o.get(name).cloned().unwrap_or(Value::Null);
            Ok(json!({"a": integer(get("a"))?, "b": text(get("b"))?}))
        }
        _ => Err(()),
    };
    Ok(
        json!({"a": integer(get("a"))?, "b": text(get("b"))?, "c": double(get("c"))?, "d": list(get("d"))?, "e": inner(get("e"))?}),
    )
}

/// Compares the decoder with the reference over a text, good or not.
fn check(decoder: &mut JsonDecoder, text: &[u8]) -> Result<(), TestCaseError> {
    let found = decoder
        .push(text)
        .map(|()| objects(&decoder.finish().unwrap()).remove(0));
    let reference = serde_json::from_slice::<Value>(text)
        .map_err(|_| ())
        .and_then(|value| expected(&value));
    prop_assert_eq!(
        &found.clone().map_err(|_| ()),
        &reference,
        "{:?} for {}",
        found,
        String::from_utf8_lossy(text)
    );
    check_parts(text)
}

/// Whoever reads a part of the columns gets the same dead letters and the same values in what is read.
fn check_parts(text: &[u8]) -> Result<(), TestCaseError> {
    let mut whole = JsonDecoder::new(reference_schema()).unwrap();
    let whole = whole.push(text).map(|()| whole.finish().unwrap());
    let all = reference_schema();
    let only = |names: &[&str]| -> Vec<Field> {
        let named = |field: &&Arc<Field>| names.contains(&field.name().as_str());
        let part = |field: &Arc<Field>| match field.data_type() {
            DataType::Struct(inner) => {
                let first = DataType::Struct(inner.iter().take(1).cloned().collect());
                field.as_ref().clone().with_data_type(first)
            }
            _ => field.as_ref().clone(),
        };
        all.fields().iter().filter(named).map(part).collect()
    };
    for names in [&[][..], &["b"], &["a", "e"], &["c", "d"]] {
        let read = Schema::new(only(names));
        let mut part = JsonDecoder::reading(all.clone(), &read).unwrap();
        let part = part.push(text).map(|()| part.finish().unwrap());
        match (&whole, &part) {
            (Err(whole), Err(part)) => prop_assert_eq!(whole, part),
            (Ok(whole), Ok(part)) => {
                prop_assert_eq!(whole.num_rows(), part.num_rows());
                for (index, field) in all.fields().iter().enumerate() {
                    let (whole, part) = (whole.column(index), part.column(index));
                    match field.name().as_str() {
                        "e" if names.contains(&"e") => {
                            prop_assert_eq!(whole.as_struct().column(0), part.as_struct().column(0))
                        }
                        name if names.contains(&name) => prop_assert_eq!(whole, part),
                        _ => prop_assert_eq!(part.null_count(), part.len()),
                    }
                }
            }
            _ => prop_assert!(false, "{whole:?} {part:?} {names:?}"),
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn as_serde_json_reads_it(values in proptest::collection::vec(any_json(), 1..4), pretty in any::<bool>()) {
        let mut decoder = JsonDecoder::new(reference_schema()).unwrap();
        for value in values {
            let object = json!({"a": 1, "c": value, "e": {"b": "x", "z": value}, "b": value["b"], "d": value["d"]});
            for value in [value, object] {
                let text = if pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) };
                check(&mut decoder, &text.unwrap())?;
            }
        }
    }

    #[test]
    fn mutated_texts(value in any_json(), edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..4), 1..4)) {
        let mut decoder = JsonDecoder::new(reference_schema()).unwrap();
        let object = json!({"a": 12, "b": "t\u{e9}xt\n\u{1F600}", "c": -1.5e3, "d": ["p", null], "e": {"a": 3, "b": "q"}, "z": value});
        let mut text = serde_json::to_vec(&object).unwrap();
        for (at, byte, kind) in edits {
            let at = at.index(text.len());
            match kind {
                0 => text[at] = byte,
                1 => text.insert(at, byte),
                2 if text.len() > 1 => drop(text.remove(at)),
                _ => text[at] = b"{}[]\",:\\0159.eE+-tfn u"[usize::from(byte) % 22],
            }
        }
        check(&mut decoder, &text)?;
        let good = br#"{"a":1}"#;
        check(&mut decoder, good)?;
    }

    #[test]
    fn garbage_never_panics(text in proptest::collection::vec(any::<u8>(), 0..200), jsonish in "[\\{\\}\\[\\]\",:0-9.eE\\\\truefalsn u-]{0,80}") {
        let mut decoder = JsonDecoder::new(reference_schema()).unwrap();
        check(&mut decoder, &text)?;
        check(&mut decoder, jsonish.as_bytes())?;
    }

    #[test]
    fn doubles_come_back(value in any::<f64>()) {
        let mut decoder = JsonDecoder::new(schema(vec![field("d", DataType::Float64)])).unwrap();
        let mut text = b"{\"d\":".to_vec();
        super::write::double(value, &mut text);
        text.push(b'}');
        decoder.push(&text).unwrap();
        let found = decoder.finish().unwrap().column(0).as_primitive::<Float64Type>().value(0);
        prop_assert!(found.to_bits() == (value + 0.0).to_bits() || (found.is_nan() && value.is_nan()));
    }
}

#[test]
fn empty_decoder_gives_an_empty_batch() {
    let batch = JsonDecoder::new(all_types()).unwrap().finish().unwrap();
    assert_eq!((batch.num_rows(), batch.num_columns()), (0, 14));
    assert!(batch.column(0).is_empty());
}

#[test]
fn unknown_fields_can_be_refused() {
    let place = DataType::Struct(vec![Field::new("zip", DataType::Int64, true)].into());
    let fields = vec![
        Field::new("a", DataType::Int64, true),
        Field::new("place", place.clone(), true),
        Field::new(
            "places",
            DataType::List(Arc::new(Field::new("item", place, true))),
            true,
        ),
    ];
    let schema = Arc::new(Schema::new(fields));
    let none = Schema::empty();
    for read in [schema.as_ref(), &none] {
        let mut decoder = JsonDecoder::reading(Arc::clone(&schema), read).unwrap();
        decoder.refuse_unknown(&["id".to_owned()]);
        let mut push = |text: &str| decoder.push(text.as_bytes()).map_err(|e| e.message);
        let refused = |field: &str| {
            Some(format!(
                "field {field}: it is no column, and unknown fields are refused"
            ))
        };
        for (text, field) in [
            (
                r#"{"a": 1, "place": {"zip": 1}, "places": [{"zip": 2}], "id": 7}"#,
                None,
            ),
            (r#"{"a": 1, "b": {"c": [1]}}"#, refused("b")),
            (r#"{ "b" : 1}"#, refused("b")),
            (
                r#"{"place": {"zip": 1, "city": "x"}}"#,
                refused("place.city"),
            ),
            (r#"{"places": [{"zap": 1}]}"#, refused("places.zap")),
            (r#"{"place": {"id": 1}}"#, refused("place.id")),
            (
                r#"{"a": "x", "b": 1}"#,
                Some("field a: expected BIGINT".to_owned()),
            ),
            (r#"{"a": 3}"#, None),
        ] {
            match (push(text), field) {
                (Ok(()), None) => {}
                (Err(found), Some(says)) => assert!(found.starts_with(&says), "{text}: {found}"),
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
        assert_eq!(decoder.rows(), 2);
    }
}
