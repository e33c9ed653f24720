//! Values that are text: one line of CSV a record, or one bare value.
//!
//! A field's text becomes the JSON value of its column's type, so that all formats take the same texts and say the same of others.

mod encode;

use datafusion::arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef};
use datafusion::arrow::record_batch::RecordBatch;

use crate::error::{DecodeError, FormatError};
use crate::format::{Decoder, Encoder, Format, Settings};
use crate::json::{JsonDecoder, is_number};

/// `format = 'csv'`: the columns in the order of declaration.
pub struct Csv;
/// `format = 'text'`: one column, of any plain type, from its text.
pub struct Plain;
/// `format = 'raw'`: one column, TEXT or BYTEA, as it is.
pub struct Raw;

impl Format for Csv {
    fn name(&self) -> &'static str {
        "csv"
    }

    fn decoder(
        &self,
        schema: SchemaRef,
        settings: &Settings,
        _read: Option<&Schema>,
    ) -> Result<Box<dyn Decoder>, FormatError> {
        plain_types(&schema, "csv")?;
        Ok(Box::new(CsvDecoder {
            inner: Fields::new(schema)?,
            signs: Signs::of(settings),
            header: settings.option("header") == Some("true"),
            fields: Vec::new(),
        }))
    }

    fn encoder(
        &self,
        schema: &Schema,
        columns: &[usize],
        settings: &Settings,
    ) -> Result<Box<dyn Encoder>, FormatError> {
        encode::csv(schema, columns, settings)
    }
}

/// What a line of CSV is cut by.
struct Signs {
    delimiter: char,
    quote: char,
    /// An unquoted field of this text is NULL.
    null: String,
}

impl Signs {
    fn of(settings: &Settings) -> Self {
        let sign = |name: &str, default: char| {
            settings
                .option(name)
                .and_then(|v| v.chars().next())
                .unwrap_or(default)
        };
        Self {
            delimiter: match settings.option("delimiter") {
                Some("tab" | "\\t") => '\t',
                _ => sign("delimiter", ','),
            },
            quote: sign("quote", '"'),
            null: settings.option("null").unwrap_or("").to_owned(),
        }
    }
}

impl Format for Plain {
    fn name(&self) -> &'static str {
        "text"
    }

    fn decoder(
        &self,
        schema: SchemaRef,
        _settings: &Settings,
        _read: Option<&Schema>,
    ) -> Result<Box<dyn Decoder>, FormatError> {
        plain_types(&schema, "text")?;
        one_column(schema.fields().len(), "text")?;
        Ok(Box::new(OneDecoder {
            inner: Fields::new(schema)?,
        }))
    }

    fn encoder(
        &self,
        schema: &Schema,
        columns: &[usize],
        _settings: &Settings,
    ) -> Result<Box<dyn Encoder>, FormatError> {
        encode::plain(schema, columns)
    }
}

impl Format for Raw {
    fn name(&self) -> &'static str {
        "raw"
    }

    fn decoder(
        &self,
        schema: SchemaRef,
        _settings: &Settings,
        _read: Option<&Schema>,
    ) -> Result<Box<dyn Decoder>, FormatError> {
        one_column(schema.fields().len(), "raw")?;
        match schema.field(0).data_type() {
            DataType::Utf8 | DataType::Binary => Ok(Box::new(OneDecoder {
                inner: Fields::new(schema)?,
            })),
            other => Err(column(schema.field(0).name(), other, "raw")),
        }
    }

    fn encoder(
        &self,
        schema: &Schema,
        columns: &[usize],
        _settings: &Settings,
    ) -> Result<Box<dyn Encoder>, FormatError> {
        encode::raw(schema, columns)
    }
}

fn column(name: &str, data_type: &DataType, format: &'static str) -> FormatError {
    FormatError::Column {
        column: name.to_owned(),
        data_type: crate::types::sql_name(data_type),
        format,
    }
}

fn plain_types(schema: &SchemaRef, format: &'static str) -> Result<(), FormatError> {
    let nested = schema
        .fields()
        .iter()
        .find(|f| matches!(f.data_type(), DataType::Struct(_) | DataType::List(_)));
    nested.map_or(Ok(()), |f| Err(column(f.name(), f.data_type(), format)))
}

fn one_column(columns: usize, format: &'static str) -> Result<(), FormatError> {
    match columns {
        1 => Ok(()),
        found => Err(FormatError::Columns {
            format,
            wanted: 1,
            found,
        }),
    }
}

/// Texts into columns, by way of a JSON object.
struct Fields {
    schema: SchemaRef,
    json: JsonDecoder,
    scratch: Vec<u8>,
}

impl Fields {
    fn new(schema: SchemaRef) -> Result<Self, FormatError> {
        Ok(Self {
            json: JsonDecoder::new(schema.clone())?,
            schema,
            scratch: Vec::new(),
        })
    }

    /// `None` is NULL.
    fn push<'a>(
        &mut self,
        texts: impl Iterator<Item = Option<&'a str>>,
    ) -> Result<(), DecodeError> {
        self.scratch.clear();
        self.scratch.push(b'{');
        for (index, (field, text)) in self.schema.fields().iter().zip(texts).enumerate() {
            if index > 0 {
                self.scratch.push(b',');
            }
            quote(field.name(), &mut self.scratch);
            self.scratch.push(b':');
            match text {
                Some(text) => value(field, text, &mut self.scratch),
                None => self.scratch.extend_from_slice(b"null"),
            }
        }
        self.scratch.push(b'}');
        self.json.push(&self.scratch)
    }
}

fn value(field: &FieldRef, text: &str, out: &mut Vec<u8>) {
    let trimmed = text.trim();
    if field.metadata().contains_key(crate::json::JSON) {
        let json = serde_json::from_str::<serde::de::IgnoredAny>(trimmed).is_ok();
        return if json {
            out.extend_from_slice(trimmed.as_bytes())
        } else {
            quote(text, out)
        };
    }
    match field.data_type() {
        DataType::Utf8 => quote(text, out),
        DataType::Boolean => match trimmed.to_ascii_lowercase().as_str() {
            "true" | "t" | "1" | "yes" => out.extend_from_slice(b"true"),
            "false" | "f" | "0" | "no" => out.extend_from_slice(b"false"),
            _ => quote(trimmed, out),
        },
        DataType::Binary => {
            use base64::Engine as _;
            let encoded = base64::engine::general_purpose::STANDARD.encode(text);
            quote(&encoded, out);
        }
        _ if is_number(trimmed.as_bytes()) => out.extend_from_slice(trimmed.as_bytes()),
        _ => quote(trimmed, out),
    }
}

fn quote(text: &str, out: &mut Vec<u8>) {
    // Writing into memory cannot fail.
    let _ = serde_json::to_writer(out, text);
}

struct OneDecoder {
    inner: Fields,
}

impl Decoder for OneDecoder {
    fn push(&mut self, value: &[u8]) -> Result<(), DecodeError> {
        if self.inner.schema.field(0).data_type() == &DataType::Binary {
            // Bytes that are no text go by way of base64 too.
            use base64::Engine as _;
            self.inner.scratch.clear();
            self.inner.scratch.push(b'{');
            quote(self.inner.schema.field(0).name(), &mut self.inner.scratch);
            self.inner.scratch.push(b':');
            quote(
                &base64::engine::general_purpose::STANDARD.encode(value),
                &mut self.inner.scratch,
            );
            self.inner.scratch.push(b'}');
            return self.inner.json.push(&self.inner.scratch);
        }
        let text = utf8(value)?;
        self.inner.push(std::iter::once(Some(text)))
    }

    fn rows(&self) -> usize {
        self.inner.json.rows()
    }

    fn truncate(&mut self, rows: usize) {
        self.inner.json.truncate(rows);
    }

    fn finish(&mut self) -> Result<RecordBatch, FormatError> {
        self.inner.json.finish()
    }
}

fn utf8(value: &[u8]) -> Result<&str, DecodeError> {
    std::str::from_utf8(value).map_err(|_| DecodeError::new("invalid UTF-8"))
}

struct CsvDecoder {
    inner: Fields,
    signs: Signs,
    /// A record that holds the names of the columns is no row.
    header: bool,
    fields: Vec<(String, bool)>,
}

impl CsvDecoder {
    /// Cuts a line into fields, each with whether it was quoted.
    fn split(&mut self, line: &str) -> Result<(), DecodeError> {
        self.fields.clear();
        let mut chars = line.chars().peekable();
        loop {
            let (mut field, mut quoted) = (String::new(), false);
            if chars.peek() == Some(&self.signs.quote) {
                quoted = true;
                chars.next();
                loop {
                    match chars.next() {
                        Some(c)
                            if c == self.signs.quote && chars.peek() == Some(&self.signs.quote) =>
                        {
                            chars.next();
                            field.push(c);
                        }
                        Some(c) if c == self.signs.quote => break,
                        Some(c) => field.push(c),
                        None => return Err(DecodeError::new("a quoted field has no end")),
                    }
                }
            }
            let mut ended = true;
            for c in chars.by_ref() {
                if c == self.signs.delimiter {
                    ended = false;
                    break;
                }
                field.push(c);
            }
            self.fields.push((field, quoted));
            if ended {
                return Ok(());
            }
        }
    }
}

impl Decoder for CsvDecoder {
    fn push(&mut self, value: &[u8]) -> Result<(), DecodeError> {
        let line = utf8(value)?.trim_end_matches(['\r', '\n']);
        self.split(line)?;
        let (found, wanted) = (self.fields.len(), self.inner.schema.fields().len());
        if found != wanted {
            return Err(DecodeError::new(format!(
                "expected {wanted} fields, found {found}"
            )));
        }
        let names = self.inner.schema.fields().iter().map(|f| f.name());
        if self.header
            && names
                .zip(&self.fields)
                .all(|(name, (field, _))| name.eq_ignore_ascii_case(field))
        {
            // No row, and nothing wrong either.
            return Ok(());
        }
        let null = self.signs.null.as_str();
        let texts = self
            .fields
            .iter()
            .map(|(text, quoted)| (*quoted || text != null).then_some(text.as_str()));
        self.inner.push(texts)
    }

    fn rows(&self) -> usize {
        self.inner.json.rows()
    }

    fn truncate(&mut self, rows: usize) {
        self.inner.json.truncate(rows);
    }

    fn finish(&mut self) -> Result<RecordBatch, FormatError> {
        self.inner.json.finish()
    }
}
