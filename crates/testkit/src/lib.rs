//! Help for tests of several crates: real servers started for one test and ended with it. Only ever a dev-dependency.

pub mod postgres;
pub mod tls;

pub use postgres::Postgres;
