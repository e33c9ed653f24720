//! Definitions as the relations that queries see.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::exprs::schema_of;
use crate::model::{
    ColumnDef, ColumnFrom, OfTable, Relation, RelationKind, SourceDef, StartAt, TableDef, ViewDef,
};
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

/// The end of the name under which a table's topic is read as what it is, record by record: nobody can call a relation so.
pub const VERSIONS: &str = " for system_time";
/// The format of such a relation.
pub const VERSIONS_FORMAT: &str = "versions of a table";

/// Of a version: the record's timestamp, where it stands, and whether it deletes its key.
pub(crate) const VERSION_COLUMNS: [(&str, &str, DataType); 4] = [
    ("__timestamp", "timestamp", DataType::Null),
    ("__partition", "partition", DataType::Int32),
    ("__offset", "offset", DataType::Int64),
    ("__deleted", "deleted", DataType::Boolean),
];

fn version_type(data_type: &DataType) -> DataType {
    match data_type {
        // The type of a time is no constant.
        DataType::Null => timestamptz(),
        other => other.clone(),
    }
}

impl TableDef {
    /// Its topic as a source of versions: all records, deletions too, behind the table's columns what is known of them.
    pub fn versions(&self) -> SourceDef {
        let own = self
            .columns
            .iter()
            .enumerate()
            .map(|(at, column)| ColumnDef {
                not_null: false,
                from: match self.primary_key.contains(&at) {
                    true => ColumnFrom::Key,
                    false => column.from.clone(),
                },
                ..column.clone()
            });
        let more = VERSION_COLUMNS
            .iter()
            .map(|(name, what, data_type)| ColumnDef {
                name: (*name).to_owned(),
                data_type: version_type(data_type),
                computed: None,
                not_null: false,
                json: false,
                from: ColumnFrom::Metadata((*what).to_owned()),
                default: None,
            });
        SourceDef {
            name: format!("{}{VERSIONS}", self.name),
            columns: own.chain(more).collect(),
            watermark: self.watermark.clone(),
            topic: self.topic.clone(),
            format: VERSIONS_FORMAT.to_owned(),
            start: StartAt::Earliest,
            options: self.options.clone(),
            of_table: Some(OfTable {
                primary_key: self.primary_key.clone(),
                not_null: (0..self.columns.len())
                    .filter(|at| self.columns[*at].not_null)
                    .collect(),
            }),
        }
    }
}

/// The relation that [`TableDef::versions`] is, of the table's.
pub(crate) fn versions_of(table: &Relation) -> Relation {
    let more = VERSION_COLUMNS
        .iter()
        .map(|(name, _, data_type)| Arc::new(Field::new(*name, version_type(data_type), true)));
    let fields = table.schema.fields().iter();
    let own = fields.map(|f| Arc::new(f.as_ref().clone().with_nullable(true)));
    Relation {
        name: format!("{}{VERSIONS}", table.name),
        schema: Arc::new(Schema::new(own.chain(more).collect::<Vec<_>>())),
        kind: RelationKind::Source,
        key: None,
        event_time: table.event_time,
        append_only: true,
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
