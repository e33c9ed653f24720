//! Bytes of a record as the page can show them: JSON, text, or base64. Guessed from the bytes alone.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::limits::PAYLOAD_BYTES_MAX;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PayloadFormat {
    /// `data` is JSON text, as it was written.
    Json,
    /// `data` is the text.
    Text,
    /// `data` is base64 (RFC 4648, with padding) of the bytes.
    Base64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload {
    pub format: PayloadFormat,
    pub data: String,
    /// Bytes of the whole, shown or not.
    pub size: u64,
    /// `data` is only its first [`PAYLOAD_BYTES_MAX`] bytes.
    pub truncated: bool,
}

impl Payload {
    pub fn decode(bytes: &[u8]) -> Self {
        let size = bytes.len() as u64;
        let shown = &bytes[..bytes.len().min(PAYLOAD_BYTES_MAX)];
        let truncated = shown.len() < bytes.len();
        let (format, data) = match as_text(shown, truncated) {
            Some(text) if !truncated && is_json(text) => (PayloadFormat::Json, text.to_owned()),
            Some(text) => (PayloadFormat::Text, text.to_owned()),
            None => (PayloadFormat::Base64, STANDARD.encode(shown)),
        };
        Self {
            format,
            data,
            size,
            truncated,
        }
    }
}

/// UTF-8 without control characters other than white space. A cut through a character at the end is forgiven when the
/// cut is ours.
fn as_text(bytes: &[u8], cut: bool) -> Option<&str> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(e) if cut && e.error_len().is_none() => {
            std::str::from_utf8(&bytes[..e.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    let printable = |c: char| !c.is_control() || matches!(c, '\n' | '\r' | '\t');
    text.chars().all(printable).then_some(text)
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn decoded(bytes: &[u8]) -> (PayloadFormat, String) {
        let payload = Payload::decode(bytes);
        (payload.format, payload.data)
    }

    #[test]
    fn tells_json_text_and_bytes_apart() {
        assert_eq!(
            decoded(br#"{"a": 1.50}"#),
            (PayloadFormat::Json, r#"{"a": 1.50}"#.into())
        );
        assert_eq!(decoded(b"12"), (PayloadFormat::Json, "12".into()));
        assert_eq!(
            decoded("Übung\n".as_bytes()),
            (PayloadFormat::Text, "Übung\n".into())
        );
        assert_eq!(decoded(b""), (PayloadFormat::Text, String::new()));
        assert_eq!(
            decoded(b"\x00\x01\xff"),
            (PayloadFormat::Base64, "AAH/".into())
        );
    }

    #[test]
    fn long_values_are_cut_between_characters() {
        let long = "ä".repeat(PAYLOAD_BYTES_MAX);
        let payload = Payload::decode(&long.as_bytes()[..long.len() - 1]);
        assert!(payload.truncated);
        assert_eq!(payload.format, PayloadFormat::Text);
        assert_eq!(payload.size, long.len() as u64 - 1);
        let odd = [b"x".as_slice(), long.as_bytes()].concat();
        assert_eq!(Payload::decode(&odd).format, PayloadFormat::Text);
    }

    proptest! {
        #[test]
        fn any_bytes_decode(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let payload = Payload::decode(&bytes);
            prop_assert_eq!(payload.size, bytes.len() as u64);
            prop_assert!(!payload.truncated);
        }
    }
}
