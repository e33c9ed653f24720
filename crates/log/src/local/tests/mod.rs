//! The local log on real and on faulty disks.
#![allow(clippy::unwrap_used)]

mod basics;
mod by_hand;
mod crash;
mod faults;
mod format;
mod here;
mod recovery_fuzz;
mod upkeep;
