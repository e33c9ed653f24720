//! Relations that are always there: dead letters, late rows, errors of rows that are withheld.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use headwater_sql::model::{
    ColumnDef, ColumnFrom, Options, Relation, RelationKind, SourceDef, StartAt,
};

pub const DEAD_LETTERS: &str = "headwater_dead_letters";
pub const LATE_ROWS: &str = "headwater_late_rows";
pub const ERRORS: &str = "headwater_errors";
pub const DEAD_LETTERS_TOPIC: &str = "headwater-dead-letters";
pub const LATE_ROWS_TOPIC: &str = "__headwater_late_rows";
/// When pipelines began to read their topics again; see `pipeline::rebuilt`.
pub const REBUILDS_TOPIC: &str = "__headwater_rebuilds";

pub fn names() -> impl Iterator<Item = &'static str> {
    [DEAD_LETTERS, LATE_ROWS, ERRORS].into_iter()
}

fn time() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from("UTC")))
}

/// The two that are read from topics.
pub fn source(name: &str) -> Option<SourceDef> {
    use DataType::{Int32, Int64, Utf8};
    let (topic, columns): (&str, &[(&str, DataType)]) = match name {
        DEAD_LETTERS => (
            DEAD_LETTERS_TOPIC,
            &[
                ("time", time()),
                ("pipeline", Utf8),
                ("operator", Utf8),
                ("source", Utf8),
                ("error", Utf8),
                ("topic", Utf8),
                ("partition", Int32),
                ("offset", Int64),
                ("key_text", Utf8),
                ("key_base64", Utf8),
                ("value_text", Utf8),
                ("value_base64", Utf8),
            ],
        ),
        LATE_ROWS => (
            LATE_ROWS_TOPIC,
            &[
                ("time", time()),
                ("pipeline", Utf8),
                ("view", Utf8),
                ("operator", Utf8),
                ("topic", Utf8),
                ("partition", Int32),
                ("offset", Int64),
                ("row", Utf8),
            ],
        ),
        _ => return None,
    };
    let column = |(name, data_type): &(&str, DataType)| ColumnDef {
        json: false,
        from: ColumnFrom::Value,
        default: None,
        name: (*name).to_owned(),
        data_type: data_type.clone(),
        computed: None,
        not_null: false,
    };
    Some(SourceDef {
        name: name.to_owned(),
        columns: columns.iter().map(column).collect(),
        watermark: None,
        topic: topic.to_owned(),
        format: "json".to_owned(),
        start: StartAt::Earliest,
        options: Options::new(),
        of_table: None,
    })
}

pub fn errors_schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let mut fields: Vec<Field> = ["pipeline", "view", "operator", "key", "error"]
        .into_iter()
        .map(text)
        .collect();
    fields.push(Field::new("times", DataType::Int64, true));
    Arc::new(Schema::new(fields))
}

pub fn relation(name: &str) -> Option<Relation> {
    if name == ERRORS {
        return Some(Relation {
            name: name.to_owned(),
            schema: errors_schema(),
            kind: RelationKind::Materialized,
            key: None,
            event_time: None,
            append_only: false,
        });
    }
    source(name).map(|source| source.relation())
}
