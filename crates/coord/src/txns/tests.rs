//! The state machine by hand, and then random histories of several producers of one transactional id against what no history may
//! break: every transaction ends wholly one way, and who was fenced changes nothing.
#![allow(clippy::unwrap_used)]

mod law;

use headwater_base::{PartitionId, TopicId};

use super::*;

const TIMEOUT_MS: i32 = 60_000;

fn partition(index: i32) -> PartitionId {
    PartitionId {
        topic: TopicId([7; 16]),
        index,
    }
}

fn producer(id: i64, epoch: i16) -> Producer {
    Producer { id, epoch }
}

fn init(expected: Option<Producer>) -> Command {
    Command::Init {
        timeout_ms: TIMEOUT_MS,
        expected,
        fresh_id: None,
    }
}

fn add(by: Producer, bumps: bool) -> Command {
    Command::Add {
        by,
        partitions: vec![partition(0)],
        groups: Vec::new(),
        bumps,
    }
}

fn end(by: Producer, ending: Ending, bumps: bool) -> Command {
    Command::End {
        by,
        ending,
        bumps,
        fresh_id: None,
    }
}

/// A transactional id whose first producer is (5, 0).
fn begun() -> Txn {
    Txn::new(5, TIMEOUT_MS, 0).step(init(None), 0).unwrap().txn
}

fn after(txn: &Txn, command: Command) -> Txn {
    let step = txn.step(command, 1).unwrap();
    match step.effect {
        Effect::End(_) => step.txn.completed(1),
        Effect::Nothing | Effect::Keep => step.txn,
    }
}

fn refusal(txn: &Txn, command: Command) -> TxnError {
    txn.step(command, 1).unwrap_err()
}

#[test]
fn a_transaction_of_a_client_that_keeps_its_epoch() {
    let me = producer(5, 0);
    let txn = after(&begun(), add(me, false));
    assert_eq!((txn.state, txn.start_ms), (State::Ongoing, 1));
    assert_eq!(txn.verify(me, partition(0)), Ok(()));
    assert_eq!(
        txn.verify(me, partition(1)),
        Err(TxnError::TransactionAbortable)
    );
    assert_eq!(txn.step(add(me, false), 2).unwrap().effect, Effect::Nothing);
    let prepared = txn.step(end(me, Ending::Commit, false), 2).unwrap().txn;
    assert_eq!(
        (prepared.state, prepared.producer()),
        (State::PrepareCommit, me)
    );
    let again = end(me, Ending::Commit, false);
    assert_eq!(
        refusal(&prepared, again.clone()),
        TxnError::ConcurrentTransactions
    );
    assert_eq!(
        refusal(&prepared, end(me, Ending::Abort, false)),
        TxnError::InvalidTxnState
    );
    assert_eq!(
        refusal(&prepared, init(None)),
        TxnError::ConcurrentTransactions
    );
    let done = prepared.completed(3);
    assert_eq!((done.state, done.producer()), (State::CompleteCommit, me));
    assert!(done.partitions.is_empty());
    assert_eq!(done.step(again, 4).unwrap().effect, Effect::Nothing);
    assert_eq!(
        refusal(&done, end(me, Ending::Abort, false)),
        TxnError::InvalidTxnState
    );
}

#[test]
fn with_transactions_v2_every_end_bumps_the_epoch_and_may_be_asked_for_again() {
    let txn = after(&begun(), add(producer(5, 0), true));
    let done = after(&txn, end(producer(5, 0), Ending::Commit, true));
    assert_eq!(done.producer(), producer(5, 1));
    let again = done
        .step(end(producer(5, 0), Ending::Commit, true), 2)
        .unwrap();
    assert_eq!(
        (again.effect, again.txn.producer()),
        (Effect::Nothing, producer(5, 1))
    );
    assert_eq!(
        refusal(&done, end(producer(5, 0), Ending::Abort, true)),
        TxnError::InvalidTxnState
    );
    assert_eq!(
        refusal(&done, end(producer(5, 1), Ending::Commit, true)),
        TxnError::InvalidTxnState
    );
    let empty = after(&done, end(producer(5, 1), Ending::Abort, true));
    assert_eq!(
        (empty.state, empty.producer()),
        (State::CompleteAbort, producer(5, 2))
    );
    assert_eq!(
        refusal(&empty, add(producer(5, 1), true)),
        TxnError::ProducerFenced
    );
}

#[test]
fn the_last_epoch_is_followed_by_a_new_producer_id() {
    let mut txn = begun();
    txn.epoch = i16::MAX - 1;
    let me = txn.producer();
    let txn = after(&txn, add(me, true));
    let end = |fresh_id| Command::End {
        by: me,
        ending: Ending::Commit,
        bumps: true,
        fresh_id,
    };
    assert_eq!(refusal(&txn, end(None)), TxnError::NeedsProducerId);
    let prepared = txn.step(end(Some(9)), 2).unwrap().txn;
    assert_eq!(prepared.producer(), producer(5, i16::MAX), "of the markers");
    let done = prepared.completed(2);
    assert_eq!((done.producer(), done.previous_id), (producer(9, 0), 5));
    let again = done.step(end(Some(10)), 3).unwrap();
    assert_eq!(
        (again.effect, again.txn.producer()),
        (Effect::Nothing, producer(9, 0))
    );
    let mut txn = begun();
    txn.epoch = i16::MAX - 1;
    assert_eq!(refusal(&txn, init(None)), TxnError::NeedsProducerId);
}

#[test]
fn a_producer_that_timed_out_at_the_last_epoch_is_fenced() {
    let mut txn = begun();
    txn.epoch = i16::MAX - 1;
    let me = txn.producer();
    let txn = after(&txn, add(me, true));
    let step = txn.step(Command::Tick, 1_000_000).unwrap();
    assert_eq!(step.effect, Effect::End(Ending::Abort));
    let done = step.txn.completed(1_000_000);
    let again = Command::End {
        by: me,
        ending: Ending::Abort,
        bumps: true,
        fresh_id: None,
    };
    assert_eq!(refusal(&done, again), TxnError::ProducerFenced);
}

#[test]
fn a_new_producer_aborts_what_is_open_and_fences_the_old_one() {
    let txn = after(&begun(), add(producer(5, 0), false));
    let step = txn.step(init(None), 2).unwrap();
    assert_eq!(
        (step.effect, step.txn.epoch),
        (Effect::End(Ending::Abort), 1)
    );
    let txn = after(&step.txn.completed(2), init(None));
    assert_eq!((txn.state, txn.producer()), (State::Empty, producer(5, 2)));
    for old in [producer(5, 0), producer(5, 1)] {
        assert_eq!(refusal(&txn, add(old, false)), TxnError::ProducerFenced);
        assert_eq!(refusal(&txn, init(Some(old))), TxnError::ProducerFenced);
    }
    assert_eq!(
        refusal(&txn, add(producer(6, 2), false)),
        TxnError::InvalidProducerIdMapping
    );
}

#[test]
fn a_producer_goes_on_after_an_error_and_may_ask_twice() {
    let txn = begun();
    let next = after(&txn, init(Some(producer(5, 0))));
    assert_eq!(next.producer(), producer(5, 1));
    let again = after(&next, init(Some(producer(5, 0))));
    assert_eq!(again.producer(), producer(5, 1), "it missed the answer");
    let other = after(&again, init(None));
    assert_eq!(
        refusal(&other, init(Some(producer(5, 1)))),
        TxnError::ProducerFenced
    );
    let fresh = Txn::new(8, TIMEOUT_MS, 0);
    assert_eq!(
        after(&fresh, init(Some(producer(5, 3)))).producer(),
        producer(8, 0),
        "its transactional id was forgotten"
    );
}

#[test]
fn a_zombie_does_not_end_what_a_newer_one_has_open() {
    let newer = after(&begun(), init(None));
    let open = after(&newer, add(producer(5, 1), false));
    assert_eq!(
        refusal(&open, init(Some(producer(5, 0)))),
        TxnError::ProducerFenced
    );
}

#[test]
fn what_is_open_for_too_long_is_aborted_and_what_is_silent_forgotten() {
    let txn = after(&begun(), add(producer(5, 0), false));
    let limit_ms = 1 + i64::from(TIMEOUT_MS);
    assert_eq!(
        txn.step(Command::Tick, limit_ms).unwrap().effect,
        Effect::Nothing
    );
    let step = txn.step(Command::Tick, limit_ms + 1).unwrap();
    assert_eq!(step.effect, Effect::End(Ending::Abort));
    let done = step.txn.completed(limit_ms + 1);
    let late = end(producer(5, 0), Ending::Commit, false);
    assert_eq!(refusal(&done, late), TxnError::ProducerFenced);
    assert!(!txn.is_expired(0, i64::MAX), "it is open");
    assert!(done.is_expired(10, limit_ms + 11) && !done.is_expired(10, limit_ms + 10));
}
