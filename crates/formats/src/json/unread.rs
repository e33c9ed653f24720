//! Columns that nobody reads: their values are checked, so that the same records are dead letters whoever reads, and not kept.

use datafusion::arrow::array::{ArrayRef, new_null_array};
use datafusion::arrow::datatypes::{DataType, Fields};

use super::column::Column;
use super::fault::Fault;
use super::nested::StructColumn;
use super::scan::Cursor;

pub(crate) struct Unread {
    data_type: DataType,
    /// Never holds a row for longer than it takes to check it.
    check: Box<Column>,
    rows: usize,
}

impl Unread {
    /// `None` if the type has no place in JSON.
    pub fn new(data_type: &DataType) -> Option<Self> {
        let check = match data_type {
            DataType::Struct(fields) => {
                Column::Struct(StructColumn::reading(fields, Some(&Fields::empty()))?)
            }
            other => Column::new(other)?,
        };
        Some(Self {
            data_type: data_type.clone(),
            check: Box::new(check),
            rows: 0,
        })
    }

    pub fn refuse_unknown(&mut self) {
        self.check.refuse_unknown();
    }

    /// On a fault nothing is added.
    #[inline]
    pub fn append(&mut self, cursor: &mut Cursor<'_>, depth: usize) -> Result<(), Fault> {
        match (&mut *self.check, cursor.peek()) {
            (_, Some(b'n')) => cursor.literal(b"null")?,
            (Column::Text(_), Some(b'"')) => cursor.string()?.check()?,
            (check, _) => {
                let outcome = check.append(cursor, depth);
                check.truncate(0);
                outcome?;
            }
        }
        self.rows += 1;
        Ok(())
    }

    #[inline]
    pub fn rows(&self) -> usize {
        self.rows
    }

    #[inline]
    pub fn push_null(&mut self) {
        self.rows += 1;
    }

    pub fn truncate(&mut self, rows: usize) {
        self.rows = self.rows.min(rows);
    }

    /// NULLs.
    pub fn finish(&mut self) -> ArrayRef {
        new_null_array(&self.data_type, std::mem::take(&mut self.rows))
    }
}
