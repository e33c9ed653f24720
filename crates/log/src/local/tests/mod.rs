//! The local log on real and on faulty disks.
#![allow(clippy::unwrap_used)]

mod basics;
mod crash;
mod faults;
mod recovery_fuzz;
