//! How a record is printed: as JSON, or by a template.

use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::client::Record;

/// What `--format` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordFormat {
    /// One object a line; what is not text is in `key_base64` and `value_base64`.
    Json,
    Template(Vec<Piece>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    Text(String),
    Key,
    Value,
    Offset,
    Partition,
    Timestamp,
    Topic,
    Headers,
}

impl RecordFormat {
    /// # Errors
    /// An unknown `%` directive, or one cut short.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "json" {
            return Ok(Self::Json);
        }
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut chars = text.chars();
        while let Some(char) = chars.next() {
            match char {
                '%' => match directive(chars.next())? {
                    Piece::Text(text) => plain.push_str(&text),
                    piece => {
                        pieces.extend(
                            (!plain.is_empty()).then(|| Piece::Text(std::mem::take(&mut plain))),
                        );
                        pieces.push(piece);
                    }
                },
                '\\' => plain.push(escape(chars.next())),
                other => plain.push(other),
            }
        }
        pieces.extend((!plain.is_empty()).then_some(Piece::Text(plain)));
        Ok(Self::Template(pieces))
    }

    /// Writes one record and the end of its line.
    ///
    /// # Errors
    /// The output's.
    pub fn write(
        &self,
        out: &mut impl Write,
        topic: &str,
        partition: i32,
        record: &Record,
    ) -> io::Result<()> {
        match self {
            Self::Json => writeln!(out, "{}", object(topic, partition, record)),
            Self::Template(pieces) => {
                pieces
                    .iter()
                    .try_for_each(|piece| write_piece(out, piece, topic, partition, record))?;
                out.write_all(b"\n")
            }
        }
    }
}

fn directive(letter: Option<char>) -> Result<Piece, String> {
    Ok(match letter {
        Some('k') => Piece::Key,
        Some('v') => Piece::Value,
        Some('o') => Piece::Offset,
        Some('p') => Piece::Partition,
        Some('t') => Piece::Timestamp,
        Some('T') => Piece::Topic,
        Some('h') => Piece::Headers,
        Some('%') => Piece::Text("%".to_owned()),
        Some(other) => {
            return Err(format!(
                "unknown %{other}: there are %k %v %o %p %t %T %h %%"
            ));
        }
        None => return Err("a % at the end: write %% for a percent sign".to_owned()),
    })
}

fn escape(letter: Option<char>) -> char {
    match letter {
        Some('n') => '\n',
        Some('t') => '\t',
        Some('0') => '\0',
        Some(other) => other,
        None => '\\',
    }
}

fn write_piece(
    out: &mut impl Write,
    piece: &Piece,
    topic: &str,
    partition: i32,
    record: &Record,
) -> io::Result<()> {
    match piece {
        Piece::Text(text) => out.write_all(text.as_bytes()),
        Piece::Key => out.write_all(record.key.as_deref().unwrap_or_default()),
        Piece::Value => out.write_all(record.value.as_deref().unwrap_or_default()),
        Piece::Offset => write!(out, "{}", record.offset),
        Piece::Partition => write!(out, "{partition}"),
        Piece::Timestamp => write!(out, "{}", record.timestamp),
        Piece::Topic => out.write_all(topic.as_bytes()),
        Piece::Headers => {
            for (at, header) in record.headers.iter().enumerate() {
                out.write_all(if at == 0 { b"" } else { b"," })?;
                out.write_all(&header.key)?;
                out.write_all(b"=")?;
                out.write_all(header.value.as_deref().unwrap_or_default())?;
            }
            Ok(())
        }
    }
}

fn object(topic: &str, partition: i32, record: &Record) -> Value {
    let mut fields = Map::new();
    fields.insert("topic".to_owned(), json!(topic));
    fields.insert("partition".to_owned(), json!(partition));
    fields.insert("offset".to_owned(), json!(record.offset));
    fields.insert("timestamp".to_owned(), json!(record.timestamp));
    put(&mut fields, "key", record.key.as_deref());
    put(&mut fields, "value", record.value.as_deref());
    if !record.headers.is_empty() {
        let header = |header: &headwater_record::Header| {
            let value = header
                .value
                .as_deref()
                .map(|bytes| String::from_utf8_lossy(bytes).into_owned());
            (
                String::from_utf8_lossy(&header.key).into_owned(),
                json!(value),
            )
        };
        fields.insert(
            "headers".to_owned(),
            Value::Object(record.headers.iter().map(header).collect()),
        );
    }
    Value::Object(fields)
}

/// Text under its name, other bytes as base64 under a name that says so.
fn put(fields: &mut Map<String, Value>, name: &str, bytes: Option<&[u8]>) {
    match bytes.map(|bytes| (bytes, std::str::from_utf8(bytes))) {
        None => fields.insert(name.to_owned(), Value::Null),
        Some((_, Ok(text))) => fields.insert(name.to_owned(), json!(text)),
        Some((bytes, Err(_))) => {
            fields.insert(format!("{name}_base64"), json!(STANDARD.encode(bytes)))
        }
    };
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use bytes::Bytes;
    use headwater_record::Header;

    fn shown(format: &str) -> String {
        let record = Record {
            offset: 7,
            timestamp: 1_700,
            key: Some(Bytes::from_static(b"k")),
            value: Some(Bytes::from_static(b"v")),
            headers: vec![Header {
                key: Bytes::from_static(b"h"),
                value: Some(Bytes::from_static(b"x")),
            }],
        };
        let mut out = Vec::new();
        RecordFormat::parse(format)
            .unwrap()
            .write(&mut out, "t", 3, &record)
            .unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn templates() {
        assert_eq!(shown("%v"), "v\n");
        assert_eq!(
            shown("%k\\t%v %o@%p %t %T %h 100%%"),
            "k\tv 7@3 1700 t h=x 100%\n"
        );
        assert!(RecordFormat::parse("%q").is_err() && RecordFormat::parse("50%").is_err());
    }

    #[test]
    fn json_keeps_what_is_not_text() {
        assert_eq!(
            shown("json"),
            "{\"topic\":\"t\",\"partition\":3,\"offset\":7,\"timestamp\":1700,\"key\":\"k\",\"value\":\"v\",\"headers\":{\"h\":\"x\"}}\n"
        );
        let record = Record {
            offset: 0,
            timestamp: 0,
            key: None,
            value: Some(Bytes::from_static(&[0, 255])),
            headers: vec![],
        };
        let object = object("t", 0, &record);
        assert_eq!(
            (&object["key"], &object["value_base64"]),
            (&Value::Null, &json!("AP8="))
        );
    }
}
