//! headwater-edge-kafka
