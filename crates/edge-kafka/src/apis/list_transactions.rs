//! ListTransactions, v0-2.
//!
//! v1 filters by how long a transaction has been running (KIP-994); v2 by a pattern of the transactional id (KIP-1152).

use headwater_broker::{Operation, TxnFilter, TxnListing};
use headwater_coord::txns::State;
use headwater_wire::messages::list_transactions_response::TransactionState;
use headwater_wire::messages::{ListTransactionsRequestData, ListTransactionsResponseData};
use headwater_wire::{ErrorCode, Versions};
use regex::{Regex, RegexBuilder};

use crate::authorize::Resource;
use crate::call::{Call, Handle, text};

/// Most memory of a client's pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 1024 * 1024;

impl Handle for ListTransactionsRequestData {
    const VERSIONS: Versions = Versions::new(0, 2);

    async fn answer(self, call: Call) -> ListTransactionsResponseData {
        let pattern = self.transactional_id_pattern.as_ref();
        let pattern = pattern.filter(|pattern| !pattern.as_str().is_empty());
        let Ok(pattern) = pattern.map(|one| whole(one.as_str())).transpose() else {
            return ListTransactionsResponseData {
                error_code: ErrorCode::InvalidRegularExpression.code(),
                ..Default::default()
            };
        };
        let (known, unknown): (Vec<_>, Vec<_>) = self
            .state_filters
            .into_iter()
            .partition(|name| State::from_name(name.as_str()).is_some());
        let states: Vec<State> = known
            .iter()
            .filter_map(|name| State::from_name(name.as_str()))
            .collect();
        // Who asks for nothing but states that do not exist gets nothing.
        let listed = match states.is_empty() && !unknown.is_empty() {
            true => Vec::new(),
            false => call.broker().list_txns(&TxnFilter {
                states,
                producer_ids: self.producer_id_filters,
                longer_than_ms: Some(self.duration_filter).filter(|least| *least >= 0),
            }),
        };
        let wanted = |listing: &TxnListing| {
            pattern.as_ref().is_none_or(|one| one.is_match(&listing.id))
                && call.may(Operation::Describe, Resource::TransactionalId(&listing.id))
        };
        ListTransactionsResponseData {
            unknown_state_filters: unknown,
            transaction_states: listed.into_iter().filter(wanted).map(state).collect(),
            ..Default::default()
        }
    }
}

/// A pattern that has to match the whole id.
fn whole(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(&format!("^(?:{pattern})$"))
        .size_limit(PATTERN_BYTES_MAX)
        .build()
}

fn state(listing: TxnListing) -> TransactionState {
    TransactionState {
        transactional_id: text(listing.id),
        producer_id: listing.producer_id,
        transaction_state: text(listing.state.name()),
        ..Default::default()
    }
}
