//! headwater-cli
