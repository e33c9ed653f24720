//! Reads one JSON object into a row of columns. Records of one producer have their fields in one order, so the field that
//! followed last time is tried first: a match costs one comparison of bytes.

use std::collections::HashMap;

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::Fields;
use datafusion::arrow::error::ArrowError;
use foldhash::fast::FixedState;

use super::column::{Column, column_of};
use super::fault::{Fault, mismatch, syntax};
use super::scan::{Cursor, Text};

/// Names of fields that are no columns are remembered too, up to this many, so that they do not cost a search each time.
const STRANGERS_MAX: usize = 64;
/// Longest name that is remembered, in bytes.
const STRANGER_BYTES_MAX: usize = 128;

pub(crate) struct ObjectReader {
    columns: Vec<Member>,
    /// Known names: first those of the columns, then strangers.
    names: Vec<Name>,
    by_name: HashMap<Box<[u8]>, usize, FixedState>,
    /// The name that came first last time.
    first: usize,
    /// Names behind the columns' that are taken though nothing is read from them; `None`: all are.
    strangers: Option<usize>,
    /// Type faults of the object that is being read, by column; a duplicate field may mend one.
    faults: Vec<(usize, Fault)>,
}

struct Member {
    name: String,
    column: Column,
    not_null: bool,
}

struct Name {
    /// With its quotes.
    quoted: Box<[u8]>,
    /// The name that came after it last time.
    next: usize,
}

impl ObjectReader {
    /// `read`: the part of the fields that is read; all of them if `None`.
    pub fn new(
        fields: &Fields,
        read: Option<&Fields>,
    ) -> Result<Self, (String, datafusion::arrow::datatypes::DataType)> {
        let mut reader = Self {
            columns: Vec::with_capacity(fields.len()),
            names: Vec::new(),
            by_name: HashMap::with_hasher(FixedState::with_seed(7)),
            first: 0,
            strangers: None,
            faults: Vec::new(),
        };
        for field in fields {
            let column = match read {
                None => column_of(field, Some(field))?,
                Some(read) => column_of(
                    field,
                    read.find(field.name()).map(|(_, read)| read.as_ref()),
                )?,
            };
            reader.columns.push(Member {
                name: field.name().clone(),
                column,
                not_null: !field.is_nullable(),
            });
            reader.remember(field.name().as_bytes());
        }
        Ok(reader)
    }

    /// From now on fields that are neither columns nor `taken` are faults, also within structs.
    pub fn refuse_unknown(&mut self, taken: &[String]) {
        for name in taken {
            if !self.by_name.contains_key(name.as_bytes()) {
                self.remember(name.as_bytes());
            }
        }
        self.strangers = Some(self.names.len());
        let columns = self.columns.iter_mut();
        columns.for_each(|member| member.column.refuse_unknown());
    }

    fn remember(&mut self, name: &[u8]) -> usize {
        let mut quoted = Vec::with_capacity(name.len() + 2);
        quoted.push(b'"');
        quoted.extend_from_slice(name);
        quoted.push(b'"');
        let index = self.names.len();
        self.names.push(Name {
            quoted: quoted.into(),
            next: index + 1,
        });
        self.by_name.insert(name.into(), index);
        index
    }

    /// Appends row number `row`. The cursor stands on the opening brace. After an error the caller truncates to `row`;
    /// after a type fault the cursor is past the object.
    pub fn append(
        &mut self,
        cursor: &mut Cursor<'_>,
        depth: usize,
        row: usize,
    ) -> Result<(), Fault> {
        self.faults.clear();
        let start = cursor.at;
        let seen = self.read_fields(cursor, depth, row)?;
        if seen < self.columns.len() {
            for member in self.columns.iter_mut().filter(|m| m.column.len() == row) {
                member.column.push_null();
            }
        }
        if let Some((_, fault)) = self.faults.drain(..).min_by_key(|(index, _)| *index) {
            return Err(fault);
        }
        match self
            .columns
            .iter()
            .find(|m| m.not_null && m.column.is_null(row))
        {
            Some(member) => Err(
                mismatch(start, "NULL or missing, but it is NOT NULL".into()).within(&member.name),
            ),
            None => Ok(()),
        }
    }

    /// How many columns had a field.
    fn read_fields(
        &mut self,
        cursor: &mut Cursor<'_>,
        depth: usize,
        row: usize,
    ) -> Result<usize, Fault> {
        cursor.enter(depth)?;
        if cursor.next_token()? == b'}' {
            cursor.at += 1;
            return Ok(0);
        }
        let (mut seen, mut before) = (0, None);
        loop {
            let at = cursor.at;
            let name = self.read_name(cursor, before)?;
            if let Some(known) = self.strangers
                && name.is_none_or(|index| index >= known)
            {
                self.refuse(cursor, at);
            }
            cursor.expect(b':', "expected a colon")?;
            match name.filter(|index| *index < self.columns.len()) {
                Some(index) => seen += usize::from(self.read_column(cursor, depth, row, index)?),
                None => cursor.skip_value(depth + 1)?,
            }
            before = name.or(before);
            if !cursor.another(b'}', "expected a comma or the end of the object")? {
                return Ok(seen);
            }
        }
    }

    /// The cursor is past the name, which began at `at` or behind blanks there.
    fn refuse(&mut self, cursor: &Cursor<'_>, at: usize) {
        let name = String::from_utf8_lossy(&cursor.text[at..cursor.at]);
        let name = name.trim_ascii().trim_matches('"').to_owned();
        let fault = mismatch(at, "it is no column, and unknown fields are refused".into());
        self.faults.push((usize::MAX, fault.within(&name)));
    }

    /// Index in `names`, or `None` for a stranger that is not remembered.
    #[inline]
    fn read_name(
        &mut self,
        cursor: &mut Cursor<'_>,
        before: Option<usize>,
    ) -> Result<Option<usize>, Fault> {
        if cursor.next_token()? != b'"' {
            return Err(syntax(cursor.at, "expected a field name"));
        }
        let guess = before.map_or(self.first, |index| self.names[index].next);
        if let Some(name) = self.names.get(guess)
            && cursor.take(&name.quoted)
        {
            return Ok(Some(guess));
        }
        let found = self.find_name(cursor.string()?)?;
        if let Some(index) = found {
            match before {
                Some(before) => self.names[before].next = index,
                None => self.first = index,
            }
        }
        Ok(found)
    }

    fn find_name(&mut self, text: Text<'_>) -> Result<Option<usize>, Fault> {
        if text.escaped {
            let mut name = Vec::new();
            text.unescape(&mut name)?;
            return Ok(self.by_name.get(name.as_slice()).copied());
        }
        let found = self.by_name.get(text.raw).copied();
        let room = self.names.len() < self.columns.len() + STRANGERS_MAX
            && text.raw.len() <= STRANGER_BYTES_MAX;
        Ok(found.or_else(|| room.then(|| self.remember(text.raw))))
    }

    /// Whether it was the first value for the column in this row.
    #[inline]
    fn read_column(
        &mut self,
        cursor: &mut Cursor<'_>,
        depth: usize,
        row: usize,
        index: usize,
    ) -> Result<bool, Fault> {
        let member = &mut self.columns[index];
        let first = member.column.len() == row;
        if !first {
            member.column.truncate(row);
            self.faults.retain(|(faulty, _)| *faulty != index);
        }
        cursor.skip_space();
        let start = cursor.at;
        if let Err(fault) = member.column.append(cursor, depth + 1) {
            if fault.is_syntax() {
                return Err(fault);
            }
            // Whatever is wrong with it as a value, it still has to be JSON.
            cursor.at = start;
            cursor.skip_value(depth + 1)?;
            member.column.truncate(row);
            member.column.push_null();
            self.faults.push((index, fault.within(&member.name)));
        }
        Ok(first)
    }

    pub fn push_nulls(&mut self) {
        self.columns.iter_mut().for_each(|m| m.column.push_null());
    }

    pub fn truncate(&mut self, rows: usize) {
        self.columns
            .iter_mut()
            .for_each(|m| m.column.truncate(rows));
    }

    pub fn finish(&mut self) -> Result<Vec<ArrayRef>, ArrowError> {
        self.columns.iter_mut().map(|m| m.column.finish()).collect()
    }
}
