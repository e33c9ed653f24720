//! Tests of the store against plain models.
