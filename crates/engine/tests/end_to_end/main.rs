//! The engine from records to rows, on a log in memory that can crash.
#![allow(clippy::unwrap_used)]

mod alerts;
mod crash;
mod harness;
mod input;
mod law;
mod lookup;
mod outside;
mod records;
mod statements;
mod time;
