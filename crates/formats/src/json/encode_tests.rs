//! What comes out for types that only expressions make, for keys as text, and for slices.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, Decimal128Array, DictionaryArray, DurationMicrosecondArray, Float32Array, Int8Array,
    Int64Array, LargeStringArray, NullArray, StringArray, StringViewArray, Time64MicrosecondArray,
    TimestampMicrosecondArray, TimestampMillisecondArray, UInt64Array,
};
use datafusion::arrow::datatypes::Int32Type;
use datafusion::arrow::record_batch::RecordBatch;

use super::JsonEncoder;

fn encoded(array: ArrayRef) -> String {
    let batch = RecordBatch::try_from_iter_with_nullable([("v", array, true)]).unwrap();
    let (bytes, _) = JsonEncoder::new(batch.schema_ref()).encode(&batch).unwrap();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn types_of_expressions() {
    let decimal = |value, scale| {
        Arc::new(
            Decimal128Array::from(vec![value])
                .with_precision_and_scale(38, scale)
                .unwrap(),
        )
    };
    let dictionary: DictionaryArray<Int32Type> = ["a"].into_iter().collect();
    let cases: Vec<(ArrayRef, &str)> = vec![
        (
            Arc::new(UInt64Array::from(vec![u64::MAX])),
            "18446744073709551615",
        ),
        (Arc::new(Int8Array::from(vec![-5])), "-5"),
        (Arc::new(Float32Array::from(vec![0.1])), "0.1"),
        (Arc::new(Float32Array::from(vec![f32::NAN])), "\"NaN\""),
        (
            Arc::new(TimestampMillisecondArray::from(vec![1500])),
            "\"1970-01-01T00:00:01.500Z\"",
        ),
        (
            Arc::new(TimestampMicrosecondArray::from(vec![-1])),
            "\"1969-12-31T23:59:59.999999Z\"",
        ),
        (
            Arc::new(Time64MicrosecondArray::from(vec![3_600_000_000])),
            "\"01:00:00\"",
        ),
        (
            Arc::new(LargeStringArray::from(vec!["\u{7}\""])),
            "\"\\u0007\\\"\"",
        ),
        (Arc::new(StringViewArray::from(vec!["view"])), "\"view\""),
        (Arc::new(dictionary), "\"a\""),
        (Arc::new(NullArray::new(1)), "null"),
        (decimal(-5, 2), "-0.05"),
        (decimal(0, 3), "0.000"),
        (decimal(12, -2), "1200"),
        (
            decimal(10i128.pow(37), 0),
            "10000000000000000000000000000000000000",
        ),
    ];
    for (array, text) in cases {
        let shown = format!("{:?}", array.data_type());
        assert_eq!(encoded(array), format!("{{\"v\":{text}}}"), "{shown}");
    }
    assert!(encoded(Arc::new(DurationMicrosecondArray::from(vec![1]))).starts_with("{\"v\":\""));
}

#[test]
fn keys_of_some_columns_as_object_and_as_text() {
    let columns: [(&str, ArrayRef); 3] = [
        ("a", Arc::new(Int64Array::from(vec![Some(1), None]))),
        ("b \"", Arc::new(StringArray::from(vec!["x", "y\n"]))),
        ("ts", Arc::new(TimestampMicrosecondArray::from(vec![0, 1]))),
    ];
    let batch =
        RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, true)))
            .unwrap();
    let encoder = JsonEncoder::of_columns(batch.schema_ref(), &[2, 1, 0]);
    let sliced = batch.slice(1, 1);
    let bound = encoder.bind(&sliced).unwrap();
    let mut out = Vec::new();
    bound.write_object(0, &mut out);
    assert_eq!(
        out,
        br#"{"ts":"1970-01-01T00:00:00.000001Z","b \"":"y\n","a":null}"#
    );
    let text = |column| {
        let mut out = b">".to_vec();
        bound
            .write_text(0, column, &mut out)
            .then(|| String::from_utf8(out).unwrap())
    };
    assert_eq!(text(0).as_deref(), Some(">1970-01-01T00:00:00.000001Z"));
    assert_eq!(text(1).as_deref(), Some(">y\n"));
    assert_eq!(text(2), None);
    let none = JsonEncoder::of_columns(batch.schema_ref(), &[]);
    let mut out = Vec::new();
    none.bind(&batch).unwrap().write_object(0, &mut out);
    assert_eq!(out, b"{}");
}
