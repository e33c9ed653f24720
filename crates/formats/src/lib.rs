//! Formats of record values: bytes in topics to Arrow rows and back. JSON now; others behind the same trait.
//!
//! Knows nothing of logs, offsets or pipelines: a value that does not decode is an error with a message, and what becomes
//! of it is the caller's business.

pub mod error;
pub mod format;
pub mod infer;
pub mod record;
pub mod table;
mod text;
pub mod time;
pub mod types;
pub mod versions;
pub mod write;

pub mod json;

pub use error::{DecodeError, FormatError};
pub use format::{Decoder, EncodedRows, Encoder, Format, Settings, by_name};
pub use json::{BoundRows, JsonDecoder, JsonEncoder};
pub use table::{TableBatch, TableDecoder, TableLayout};
pub use types::sql_name;
pub use versions::VersionsDecoder;
