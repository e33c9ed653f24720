//! JSON in and out. Reading order: `scan` and `number` (tokens), `column`, `unread`, `value`, `object` and `nested` (into Arrow),
//! `decode`; `encode` goes the other way.

mod column;
mod decode;
mod encode;
mod fault;
mod nested;
mod number;
mod object;
mod scan;
mod unread;
mod value;
mod write;

#[cfg(test)]
mod encode_tests;
#[cfg(test)]
mod tests;

pub use column::JSON;
pub use decode::JsonDecoder;
pub(crate) use encode::millis;
pub use encode::{BoundRows, JsonEncoder};

/// Whether `text` is exactly one JSON number.
pub(crate) fn is_number(text: &[u8]) -> bool {
    number::Number::scan(text).is_ok_and(|(_, len)| len == text.len())
}

/// Whether `text` is exactly one JSON string.
pub(crate) fn is_string(text: &[u8]) -> bool {
    let mut cursor = scan::Cursor::new(text);
    text.first() == Some(&b'"')
        && cursor.string().is_ok_and(|s| s.check().is_ok())
        && cursor.at == text.len()
}
