//! Transactions: the home of `coord`'s state machines of transactional ids. Writes what they decide, and ends transactions.
//!
//! The end of a transaction is one append: all markers, the offsets of its groups, what was aborted, and the new state. Only in a
//! log of several shards does it take three: the decision, then the markers, then that they are written.
//!
//! Locks are taken in this order: catalog, transactional ids, committed offsets, producers of partitions (in their order).
//!
//! Reading order: [`store`] is what is kept, [`init`] and [`add`] begin a transaction, [`end`] and [`finish`] end it, [`offsets`]
//! are the offsets in it, [`aborted`] what readers leave out, [`markers`] ends by hand, [`tick`] by time, [`describe`] shows.

mod aborted;
mod add;
mod codec;
mod describe;
mod end;
mod finish;
mod init;
mod markers;
mod offsets;
mod store;
mod tick;

pub(crate) use aborted::{AbortedReplay, AbortedStore};
pub use add::Writer;
pub use describe::{TxnFilter, TxnListing, TxnView};
pub use markers::Marker;
pub use offsets::{OffsetsRefused, TxnOffsets};
pub(crate) use store::TxnStore;
