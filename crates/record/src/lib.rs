//! headwater-record
