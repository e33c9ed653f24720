//! [`VersionsDecoder`]: every record of a table's topic as a row, deletions too, with its time and place. What of it counts when is not
//! decided here.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Int32Array, Int64Array, TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;

use crate::error::{DecodeError, FormatError};
use crate::format::Decoder;
use crate::record::RecordView;
use crate::table::{TableDecoder, TableLayout};

/// Columns behind those of the table: timestamp, partition, offset, and whether the record deletes.
pub const VERSION_COLUMNS: usize = 4;

/// See the module's description.
pub struct VersionsDecoder {
    schema: SchemaRef,
    table: TableDecoder,
    times: Vec<i64>,
    partitions: Vec<i32>,
    offsets: Vec<i64>,
}

impl VersionsDecoder {
    /// `schema`: the table's declared columns that are not computed, then [`VERSION_COLUMNS`]; `table`: how the former are read.
    ///
    /// # Errors
    /// If a format cannot hold the type of a column.
    pub fn new(schema: &SchemaRef, table: &TableLayout) -> Result<Self, FormatError> {
        Ok(Self {
            schema: Arc::clone(schema),
            table: TableDecoder::new(table)?,
            times: Vec::new(),
            partitions: Vec::new(),
            offsets: Vec::new(),
        })
    }
}

impl Decoder for VersionsDecoder {
    fn push(&mut self, value: &[u8]) -> Result<(), DecodeError> {
        self.push_record(&RecordView {
            value: Some(value),
            ..RecordView::default()
        })
    }

    fn push_record(&mut self, record: &RecordView<'_>) -> Result<(), DecodeError> {
        // A CSV header is no row.
        if !self.table.push(record)? {
            return Ok(());
        }
        self.times.push(record.timestamp_ms.saturating_mul(1_000));
        self.partitions.push(record.partition);
        self.offsets.push(record.offset);
        Ok(())
    }

    fn wants_headers(&self) -> bool {
        self.table.wants_headers()
    }

    fn rows(&self) -> usize {
        self.table.rows()
    }

    fn truncate(&mut self, rows: usize) {
        self.table.truncate(rows);
        self.times.truncate(rows);
        self.partitions.truncate(rows);
        self.offsets.truncate(rows);
    }

    fn finish(&mut self) -> Result<RecordBatch, FormatError> {
        let batch = self.table.finish()?;
        let mut columns = batch.rows.columns().to_vec();
        let times = TimestampMicrosecondArray::from(std::mem::take(&mut self.times));
        let more: [ArrayRef; VERSION_COLUMNS] = [
            Arc::new(times.with_timezone("UTC")),
            Arc::new(Int32Array::from(std::mem::take(&mut self.partitions))),
            Arc::new(Int64Array::from(std::mem::take(&mut self.offsets))),
            Arc::new(BooleanArray::from(batch.deleted)),
        ];
        columns.extend(more);
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use datafusion::arrow::array::AsArray;
    use datafusion::arrow::datatypes::{DataType, Field, Int64Type, Schema, TimeUnit};

    use super::*;
    use crate::format::Settings;
    use crate::record::{From, Layout};

    fn decoder() -> VersionsDecoder {
        let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let fields = [
            ("k", DataType::Utf8),
            ("v", DataType::Int64),
            ("time", time),
            ("partition", DataType::Int32),
            ("offset", DataType::Int64),
            ("deleted", DataType::Boolean),
        ];
        let fields = fields.map(|(name, data_type)| Field::new(name, data_type, true));
        let table = TableLayout {
            records: Layout {
                topic: "t".to_owned(),
                schema: Arc::new(Schema::new(fields[..2].to_vec())),
                from: vec![From::Key, From::Value],
                value: Settings::of("json"),
                key: Settings::of("json"),
            },
            primary_key: vec![0],
            any_key: true,
        };
        VersionsDecoder::new(&Arc::new(Schema::new(fields.to_vec())), &table).unwrap()
    }

    fn record<'a>(offset: i64, key: &'a str, value: Option<&'a str>) -> RecordView<'a> {
        RecordView {
            partition: 3,
            offset,
            timestamp_ms: 7,
            key: Some(key.as_bytes()),
            value: value.map(str::as_bytes),
            ..RecordView::default()
        }
    }

    #[test]
    fn rows_and_deletions_come_with_their_places() {
        let mut decoder = decoder();
        decoder
            .push_record(&record(1, "a", Some(r#"{"v": 1}"#)))
            .unwrap();
        decoder.push_record(&record(2, "a", None)).unwrap();
        assert!(decoder.push_record(&record(3, "b", Some("{"))).is_err());
        decoder
            .push_record(&record(4, "b", Some(r#"{"v": 2}"#)))
            .unwrap();
        decoder.truncate(2);
        decoder
            .push_record(&record(5, "c", Some(r#"{"v": 3}"#)))
            .unwrap();
        assert_eq!(decoder.rows(), 3);
        let rows = decoder.finish().unwrap();
        let numbers = |at: usize| {
            rows.column(at)
                .as_primitive::<Int64Type>()
                .iter()
                .collect::<Vec<_>>()
        };
        assert_eq!(numbers(1), [Some(1), None, Some(3)]);
        assert_eq!(numbers(4), [Some(1), Some(2), Some(5)]);
        let deleted: Vec<bool> = rows
            .column(5)
            .as_boolean()
            .iter()
            .map(Option::unwrap)
            .collect();
        assert_eq!(deleted, [false, true, false]);
        assert_eq!(decoder.finish().unwrap().num_rows(), 0);
    }
}
