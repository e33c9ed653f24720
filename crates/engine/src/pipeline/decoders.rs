//! The decoders of one source: as many as work at a time. What they give depends on the records alone, not on the step, so that
//! records can be decoded before their step begins and by whoever has time.

use headwater_formats::{Decoder, Format};
use parking_lot::Mutex;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;

use super::dead::DeadRecord;
use super::decode::each_record;
use super::input::Taken;

/// See the module's description.
pub struct Decoders {
    format: &'static dyn Format,
    /// The declared columns that are not computed, and the part of them that is read.
    schema: SchemaRef,
    read: SchemaRef,
    idle: Mutex<Vec<Box<dyn Decoder>>>,
}

/// Records of one partition as rows of the declared columns.
#[derive(Clone, Debug)]
pub struct Decoded {
    pub rows: RecordBatch,
    /// One a row.
    pub offsets: Arc<[i64]>,
    pub dead: Vec<DeadRecord>,
}

impl Decoders {
    pub fn new(format: &'static dyn Format, schema: SchemaRef, read: SchemaRef) -> Self {
        Self {
            format,
            schema,
            read,
            idle: Mutex::default(),
        }
    }

    /// Whether there can be decoders for these columns.
    pub fn check(&self) -> Result<(), String> {
        let decoder = self.one()?;
        self.idle.lock().push(decoder);
        Ok(())
    }

    fn one(&self) -> Result<Box<dyn Decoder>, String> {
        if let Some(idle) = self.idle.lock().pop() {
            return Ok(idle);
        }
        let made = self.format.decoder_of(Arc::clone(&self.schema), &self.read);
        made.map_err(|error| error.to_string())
    }

    pub fn decode(&self, taken: &Taken) -> Result<Decoded, String> {
        let mut decoder = self.one()?;
        let (mut dead, mut offsets) = (Vec::new(), Vec::new());
        each_record(taken, &mut dead, |record| {
            let value = record.value.ok_or_else(|| "null value".to_owned())?;
            decoder.push(value).map_err(|error| error.message)?;
            offsets.push(record.offset);
            Ok(())
        });
        let rows = decoder.finish().map_err(|error| error.to_string())?;
        self.idle.lock().push(decoder);
        Ok(Decoded {
            rows,
            offsets: offsets.into(),
            dead,
        })
    }
}
