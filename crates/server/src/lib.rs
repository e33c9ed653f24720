//! headwater-server
