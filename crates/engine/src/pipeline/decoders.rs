//! The decoders of one source: as many as work at a time. What they give depends on the records alone, not on the step, so that
//! records can be decoded before their step begins and by whoever has time.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use headwater_base::{Offset, PartitionId};
use headwater_connect::StepLog;
use headwater_formats::Decoder;
use headwater_sql::model::SourceDef;
use headwater_sql::physical_schema_of;
use parking_lot::Mutex;

use super::dead::DeadRecord;
use super::decode::each_record;
use super::input::{self, Taken};
use super::layout;
use super::record::Range;
use super::sharing::{Member, Sharing};

/// See the module's description.
pub struct Decoders {
    def: SourceDef,
    /// The part of the columns that is read.
    read: SchemaRef,
    idle: Mutex<Vec<Box<dyn Decoder>>>,
    /// Of those who read the source, too.
    member: Option<Member>,
}

/// Records of one partition as rows of the declared columns.
#[derive(Clone, Debug)]
pub struct Decoded {
    pub rows: RecordBatch,
    /// One a row.
    pub offsets: Arc<[i64]>,
    pub dead: Vec<DeadRecord>,
}

impl Decoded {
    /// The rows from an offset on.
    pub fn from(&self, offset: Offset) -> Self {
        let first = self.offsets.partition_point(|known| *known < offset);
        let later = |dead: &&DeadRecord| dead.offset >= offset;
        Self {
            rows: self.rows.slice(first, self.rows.num_rows() - first),
            offsets: Arc::from(&self.offsets[first..]),
            dead: self.dead.iter().filter(later).cloned().collect(),
        }
    }
}

impl Decoders {
    pub fn new(def: SourceDef, read: SchemaRef) -> Self {
        Self {
            def,
            read,
            idle: Mutex::default(),
            member: None,
        }
    }

    /// The same, sharing what it decodes with all others that joined.
    pub fn sharing(self, sharing: &Arc<Sharing>) -> Self {
        let make = |read| Self::new(self.def.clone(), read);
        let whole = physical_schema_of(&self.def.columns);
        let member = Member::join(sharing, &whole, &self.read, make);
        Self {
            member: Some(member),
            ..self
        }
    }

    /// Whether another pipeline reads the source, too.
    pub fn is_shared(&self) -> bool {
        self.member.as_ref().is_some_and(Member::has_others)
    }

    /// Reads a partition from where the range begins and decodes that, unless another pipeline has; answers the partition's end.
    pub fn read(
        &self,
        log: &dyn StepLog,
        (range, id): (Range, PartitionId),
        bytes_max: usize,
        rows_max: usize,
    ) -> std::io::Result<(Taken, Offset)> {
        let read = || {
            let mut taken = Taken::new(range);
            let end = input::extend(log, id, &mut taken, bytes_max, rows_max)?;
            Ok((taken, end))
        };
        let shared = match &self.member {
            Some(member) if member.has_others() => {
                member.take(range.partition, range.from, read)?
            }
            _ => None,
        };
        if let Some((mut taken, end)) = shared {
            // Another pipeline may know the source by another number.
            taken.range.input = range.input;
            return Ok((taken, end));
        }
        let (mut taken, end) = read()?;
        taken.decoded = Some(self.decode(&taken).map_err(std::io::Error::other)?);
        Ok((taken, end))
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
        let made = layout::source_decoder(&self.def, &self.read);
        made.map_err(|error| error.to_string())
    }

    pub fn decode(&self, taken: &Taken) -> Result<Decoded, String> {
        let mut decoder = self.one()?;
        let (mut dead, mut offsets) = (Vec::new(), Vec::new());
        let headers = decoder.wants_headers();
        each_record(taken, &mut dead, headers, |record| {
            decoder.push_record(record).map_err(|error| error.message)?;
            // A CSV header is no row.
            if decoder.rows() > offsets.len() {
                offsets.push(record.offset);
            }
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
