//! Definitions as the relations that queries see.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::exprs::schema_of;
use crate::model::{Relation, RelationKind, SourceDef, TableDef, ViewDef};
use crate::types::timestamptz;

impl SourceDef {
    /// All columns, computed ones too.
    pub fn schema(&self) -> SchemaRef {
        schema_of(&self.columns)
    }

    pub fn relation(&self) -> Relation {
        Relation {
            name: self.name.clone(),
            schema: self.schema(),
            kind: RelationKind::Source,
            key: None,
            event_time: self.watermark.as_ref().map(|w| w.column),
            append_only: true,
        }
    }
}

impl TableDef {
    /// All columns, computed ones too.
    pub fn schema(&self) -> SchemaRef {
        schema_of(&self.columns)
    }

    pub fn relation(&self) -> Relation {
        Relation {
            name: self.name.clone(),
            schema: self.schema(),
            kind: RelationKind::Table,
            key: Some(self.primary_key.clone()),
            event_time: self.watermark.as_ref().map(|w| w.column),
            append_only: false,
        }
    }
}

impl ViewDef {
    /// A `CREATE VIEW` as a relation: its query is expanded wherever it is read, so it needs no schema here.
    pub fn inline_relation(&self) -> Relation {
        Relation {
            name: self.name.clone(),
            schema: Arc::new(Schema::empty()),
            kind: RelationKind::Inline {
                query: self.query.clone(),
            },
            key: None,
            event_time: None,
            append_only: false,
        }
    }
}

/// The columns of a topic without a definition: `partition`, `offset`, `timestamp`, `key`, `value` (text; NULL where not UTF-8),
/// `headers` (a JSON array of objects with `key` and `value`; NULL without any).
pub fn topic_schema() -> SchemaRef {
    let field = |name: &str, data_type| Field::new(name, data_type, true);
    Arc::new(Schema::new(vec![
        field("partition", DataType::Int32),
        field("offset", DataType::Int64),
        field("timestamp", timestamptz()),
        field("key", DataType::Utf8),
        field("value", DataType::Utf8),
        field("headers", DataType::Utf8),
    ]))
}

/// A topic without a definition as a relation.
pub fn topic_relation(topic: &str) -> Relation {
    Relation {
        name: topic.to_owned(),
        schema: topic_schema(),
        kind: RelationKind::Topic,
        key: None,
        event_time: None,
        append_only: true,
    }
}
