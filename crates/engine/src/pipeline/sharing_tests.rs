//! Pieces of a source that several pipelines read are decoded once.

#![allow(clippy::unwrap_used)]
use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::arrow::datatypes::Field;
use headwater_record::{BatchBuilder, Codec};

use super::*;
use crate::pipeline::record::Range;

fn schema(names: &[&str]) -> SchemaRef {
    let fields: Vec<Field> = names
        .iter()
        .map(|name| Field::new(*name, DataType::Int64, true))
        .collect();
    Arc::new(Schema::new(fields))
}

fn make(read: SchemaRef) -> Decoders {
    let statement = headwater_sql::parse_one("CREATE SOURCE s (a BIGINT, b BIGINT)", None).unwrap();
    let defined = headwater_sql::define(&statement).unwrap().unwrap();
    let headwater_sql::model::Definition::Source(def) = defined.definition else {
        panic!("not a source");
    };
    Decoders::new(def, read)
}

fn member(sharing: &Arc<Sharing>, read: &[&str]) -> Member {
    Member::join(sharing, &schema(&["a", "b"]), &schema(read), make)
}

/// Ten records from an offset, and how often they were read.
fn records(from: Offset, reads: &AtomicUsize) -> std::io::Result<(Taken, Offset)> {
    reads.fetch_add(1, Ordering::SeqCst);
    let mut batch = BatchBuilder::new(Codec::None);
    for n in from..from + 10 {
        batch.push(1, None, Some(format!("{{\"a\":{n},\"b\":{n}}}").as_bytes()));
    }
    let mut bytes = batch.build().to_vec();
    bytes[..8].copy_from_slice(&from.to_be_bytes());
    let mut taken = Taken::new(Range {
        input: 0,
        partition: 0,
        from,
        next: from + 10,
    });
    taken.batches.push(bytes.into());
    Ok((taken, 100))
}

#[test]
fn who_comes_second_takes_what_the_first_decoded() {
    let (sharing, reads) = (Arc::new(Sharing::default()), AtomicUsize::new(0));
    let (one, two) = (member(&sharing, &["a"]), member(&sharing, &["b"]));
    let (first, _) = one.take(0, 0, || records(0, &reads)).unwrap().unwrap();
    assert_eq!(first.decoded.unwrap().rows.num_rows(), 10);
    // From the middle of the piece, and with the columns of both.
    let (second, end) = two.take(0, 4, || records(4, &reads)).unwrap().unwrap();
    assert_eq!((second.range.from, second.range.next, end), (4, 10, 100));
    let decoded = second.decoded.unwrap();
    assert_eq!(*decoded.offsets, [4, 5, 6, 7, 8, 9]);
    assert_eq!(decoded.rows.column(1).null_count(), 0);
    assert_eq!(reads.load(Ordering::SeqCst), 1);
    // Both have had it: it is gone.
    assert_eq!(sharing.state.lock().bytes, 0);
}

#[test]
fn who_is_behind_drives_nothing_out() {
    let (sharing, reads) = (Arc::new(Sharing::default()), AtomicUsize::new(0));
    let (one, two) = (member(&sharing, &["a"]), member(&sharing, &["a"]));
    one.take(0, 50, || records(50, &reads)).unwrap().unwrap();
    assert!(two.take(0, 0, || records(0, &reads)).unwrap().is_none());
    assert_eq!(reads.load(Ordering::SeqCst), 1);
}

#[test]
fn columns_that_came_later_are_not_missed() {
    let (sharing, reads) = (Arc::new(Sharing::default()), AtomicUsize::new(0));
    let (one, _also) = (member(&sharing, &["a"]), member(&sharing, &["a"]));
    one.take(0, 0, || records(0, &reads)).unwrap().unwrap();
    let late = member(&sharing, &["b"]);
    assert!(late.take(0, 0, || records(0, &reads)).unwrap().is_none());
    assert!(late.take(0, 10, || records(10, &reads)).unwrap().is_some());
}

#[test]
fn a_failed_read_leaves_no_mark() {
    let (sharing, reads) = (Arc::new(Sharing::default()), AtomicUsize::new(0));
    let (one, two) = (member(&sharing, &["a"]), member(&sharing, &["a"]));
    let failing = || Err(std::io::Error::other("gone"));
    assert!(one.take(0, 0, failing).is_err());
    assert!(two.take(0, 0, || records(0, &reads)).unwrap().is_some());
}

#[test]
fn pieces_are_bounded_and_go_with_the_readers() {
    let (sharing, reads) = (Arc::new(Sharing::default()), AtomicUsize::new(0));
    let (one, two) = (member(&sharing, &["a"]), member(&sharing, &["a"]));
    one.take(0, 0, || records(0, &reads)).unwrap().unwrap();
    assert!(sharing.state.lock().bytes > 0);
    drop(two);
    assert!(sharing.state.lock().pieces.is_empty() && !one.has_others());
}

#[test]
fn parts_of_structs_are_joined() {
    let of = |names: &[&str]| {
        let inner = DataType::Struct(schema(names).fields().clone());
        Fields::from(vec![Field::new("s", inner, true)])
    };
    let joined = both(&of(&["a", "b", "c"]), &of(&["c"]), &of(&["a"]));
    assert_eq!(joined, of(&["a", "c"]));
}
