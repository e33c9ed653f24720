//! headwater-edge-http
