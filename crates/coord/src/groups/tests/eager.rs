//! The ordinary life of a group: join, assign, rebalance, leave, expire.

use super::*;

#[test]
fn one_member_gets_everything_at_once() {
    let mut story = Story::new();
    let to = story.join(join("", "a"));
    let joined = story.joined(to);
    assert_eq!(
        (
            joined.generation,
            joined.leader.as_str(),
            joined.protocol.as_str()
        ),
        (1, "a", "range")
    );
    assert_eq!(
        joined.members,
        [JoinedMember {
            member_id: "a".into(),
            instance_id: None,
            metadata: "range".into()
        }]
    );
    assert_eq!(story.group.state(), State::CompletingRebalance);
    let to = story.sync("a", 1, &[("a", "t-0")]);
    assert_eq!(story.synced(to), Ok("t-0".into()));
    assert_eq!(story.group.state(), State::Stable);
    assert_eq!(story.heartbeat("a", 1), Ok(()));
    let description = story.group.describe();
    assert_eq!(
        (
            description.protocol.as_str(),
            description.protocol_type.as_str()
        ),
        ("range", "consumer")
    );
    assert_eq!(&description.members[0].assignment[..], b"t-0");
}

#[test]
fn a_second_member_waits_for_the_first_to_join_again() {
    let mut story = Story::pair();
    let c = story.join(join("", "c"));
    assert!(story.waits(c));
    let a = story.join(join("a", "-"));
    assert!(story.waits(a), "b is missing");
    story.wait(9_000);
    assert_eq!(
        story.heartbeat("b", 2),
        Err(GroupError::RebalanceInProgress)
    );
    let b = story.join(join("b", "-"));
    assert_eq!(story.joined(a).members.len(), 3);
    assert!(
        story.joined(b).members.is_empty(),
        "only the leader hears of the others"
    );
    assert_eq!(story.joined(c).leader, "a");
}

#[test]
fn who_does_not_join_again_in_time_is_left_behind() {
    let mut story = Story::pair();
    let c = story.join(join("", "c"));
    let a = story.join(join("a", "-"));
    // b keeps its session alive, but does not join.
    for _ in 0..7 {
        story.wait(9_000);
        let _ = story.heartbeat("b", 2);
    }
    let roster: Vec<String> = story
        .joined(a)
        .members
        .into_iter()
        .map(|member| member.member_id)
        .collect();
    assert_eq!(roster, ["a", "c"]);
    assert_eq!(story.joined(c).generation, 3);
    assert_eq!(story.heartbeat("b", 2), Err(GroupError::UnknownMemberId));
}

#[test]
fn a_silent_member_expires_and_the_rest_rebalances() {
    let mut story = Story::pair();
    story.wait(9_000);
    assert_eq!(story.heartbeat("a", 2), Ok(()));
    story.wait(2_000);
    assert_eq!(story.group.state(), State::PreparingRebalance);
    assert_eq!(story.heartbeat("b", 2), Err(GroupError::UnknownMemberId));
    let a = story.join(join("a", "-"));
    assert_eq!(story.joined(a).members.len(), 1);
}

#[test]
fn the_last_to_leave_leaves_an_empty_group() {
    let mut story = Story::pair();
    assert_eq!(
        story.leave(&[("a", None), ("nobody", None), ("b", None)]),
        [Ok(()), Err(GroupError::UnknownMemberId), Ok(())]
    );
    assert_eq!(story.group.state(), State::Empty);
    assert_eq!(story.group.next_deadline(), None);
    assert_eq!(story.group.generation(), 3);
    assert_eq!(story.group.delete(), Ok(()));
    assert_eq!(story.group.state(), State::Dead);
    let late = story.join(join("", "c"));
    assert_eq!(
        story.refused(late).error,
        GroupError::CoordinatorNotAvailable
    );
}

#[test]
fn a_group_with_members_is_not_deleted() {
    let mut story = Story::pair();
    assert_eq!(story.group.delete(), Err(GroupError::NonEmptyGroup));
}

#[test]
fn a_leaver_among_those_who_wait_lets_the_others_go_on() {
    let mut story = Story::pair();
    let c = story.join(join("", "c"));
    let a = story.join(join("a", "-"));
    assert_eq!(story.leave(&[("b", None)]), [Ok(())]);
    assert_eq!(story.joined(a).members.len(), 2);
    story.joined(c);
}

#[test]
fn a_join_during_assignment_sends_the_others_back() {
    let mut story = Story::new();
    let a = story.join(join("", "a"));
    story.joined(a);
    let c = story.join(join("", "c"));
    let a = story.join(join("a", "-"));
    story.joined(a);
    story.joined(c);
    let waiting = story.sync("c", 2, &[]);
    let d = story.join(join("", "d"));
    assert_eq!(story.synced(waiting), Err(GroupError::RebalanceInProgress));
    let early = story.sync("a", 2, &[("a", "x")]);
    assert_eq!(story.synced(early), Err(GroupError::RebalanceInProgress));
    assert!(story.waits(d));
}

#[test]
fn a_retry_while_assigning_gets_the_same_generation_again() {
    let mut story = Story::new();
    let a = story.join(join("", "a"));
    let first = story.joined(a);
    let a = story.join(join("a", "-"));
    assert_eq!(story.joined(a), first);
}

#[test]
fn a_follower_that_joins_again_unchanged_disturbs_nobody() {
    let mut story = Story::pair();
    let b = story.join(join("b", "-"));
    assert_eq!(story.joined(b).generation, 2);
    assert_eq!(story.group.state(), State::Stable);
    let mut changed = join("b", "-");
    changed.protocols = offers(&["sticky"]);
    let b = story.join(changed);
    assert!(story.waits(b));
    let a = story.join(join("a", "-"));
    assert_eq!(story.joined(a).protocol, "sticky");
    assert_eq!(story.joined(b).protocol, "sticky");
}

#[test]
fn the_leader_that_joins_again_starts_a_rebalance() {
    let mut story = Story::pair();
    let a = story.join(join("a", "-"));
    assert!(story.waits(a));
    let b = story.join(join("b", "-"));
    assert_eq!(story.joined(b).generation, 3);
    story.joined(a);
}

#[test]
fn members_that_never_ask_for_their_part_are_removed() {
    let mut story = Story::new();
    let mut patient = join("", "a");
    patient.session_timeout_ms = 600_000;
    let a = story.join(patient.clone());
    story.joined(a);
    story.wait(60_000);
    assert_eq!(
        story.group.state(),
        State::Empty,
        "a joined and never synced"
    );
    assert_eq!(story.heartbeat("a", 1), Err(GroupError::UnknownMemberId));
}

#[test]
fn an_initial_delay_gathers_a_group() {
    let mut story = Story::with(Limits {
        initial_delay_ms: 3_000,
        ..Limits::default()
    });
    let a = story.join(join("", "a"));
    story.wait(2_000);
    let b = story.join(join("", "b"));
    story.wait(2_000);
    assert!(story.waits(a), "b moved the end");
    story.wait(1_000);
    assert_eq!(story.joined(a).members.len(), 2);
    assert_eq!(story.joined(b).generation, 1);
}
