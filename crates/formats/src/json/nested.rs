//! Columns that hold columns: structs and lists.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, ListArray, NullBufferBuilder, StructArray};
use datafusion::arrow::buffer::{OffsetBuffer, ScalarBuffer};
use datafusion::arrow::datatypes::{FieldRef, Fields};
use datafusion::arrow::error::ArrowError;

use super::column::Column;
use super::fault::{Fault, mismatch};
use super::object::ObjectReader;
use super::scan::Cursor;

pub(crate) struct StructColumn {
    fields: Fields,
    reader: ObjectReader,
    pub nulls: NullBufferBuilder,
}

impl StructColumn {
    pub fn new(fields: &Fields) -> Option<Self> {
        Self::reading(fields, None)
    }

    /// `read`: the part of the fields that is read; all of them if `None`.
    pub fn reading(fields: &Fields, read: Option<&Fields>) -> Option<Self> {
        let reader = ObjectReader::new(fields, read).ok()?;
        Some(Self {
            fields: fields.clone(),
            reader,
            nulls: NullBufferBuilder::new(0),
        })
    }

    pub fn refuse_unknown(&mut self) {
        self.reader.refuse_unknown(&[]);
    }

    /// The cursor stands on the opening brace.
    pub fn append(&mut self, cursor: &mut Cursor<'_>, depth: usize) -> Result<(), Fault> {
        self.reader.append(cursor, depth, self.nulls.len())?;
        self.nulls.append_non_null();
        Ok(())
    }

    pub fn push_null(&mut self) {
        self.reader.push_nulls();
        self.nulls.append_null();
    }

    pub fn truncate(&mut self, rows: usize) {
        self.reader.truncate(rows);
        self.nulls.truncate(rows);
    }

    pub fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let rows = self.nulls.len();
        let nulls = self.nulls.finish();
        let arrays = self.reader.finish()?;
        Ok(Arc::new(StructArray::try_new_with_length(
            self.fields.clone(),
            arrays,
            nulls,
            rows,
        )?))
    }
}

pub(crate) struct ListColumn {
    item: FieldRef,
    items: Box<Column>,
    offsets: Vec<i32>,
    pub nulls: NullBufferBuilder,
}

impl ListColumn {
    pub fn new(item: &FieldRef) -> Option<Self> {
        let items = Box::new(Column::new(item.data_type())?);
        Some(Self {
            item: Arc::clone(item),
            items,
            offsets: vec![0],
            nulls: NullBufferBuilder::new(0),
        })
    }

    pub fn refuse_unknown(&mut self) {
        self.items.refuse_unknown();
    }

    /// The cursor stands on the opening bracket.
    pub fn append(&mut self, cursor: &mut Cursor<'_>, depth: usize) -> Result<(), Fault> {
        let start = cursor.at;
        cursor.enter(depth)?;
        if cursor.next_token()? == b']' {
            cursor.at += 1;
        } else {
            while self.append_item(cursor, depth)? {}
        }
        let end = i32::try_from(self.items.len())
            .map_err(|_| mismatch(start, "too many list items for one batch".into()))?;
        self.offsets.push(end);
        self.nulls.append_non_null();
        Ok(())
    }

    fn append_item(&mut self, cursor: &mut Cursor<'_>, depth: usize) -> Result<bool, Fault> {
        let row = self.items.len();
        cursor.skip_space();
        let at = cursor.at;
        self.items.append(cursor, depth + 1)?;
        if !self.item.is_nullable() && self.items.is_null(row) {
            return Err(mismatch(at, "NULL in a list of NOT NULL items".into()));
        }
        cursor.another(b']', "expected a comma or the end of the array")
    }

    fn end(&self) -> usize {
        self.offsets.last().map_or(0, |end| *end as usize)
    }

    pub fn push_null(&mut self) {
        self.offsets.push(self.offsets.last().copied().unwrap_or(0));
        self.nulls.append_null();
    }

    pub fn truncate(&mut self, rows: usize) {
        self.offsets.truncate(rows + 1);
        self.nulls.truncate(rows);
        self.items.truncate(self.end());
    }

    pub fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let offsets = std::mem::replace(&mut self.offsets, vec![0]);
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        let items = self.items.finish()?;
        Ok(Arc::new(ListArray::try_new(
            Arc::clone(&self.item),
            offsets,
            items,
            self.nulls.finish(),
        )?))
    }
}
