//! Alerts: which conditions hold (`state`, part of the pipeline), the durable log of their transitions (`log`), and telling
//! people (`runner`, with the `Notifier` that is handed in).

pub mod log;
pub mod notify;
pub mod runner;
pub mod state;

pub use notify::{Notifier, NotifyError};
pub use state::{AlertEvent, AlertPhase};
