//! headwater-views
