//! Static members (KIP-345): a restart within the session costs nothing, the old self is fenced.

use super::*;

fn fixed(member_id: &str, fresh: &str, instance: &str) -> Join {
    Join {
        instance_id: Some(instance.to_owned()),
        ..join(member_id, fresh)
    }
}

/// A stable group of two static members; `a` leads.
fn pair() -> Story {
    let mut story = Story::with(Limits {
        initial_delay_ms: 100,
        ..Limits::default()
    });
    let a = story.join(fixed("", "a", "ia"));
    let b = story.join(fixed("", "b", "ib"));
    story.wait(200);
    story.joined(a);
    story.joined(b);
    let b = story.sync("b", 1, &[]);
    let a = story.sync("a", 1, &[("a", "left"), ("b", "right")]);
    story.synced(a).unwrap();
    story.synced(b).unwrap();
    story
}

#[test]
fn a_restarted_follower_takes_its_place_without_a_rebalance() {
    let mut story = pair();
    let to = story.join(fixed("", "b2", "ib"));
    let joined = story.joined(to);
    assert_eq!(
        (
            joined.generation,
            joined.member_id.as_str(),
            joined.leader.as_str()
        ),
        (1, "b2", "a")
    );
    assert!(joined.members.is_empty() && !joined.skip_assignment);
    let to = story.sync("b2", 1, &[]);
    assert_eq!(story.synced(to), Ok("right".into()));
    assert_eq!(story.group.state(), State::Stable);
    assert_eq!(story.heartbeat("b", 1), Err(GroupError::UnknownMemberId));
    let to = story.waiter();
    let heartbeat = Heartbeat {
        member_id: "b".into(),
        instance_id: Some("ib".into()),
        generation: 1,
    };
    story.step(Command::Heartbeat { to, heartbeat });
    assert_eq!(
        story.take(to),
        Reply::Heartbeat(Err(GroupError::FencedInstanceId))
    );
}

#[test]
fn a_restarted_leader_is_told_not_to_assign() {
    let mut story = pair();
    let to = story.join(Join {
        can_skip_assignment: true,
        ..fixed("", "a2", "ia")
    });
    let joined = story.joined(to);
    assert_eq!(
        (
            joined.leader.as_str(),
            joined.skip_assignment,
            joined.members.len()
        ),
        ("a2", true, 2)
    );
    let mut story = pair();
    let to = story.join(fixed("", "a2", "ia"));
    let joined = story.joined(to);
    assert_eq!(
        (
            joined.leader.as_str(),
            joined.skip_assignment,
            joined.members.len()
        ),
        ("a", false, 0)
    );
    let to = story.sync("a2", 1, &[]);
    assert_eq!(story.synced(to), Ok("left".into()));
}

#[test]
fn a_static_member_that_is_away_keeps_its_place_in_a_rebalance() {
    let mut story = Story::with(Limits {
        initial_delay_ms: 100,
        ..Limits::default()
    });
    let patient = |fresh, instance| Join {
        session_timeout_ms: 600_000,
        ..fixed("", fresh, instance)
    };
    let a = story.join(patient("a", "ia"));
    let b = story.join(patient("b", "ib"));
    story.wait(200);
    story.joined(a);
    story.joined(b);
    story.sync("b", 1, &[]);
    story.sync("a", 1, &[]);
    let c = story.join(join("", "c"));
    let a = story.join(Join {
        session_timeout_ms: 600_000,
        ..fixed("a", "-", "ia")
    });
    assert!(story.waits(c));
    story.wait(60_000);
    assert_eq!(
        story.joined(a).members.len(),
        3,
        "b is away, its place is kept"
    );
}

#[test]
fn the_old_self_that_waits_is_fenced() {
    let mut story = pair();
    let c = story.join(join("", "c"));
    let old = story.join(fixed("b", "-", "ib"));
    let new = story.join(fixed("", "b2", "ib"));
    assert_eq!(story.refused(old).error, GroupError::FencedInstanceId);
    assert!(story.waits(new) && story.waits(c));
}

#[test]
fn static_members_leave_by_their_instance() {
    let mut story = pair();
    assert_eq!(
        story.leave(&[
            ("", Some("ia")),
            ("wrong", Some("ib")),
            ("", Some("ic")),
            ("", Some("ia"))
        ]),
        [
            Ok(()),
            Err(GroupError::FencedInstanceId),
            Err(GroupError::UnknownMemberId),
            Err(GroupError::UnknownMemberId)
        ]
    );
    assert_eq!(story.group.state(), State::PreparingRebalance);
    let to = story.join(fixed("b", "-", "ia"));
    assert_eq!(story.refused(to).error, GroupError::UnknownMemberId);
}

#[test]
fn a_group_of_absent_static_members_ends_when_their_sessions_do() {
    let mut story = pair();
    let c = story.join(join("", "c"));
    story.leave(&[("c", None)]);
    assert_eq!(story.refused(c).error, GroupError::UnknownMemberId);
    story.wait(600_000);
    assert_eq!(story.group.state(), State::Empty);
    assert!(story.group.next_deadline().is_none());
}
