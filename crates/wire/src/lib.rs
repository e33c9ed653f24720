//! headwater-wire
