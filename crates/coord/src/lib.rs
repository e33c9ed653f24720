//! headwater-coord
