//! Tests of the fetch sessions: epochs, news, order, eviction.
#![allow(clippy::unwrap_used)]

use super::*;

fn item(partition: i32, offset: i64) -> FetchItem {
    FetchItem {
        topic: TopicRef::Name("t".to_owned()),
        partition,
        offset,
        max_bytes: 1,
        leader_epoch: -1,
    }
}

fn request(session_id: i32, epoch: i32, items: Vec<FetchItem>) -> Request {
    Request {
        session_id,
        epoch,
        by_id: false,
        items,
        forgotten: Vec::new(),
    }
}

fn data(partition: i32, high_watermark: i64, error_code: i16) -> PartitionData {
    PartitionData {
        partition_index: partition,
        high_watermark,
        log_start_offset: 0,
        error_code,
        ..Default::default()
    }
}

fn partitions(context: &Context) -> Vec<i32> {
    context.items.iter().map(|item| item.partition).collect()
}

fn begin(sessions: &FetchSessions, items: Vec<FetchItem>, now_ms: i64, id: i32) -> Context {
    let request = request(NO_SESSION, INITIAL_EPOCH, items);
    sessions.open(request, now_ms, || id).ok().unwrap()
}

#[test]
fn a_session_goes_on_from_epoch_to_epoch_and_knows_what_was_not_named_again() {
    let sessions = FetchSessions::default();
    let first = begin(&sessions, vec![item(0, 0), item(1, 0)], 0, 7);
    assert!(!first.incremental);
    assert_eq!(first.session.unwrap().lock().id, 7);
    let mut second = request(7, 1, vec![item(1, 5), item(2, 0)]);
    second.forgotten.push((TopicRef::Name("t".to_owned()), 0));
    let second = sessions.open(second, 0, || 8).ok().unwrap();
    assert!(second.incremental);
    assert_eq!(partitions(&second), [1, 2]);
    assert_eq!(second.items[0].offset, 5);
    let third = sessions.open(request(7, 2, Vec::new()), 0, || 8);
    assert_eq!(partitions(&third.ok().unwrap()), [1, 2]);
}

#[test]
fn wrong_ids_epochs_and_ways_of_naming_are_told_apart() {
    let sessions = FetchSessions::default();
    begin(&sessions, vec![item(0, 0)], 0, 7);
    let code = |request| sessions.open(request, 0, || 9).err();
    assert_eq!(
        code(request(6, 1, Vec::new())),
        Some(ErrorCode::FetchSessionIdNotFound)
    );
    for epoch in [2, 3, i32::MIN] {
        assert_eq!(
            code(request(7, epoch, Vec::new())),
            Some(ErrorCode::InvalidFetchSessionEpoch)
        );
    }
    let mut by_id = request(7, 1, Vec::new());
    by_id.by_id = true;
    assert_eq!(code(by_id), Some(ErrorCode::FetchSessionTopicIdError));
    // None of them took the session with it.
    assert_eq!(code(request(7, 1, Vec::new())), None);
    // A final request does.
    assert_eq!(code(request(7, FINAL_EPOCH, Vec::new())), None);
    assert_eq!(
        code(request(7, 2, Vec::new())),
        Some(ErrorCode::FetchSessionIdNotFound)
    );
}

#[test]
fn only_news_is_told_and_who_gave_records_goes_to_the_back() {
    let sessions = FetchSessions::default();
    let first = begin(&sessions, vec![item(0, 0), item(1, 0), item(2, 0)], 0, 7);
    let session = first.session.unwrap();
    let topic = TopicRef::Name("t".to_owned());
    let tell = |data: PartitionData, has_records| session.lock().tell(&topic, &data, has_records);
    assert!(tell(data(0, 10, 0), true));
    assert!(tell(data(1, 0, 0), false), "never told before");
    assert!(!tell(data(1, 0, 0), false));
    assert!(tell(data(1, 3, 0), false), "a new high watermark");
    assert!(tell(data(2, -1, 3), false));
    assert!(tell(data(2, -1, 3), false), "errors are told again");
    assert!(tell(data(2, 0, 0), false), "and that they are gone");
    let next = sessions
        .open(request(7, 1, Vec::new()), 0, || 8)
        .ok()
        .unwrap();
    assert_eq!(partitions(&next), [1, 2, 0]);
}

#[test]
fn a_session_without_partitions_ends() {
    let sessions = FetchSessions::default();
    assert!(begin(&sessions, Vec::new(), 0, 7).session.is_none());
    begin(&sessions, vec![item(0, 0)], 0, 7);
    let mut last = request(7, 1, Vec::new());
    last.forgotten.push((TopicRef::Name("t".to_owned()), 0));
    let last = sessions.open(last, 0, || 8).ok().unwrap();
    assert!(last.session.is_none() && last.items.is_empty());
    assert_eq!(sessions.0.lock().slots.len(), 0);
    assert_eq!(sessions.0.lock().partitions, 0);
}

#[test]
fn the_cache_is_bounded_and_gives_room_to_stale_and_to_larger() {
    let sessions = FetchSessions::default();
    for id in 1..=SESSIONS_MAX as i32 {
        assert!(begin(&sessions, vec![item(0, 0)], 0, id).session.is_some());
    }
    let late = || begin(&sessions, vec![item(0, 0)], SAFE_MS, 5_000);
    assert!(late().session.is_none(), "all are safe");
    let used = sessions.open(request(1, 1, Vec::new()), SAFE_MS, || 0);
    assert!(used.is_ok());
    // Number 2 has been silent for too long; after it the old and small.
    for (id, gone) in [(5_000, 2), (5_001, 3)] {
        let made = begin(&sessions, vec![item(0, 0), item(1, 0)], SAFE_MS + 1, id);
        assert!(made.session.is_some());
        let lost = sessions.open(request(gone, 1, Vec::new()), SAFE_MS + 1, || 0);
        assert_eq!(lost.err(), Some(ErrorCode::FetchSessionIdNotFound));
    }
    assert_eq!(sessions.0.lock().slots.len(), SESSIONS_MAX);
}

#[test]
fn epochs_wrap_to_one() {
    assert_eq!(after(i32::MAX), 1);
    assert_eq!(after(INITIAL_EPOCH), 1);
}
