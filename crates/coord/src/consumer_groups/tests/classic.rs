//! Classic members in a group of the consumer protocol, and the ways from one kind of group to the other.

use super::*;
use crate::consumer_protocol::{read_assignment, write_assignment};
use crate::groups::{
    self, Command, Group, GroupError, Join, Leaver, Protocol, Reply, Sync, Waiter,
};
use bytes::Bytes;

fn join(member: &str, owned: &[i32]) -> Join {
    // A subscription begins like an assignment: version, topics; here topic t, then no user data, then what is owned.
    let mut metadata = b"\0\x01\0\0\0\x01\0\x01t\xff\xff\xff\xff".to_vec();
    let places = match owned {
        [] => vec![],
        _ => vec![("t".to_owned(), owned.to_vec())],
    };
    let written = write_assignment(1, &places);
    metadata.extend_from_slice(&written[2..written.len() - 4]);
    Join {
        member_id: member.into(),
        fresh_member_id: "fresh".into(),
        instance_id: None,
        client_id: "c".into(),
        client_host: "/h".into(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 60_000,
        protocol_type: "consumer".into(),
        protocols: vec![Protocol {
            name: "cooperative-sticky".into(),
            metadata: metadata.into(),
        }],
        needs_known_id: true,
        can_skip_assignment: true,
    }
}

fn sync(member: &str, generation: i32) -> Sync {
    Sync {
        member_id: member.into(),
        instance_id: None,
        generation,
        protocol_type: None,
        protocol: None,
        assignments: Vec::new(),
    }
}

/// A classic group of one member that reads all of topic t.
fn classic(world: &World) -> Group {
    let mut group = Group::new(groups::Limits::default());
    let to = Waiter(1);
    let first = Join {
        needs_known_id: false,
        fresh_member_id: "old".into(),
        ..join("", &[])
    };
    group.step(Command::Join { to, join: first }, 0);
    let all: Vec<i32> = (0..world.topics["t"]).collect();
    let assignment = write_assignment(1, &[("t".to_owned(), all)]);
    let sync = Sync {
        assignments: vec![("old".into(), assignment)],
        ..sync("old", 1)
    };
    group.step(Command::Sync { to, sync }, 0);
    group
}

#[test]
fn a_classic_group_becomes_a_consumer_group_and_one_again() {
    let world = World::of(&[("t", 4)]);
    let context = world.at(0);
    let old = classic(&world);
    let mut group = ConsumerGroup::from_classic(&old, &context).unwrap();
    assert_eq!((group.epoch(), group.is_all_classic()), (1, true));
    let mut new = Client::new("new", &["t"]);
    new.beat(&mut group, &context).unwrap();
    assert_eq!((new.count(), group.epoch()), (0, 2));
    let beat = |generation| groups::Heartbeat {
        member_id: "old".into(),
        instance_id: None,
        generation,
    };
    let told = group.classic_heartbeat(&beat(1), &context);
    assert_eq!(told, Err(GroupError::RebalanceInProgress));
    // It joins with what it owns, is told to keep half, gives the rest up and joins again.
    let joined = group
        .classic_join(&join("old", &[0, 1, 2, 3]), &context)
        .unwrap();
    assert_eq!(
        (joined.epoch, joined.protocol.as_str()),
        (1, "cooperative-sticky")
    );
    let synced = group.classic_sync(&sync("old", 1), &context).unwrap();
    let kept = read_assignment(&synced.assignment)[0].1.clone();
    assert_eq!(kept.len(), 2);
    assert_eq!(
        group.classic_heartbeat(&beat(1), &context),
        Err(GroupError::RebalanceInProgress)
    );
    let joined = group.classic_join(&join("old", &kept), &context).unwrap();
    assert_eq!(joined.epoch, 2);
    group.classic_sync(&sync("old", 2), &context).unwrap();
    assert_eq!(group.classic_heartbeat(&beat(2), &context), Ok(()));
    new.beat(&mut group, &context).unwrap();
    assert_eq!((new.count(), group.state()), (2, GroupState::Stable));
    // The last member of the new kind goes.
    assert!(!group.is_all_classic());
    new.epoch = LEAVING;
    group.heartbeat(&new.request(), &context).unwrap();
    let mut back = group
        .to_classic(groups::Limits::default(), &context)
        .unwrap();
    assert_eq!(
        (back.generation(), back.state()),
        (3, groups::State::Stable)
    );
    back.rebalance(0);
    assert_eq!(back.state(), groups::State::PreparingRebalance);
    let to = Waiter(9);
    let again = back.step(
        Command::Join {
            to,
            join: join("old", &kept),
        },
        1,
    );
    assert!(matches!(&again[0].reply, Reply::Join(Ok(joined)) if joined.generation == 4));
}

#[test]
fn classic_members_are_checked_like_in_a_classic_group() {
    let world = World::of(&[("t", 2)]);
    let context = world.at(0);
    let mut group = ConsumerGroup::new();
    Client::new("new", &["t"])
        .beat(&mut group, &context)
        .unwrap();
    let unknown = group.classic_join(&join("", &[]), &context);
    assert_eq!(unknown.unwrap_err(), GroupError::MemberIdRequired);
    let mut other = join("m", &[]);
    other.protocol_type = "connect".into();
    assert_eq!(
        group.classic_join(&other, &context).unwrap_err(),
        GroupError::InconsistentProtocol
    );
    let joined = group.classic_join(&join("m", &[]), &context).unwrap();
    let stale = group.classic_sync(&sync("m", joined.epoch + 1), &context);
    assert_eq!(stale.unwrap_err(), GroupError::IllegalGeneration);
    let not_classic = group.classic_sync(&sync("new", 1), &context);
    assert_eq!(not_classic.unwrap_err(), GroupError::UnknownMemberId);
    // It never asks for its assignment.
    assert!(group.tick(&world.at(10_000)));
    assert!(!group.members().contains_key("m"));
    group
        .classic_join(&join("n", &[]), &world.at(10_000))
        .unwrap();
    let leaver = |id: &str| Leaver {
        member_id: id.into(),
        instance_id: None,
    };
    let outcomes = group.classic_leave(&[leaver("n"), leaver("n"), leaver("new")], &context);
    let outcomes: Vec<_> = outcomes.into_iter().map(|one| one.outcome).collect();
    // An administrator removes members of the consumer protocol, too.
    assert_eq!(outcomes, [Ok(()), Err(GroupError::UnknownMemberId), Ok(())]);
    assert!(group.is_empty());
}

#[test]
fn a_group_that_is_no_consumers_stays_what_it_is() {
    let world = World::of(&[("t", 2)]);
    let mut group = Group::new(groups::Limits::default());
    let connect = Join {
        protocol_type: "connect".into(),
        needs_known_id: false,
        protocols: vec![Protocol {
            name: "x".into(),
            metadata: Bytes::new(),
        }],
        ..join("", &[])
    };
    let to = Waiter(1);
    group.step(Command::Join { to, join: connect }, 0);
    assert!(ConsumerGroup::from_classic(&group, &world.at(0)).is_none());
}
