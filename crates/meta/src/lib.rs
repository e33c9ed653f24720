//! headwater-meta
