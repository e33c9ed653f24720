//! From record batches to rows: parse, decode, computed columns, watermarks. Whatever does not decode becomes a dead letter.
//!
//! Computed columns run as a small dataflow of their own, so that a row that fails is left out alone.

use std::sync::Arc;

use bytes::Bytes;
use datafusion::arrow::array::{AsArray, BooleanArray, RecordBatch};
use datafusion::arrow::compute::filter_record_batch;
use datafusion::arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use headwater_dataflow::Dataflow;
use headwater_dataflow::delta::{Delta, Origin};
use headwater_dataflow::operator::{ErrorAt, StepContext};
use headwater_formats::TableDecoder;
use headwater_formats::record::{HeaderView, RecordView};
use headwater_views::RowKeys;

use super::dead::{DeadRecord, Raw};
use super::decoders::Decoders;
use super::input::Taken;
use super::table::{RecordAt, Upsert};
use super::watermark;

/// Turns the records of one input into rows. Kept from step to step; holds no state that outlives one.
pub struct InputDecoder {
    source: u32,
    form: Form,
    computed: Dataflow,
    /// Schema of the relation: all columns in order of declaration.
    schema: SchemaRef,
    has_watermark: bool,
}

enum Form {
    Source(Arc<Decoders>),
    Table {
        decoder: Box<TableDecoder>,
        declared_key: Vec<usize>,
    },
}

/// Rows of one partition of a source.
pub struct SourceRows {
    pub delta: Delta,
    /// The partition's watermark after them.
    pub watermark: i64,
}

/// Where the records stand that were decoded, one entry a row.
#[derive(Default)]
struct Places {
    offsets: Vec<i64>,
    timestamps: Vec<i64>,
}

impl InputDecoder {
    /// `declared`: without the computed columns. `computed` makes all columns (and the watermark) of them.
    pub fn source(
        source: u32,
        decoders: Arc<Decoders>,
        computed: Dataflow,
        schema: SchemaRef,
        has_watermark: bool,
    ) -> Self {
        Self {
            source,
            form: Form::Source(decoders),
            computed,
            schema,
            has_watermark,
        }
    }

    /// `declared_key`: the primary key's columns among those that are not computed.
    pub fn table(
        source: u32,
        decoder: TableDecoder,
        computed: Dataflow,
        schema: SchemaRef,
        has_watermark: bool,
        declared_key: Vec<usize>,
    ) -> Self {
        let form = Form::Table {
            decoder: Box::new(decoder),
            declared_key,
        };
        Self {
            source,
            form,
            computed,
            schema,
            has_watermark,
        }
    }

    /// Those of a source.
    pub fn decoders(&self) -> Option<Arc<Decoders>> {
        match &self.form {
            Form::Source(decoders) => Some(Arc::clone(decoders)),
            Form::Table { .. } => None,
        }
    }

    /// The rows of what a step took of one partition of a source; decodes it unless somebody has.
    pub fn source_rows(
        &mut self,
        taken: &Taken,
        start_watermark: i64,
        now_us: i64,
        dead: &mut Vec<DeadRecord>,
    ) -> Result<SourceRows, String> {
        let Form::Source(decoders) = &self.form else {
            return Err("not a source".to_owned());
        };
        let decoded = match &taken.decoded {
            Some(decoded) => decoded.clone(),
            None => decoders.decode(taken)?,
        };
        dead.extend(decoded.dead);
        let rows = decoded.rows;
        let origin = Origin {
            source: self.source,
            partition: vec![taken.range.partition; rows.num_rows()].into(),
            offset: decoded.offsets,
            watermark: vec![watermark::NONE; rows.num_rows()].into(),
        };
        let delta = Delta {
            rows,
            kinds: None,
            origin: Some(origin),
        };
        let delta = self.compute(delta, now_us, dead)?;
        self.with_watermarks(delta, start_watermark)
    }

    /// Decodes what a step took of one partition of a table.
    pub fn table_rows(
        &mut self,
        taken: &Taken,
        now_us: i64,
        dead: &mut Vec<DeadRecord>,
    ) -> Result<(RecordBatch, Vec<Upsert>, i64), String> {
        let Form::Table {
            decoder,
            declared_key,
        } = &mut self.form
        else {
            return Err("not a table".to_owned());
        };
        let declared_key = declared_key.clone();
        let mut places = Places::default();
        each_record(taken, dead, decoder.wants_headers(), |record| {
            // A CSV header is no row.
            if decoder.push(record).map_err(|error| error.message)? {
                places.offsets.push(record.offset);
                places.timestamps.push(record.timestamp_ms);
            }
            Ok(())
        });
        let batch = decoder.finish().map_err(|error| error.to_string())?;
        let broken = |error: datafusion::arrow::error::ArrowError| error.to_string();
        let keys = RowKeys::bind(&batch.rows, &declared_key).map_err(broken)?;
        let kept: BooleanArray = batch.deleted.iter().map(|deleted| Some(!deleted)).collect();
        let rows = filter_record_batch(&batch.rows, &kept).map_err(broken)?;
        let offset: Arc<[i64]> = places
            .offsets
            .iter()
            .zip(&batch.deleted)
            .filter(|(_, deleted)| !**deleted)
            .map(|(o, _)| *o)
            .collect();
        let origin = Origin {
            source: self.source,
            partition: vec![taken.range.partition; rows.num_rows()].into(),
            offset,
            watermark: vec![watermark::NONE; rows.num_rows()].into(),
        };
        let delta = self.compute(
            Delta {
                rows,
                kinds: None,
                origin: Some(origin),
            },
            now_us,
            dead,
        )?;
        let SourceRows { delta, watermark } = self.with_watermarks(delta, watermark::NONE)?;
        let at = |row: usize| RecordAt {
            timestamp_ms: places.timestamps[row],
            partition: taken.range.partition,
            offset: places.offsets[row],
        };
        let computed: &[i64] = delta.origin.as_ref().map_or(&[], |origin| &origin.offset);
        let records = upserts(&keys, &batch.deleted, at, computed);
        Ok((delta.rows, records, watermark))
    }

    fn compute(
        &mut self,
        delta: Delta,
        now_us: i64,
        dead: &mut Vec<DeadRecord>,
    ) -> Result<Delta, String> {
        let empty = Delta {
            rows: RecordBatch::new_empty(self.schema.clone()),
            kinds: None,
            origin: delta.origin.clone(),
        };
        let mut context = StepContext {
            now_us,
            watermark_us: watermark::NONE,
            errors: Vec::new(),
            late: Vec::new(),
        };
        let failed = |error: headwater_dataflow::operator::OperatorError| error.to_string();
        self.computed
            .push("input", delta, &mut context)
            .map_err(failed)?;
        let mut out = self.computed.finish(&mut context).map_err(failed)?;
        for error in context.errors {
            if let ErrorAt::Row {
                partition, offset, ..
            } = error.at
            {
                dead.push(DeadRecord {
                    partition,
                    offset,
                    operator: "columns".into(),
                    error: error.message,
                    record: Raw::InBatch,
                });
            }
        }
        match out.len() {
            0 => Ok(Delta {
                origin: empty.origin.map(|origin| origin.take(&[])),
                ..empty
            }),
            1 => Ok(out.swap_remove(0)),
            _ => Err("computed columns gave several batches".to_owned()),
        }
    }

    /// Takes the watermark column off and writes each row's watermark into its origin.
    fn with_watermarks(&self, mut delta: Delta, start: i64) -> Result<SourceRows, String> {
        let mut watermark = start;
        if self.has_watermark && delta.rows.num_columns() > self.schema.fields().len() {
            let column = delta.rows.column(self.schema.fields().len());
            let column = column
                .as_primitive_opt::<TimestampMicrosecondType>()
                .ok_or("the watermark is no timestamp")?;
            let mut before = Vec::with_capacity(column.len());
            watermark = watermark::before_rows(start, column.iter(), &mut before);
            if let Some(origin) = &mut delta.origin {
                origin.watermark = before.into();
            }
        }
        let columns = delta
            .rows
            .columns()
            .iter()
            .take(self.schema.fields().len())
            .cloned()
            .collect();
        let options = datafusion::arrow::array::RecordBatchOptions::new()
            .with_row_count(Some(delta.rows.num_rows()));
        delta.rows = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .map_err(|e| e.to_string())?;
        Ok(SourceRows { delta, watermark })
    }
}

/// The records of a table in order; `computed`: offsets of the rows that have come through their computed columns.
fn upserts(
    keys: &RowKeys,
    deleted: &[bool],
    at: impl Fn(usize) -> RecordAt,
    computed: &[i64],
) -> Vec<Upsert> {
    let mut next = 0;
    let mut records = Vec::with_capacity(deleted.len());
    for (row, deleted) in deleted.iter().enumerate() {
        let at = at(row);
        let mut key = Vec::new();
        keys.write(row, &mut key);
        if *deleted {
            records.push(Upsert { key, row: None, at });
        } else if computed.get(next) == Some(&at.offset) {
            records.push(Upsert {
                key,
                row: Some(next),
                at,
            });
            next += 1;
        }
    }
    records
}

/// Calls back for every record of the range; what it refuses is a dead letter. Headers are there if they are wanted.
pub(super) fn each_record(
    taken: &Taken,
    dead: &mut Vec<DeadRecord>,
    headers: bool,
    mut take: impl FnMut(&RecordView<'_>) -> Result<(), String>,
) {
    for batch in &taken.batches {
        // Attributes are at byte 21; their fourth bit says who set the timestamps.
        let append_time = batch.get(22).is_some_and(|attributes| attributes & 8 != 0);
        let place = |offset: i64, timestamp_ms: i64| RecordView {
            partition: taken.range.partition,
            offset,
            timestamp_ms,
            append_time,
            ..RecordView::default()
        };
        if headers {
            with_headers(taken, batch, dead, &place, &mut take);
            continue;
        }
        let mut records = match headwater_record::records(batch) {
            Ok(records) => records,
            Err(error) => {
                dead.push(unreadable(
                    taken,
                    super::input::base_offset(batch),
                    &error.to_string(),
                ));
                continue;
            }
        };
        while let Some(next) = records.next_ref() {
            match next {
                Ok(record)
                    if record.offset < taken.range.from || record.offset >= taken.range.next => {}
                Ok(record) => {
                    let view = RecordView {
                        key: record.key,
                        value: record.value,
                        ..place(record.offset, record.timestamp)
                    };
                    if let Err(error) = take(&view) {
                        dead.push(refused(&view, error));
                    }
                }
                Err(error) => dead.push(unreadable(
                    taken,
                    super::input::base_offset(batch),
                    &error.to_string(),
                )),
            }
        }
    }
}

fn refused(record: &RecordView<'_>, error: String) -> DeadRecord {
    let copy = |bytes: Option<&[u8]>| bytes.map(Bytes::copy_from_slice);
    let (key, value) = (copy(record.key), copy(record.value));
    DeadRecord {
        partition: record.partition,
        offset: record.offset,
        operator: "decode".into(),
        error,
        record: Raw::Known { key, value },
    }
}

/// One batch's records with their headers.
fn with_headers<'b>(
    taken: &Taken,
    batch: &'b Bytes,
    dead: &mut Vec<DeadRecord>,
    place: &dyn Fn(i64, i64) -> RecordView<'static>,
    take: &mut dyn FnMut(&RecordView<'_>) -> Result<(), String>,
) {
    let base = super::input::base_offset(batch);
    let records = match headwater_record::records(batch) {
        Ok(records) => records,
        Err(error) => return dead.push(unreadable(taken, base, &error.to_string())),
    };
    for record in records {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                dead.push(unreadable(taken, base, &error.to_string()));
                continue;
            }
        };
        if record.offset < taken.range.from || record.offset >= taken.range.next {
            continue;
        }
        let headers: Vec<HeaderView<'_>> = record
            .headers
            .iter()
            .map(|h| HeaderView {
                key: &h.key,
                value: h.value.as_deref(),
            })
            .collect();
        let view = RecordView {
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers: &headers,
            ..place(record.offset, record.timestamp)
        };
        if let Err(error) = take(&view) {
            dead.push(refused(&view, error));
        }
    }
}

fn unreadable(taken: &Taken, offset: i64, error: &str) -> DeadRecord {
    let error = format!("the record batch cannot be read: {error}");
    DeadRecord {
        partition: taken.range.partition,
        offset,
        operator: "decode".into(),
        error,
        record: Raw::Known {
            key: None,
            value: None,
        },
    }
}
