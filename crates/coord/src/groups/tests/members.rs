//! Identity, bounds, protocols and who may commit.

use super::*;

fn known(fresh: &str) -> Join {
    Join {
        needs_known_id: true,
        ..join("", fresh)
    }
}

#[test]
fn a_new_member_comes_again_with_its_id() {
    let mut story = Story::new();
    let to = story.join(known("a-1"));
    assert_eq!(
        story.refused(to),
        JoinFailure {
            error: GroupError::MemberIdRequired,
            member_id: "a-1".into()
        }
    );
    assert!(!story.group.is_empty(), "the id is kept");
    let to = story.join(Join {
        needs_known_id: true,
        ..join("a-1", "-")
    });
    assert_eq!(story.joined(to).member_id, "a-1");
}

#[test]
fn an_id_that_is_not_used_expires() {
    let mut story = Story::new();
    let to = story.join(known("a-1"));
    story.refused(to);
    story.wait(10_000);
    assert!(story.group.is_vacant());
    let to = story.join(join("a-1", "-"));
    assert_eq!(story.refused(to).error, GroupError::UnknownMemberId);
}

#[test]
fn a_rebalance_waits_for_members_that_were_given_an_id() {
    let mut story = Story::pair();
    let c = story.join(known("c"));
    story.refused(c);
    let a = story.join(join("a", "-"));
    let b = story.join(join("b", "-"));
    assert!(story.waits(a) && story.waits(b));
    let c = story.join(join("c", "-"));
    assert_eq!(story.joined(a).members.len(), 3);
    story.joined(c);
}

#[test]
fn protocols_have_to_fit() {
    let mut story = Story::pair();
    let mut other = join("", "c");
    other.protocols = offers(&["cooperative-sticky"]);
    let to = story.join(other.clone());
    assert_eq!(story.refused(to).error, GroupError::InconsistentProtocol);
    other.protocols = offers(&["cooperative-sticky", "sticky"]);
    other.protocol_type = "connect".to_owned();
    let to = story.join(other.clone());
    assert_eq!(story.refused(to).error, GroupError::InconsistentProtocol);
    other.protocols.clear();
    let to = story.join(other);
    assert_eq!(story.refused(to).error, GroupError::InconsistentProtocol);
    assert_eq!(
        story.group.state(),
        State::Stable,
        "the refused disturb nobody"
    );
}

#[test]
fn the_protocol_with_most_votes_wins() {
    let mut story = Story::with(Limits {
        initial_delay_ms: 100,
        ..Limits::default()
    });
    for (id, names) in [
        ("a", ["range", "sticky"]),
        ("b", ["sticky", "range"]),
        ("c", ["sticky", "range"]),
    ] {
        story.join(Join {
            protocols: offers(&names),
            ..join("", id)
        });
    }
    story.wait(300);
    assert_eq!(story.group.describe().protocol, "sticky");
}

#[test]
fn bounds_are_kept() {
    let mut story = Story::with(Limits {
        members_max: 2,
        metadata_bytes_max: 50,
        ..Limits::default()
    });
    let short = Join {
        session_timeout_ms: 5_999,
        ..join("", "a")
    };
    let to = story.join(short);
    assert_eq!(story.refused(to).error, GroupError::InvalidSessionTimeout);
    let mut fat = join("", "a");
    fat.protocols[0].metadata = Bytes::from(vec![0; 51]);
    let to = story.join(fat);
    assert_eq!(story.refused(to).error, GroupError::GroupMaxSizeReached);
    let to = story.join(known("a"));
    story.refused(to);
    let to = story.join(known("b"));
    story.refused(to);
    let to = story.join(known("c"));
    assert_eq!(story.refused(to).error, GroupError::GroupMaxSizeReached);
    let to = story.join(join("a", "-"));
    assert!(story.waits(to), "one that was promised a place gets it");
}

#[test]
fn an_assignment_over_the_bound_is_refused_to_all() {
    let mut story = Story::with(Limits {
        metadata_bytes_max: 100,
        ..Limits::default()
    });
    let to = story.join(join("", "a"));
    story.joined(to);
    let to = story.sync("a", 1, &[("a", &"x".repeat(101))]);
    assert_eq!(story.synced(to), Err(GroupError::GroupMaxSizeReached));
    let to = story.sync("a", 1, &[("a", "x")]);
    assert_eq!(story.synced(to), Ok("x".into()));
}

#[test]
fn a_request_sent_twice_answers_the_first_too() {
    let mut story = Story::pair();
    let first = story.join(join("a", "-"));
    let second = story.join(join("a", "-"));
    assert_eq!(story.refused(first).error, GroupError::RebalanceInProgress);
    assert!(story.waits(second));
}

#[test]
fn commits_are_checked() {
    let by = |member_id: &str, generation| Committer {
        member_id: member_id.to_owned(),
        instance_id: None,
        generation,
    };
    let mut story = Story::new();
    assert_eq!(
        story.group.check_commit(&by("", -1), 0),
        Ok(()),
        "a simple consumer"
    );
    assert_eq!(
        story.group.check_commit(&by("a", 5), 0),
        Err(GroupError::UnknownMemberId)
    );
    let to = story.join(join("", "a"));
    story.joined(to);
    assert_eq!(
        story.group.check_commit(&by("a", 1), 0),
        Err(GroupError::RebalanceInProgress)
    );
    let mut story = Story::pair();
    assert_eq!(
        story.group.check_commit(&by("", -1), 0),
        Err(GroupError::UnknownMemberId)
    );
    assert_eq!(
        story.group.check_commit(&by("a", 1), 0),
        Err(GroupError::IllegalGeneration)
    );
    assert_eq!(
        story.group.check_commit(&by("x", 2), 0),
        Err(GroupError::UnknownMemberId)
    );
    story.now_ms += 9_000;
    assert_eq!(story.group.check_commit(&by("a", 2), story.now_ms), Ok(()));
    assert_eq!(story.heartbeat("b", 2), Ok(()));
    story.wait(5_000);
    assert_eq!(
        story.group.state(),
        State::Stable,
        "the commit was a sign of life"
    );
    let c = story.join(join("", "c"));
    assert!(story.waits(c));
    assert_eq!(
        story.group.check_commit(&by("a", 2), story.now_ms),
        Ok(()),
        "who is about to give up partitions commits"
    );
}

#[test]
fn syncs_and_heartbeats_of_another_generation_are_refused() {
    let mut story = Story::pair();
    let to = story.sync("a", 1, &[]);
    assert_eq!(story.synced(to), Err(GroupError::IllegalGeneration));
    assert_eq!(story.heartbeat("a", 3), Err(GroupError::IllegalGeneration));
    let to = story.waiter();
    let sync = Sync {
        member_id: "a".into(),
        instance_id: None,
        generation: 2,
        protocol_type: Some("consumer".into()),
        protocol: Some("sticky".into()),
        assignments: Vec::new(),
    };
    story.step(Command::Sync { to, sync });
    assert_eq!(story.synced(to), Err(GroupError::InconsistentProtocol));
    assert!(group_id_ok("g") && !group_id_ok(""));
}
