//! One and two members: joining, revoking before assigning, leaving, being silent, being static.

use super::*;

#[test]
fn a_member_alone_gets_all_and_a_second_one_half_after_the_first_has_given_it_up() {
    let world = World::of(&[("t", 4)]);
    let context = world.at(0);
    let mut group = ConsumerGroup::new();
    let (mut a, mut b) = (Client::new("a", &["t"]), Client::new("b", &["t"]));
    let beat = a.beat(&mut group, &context).unwrap();
    assert_eq!((beat.epoch, a.count(), beat.heartbeat_ms), (1, 4, 5_000));
    assert_eq!(b.beat(&mut group, &context).unwrap().epoch, 2);
    assert_eq!(b.count(), 0, "the first still holds everything");
    let holding = a.owned.clone();
    assert_eq!(a.beat(&mut group, &context).unwrap().epoch, 1);
    assert_eq!(a.count(), 2);
    assert_eq!(
        b.beat(&mut group, &context)
            .unwrap()
            .assignment
            .unwrap()
            .len(),
        0
    );
    // It says that it still has them: nothing moves.
    let given_up = std::mem::replace(&mut a.owned, holding);
    a.beat(&mut group, &context).unwrap();
    b.beat(&mut group, &context).unwrap();
    assert_eq!(b.count(), 0);
    a.owned = given_up;
    assert_eq!(a.beat(&mut group, &context).unwrap().epoch, 2);
    b.beat(&mut group, &context).unwrap();
    assert_eq!((a.count(), b.count()), (2, 2));
    assert_eq!(group.state(), GroupState::Stable);
}

#[test]
fn an_older_epoch_passes_only_when_the_answer_may_have_been_lost() {
    let world = World::of(&[("t", 2)]);
    let context = world.at(0);
    let mut group = ConsumerGroup::new();
    let mut a = Client::new("a", &["t"]);
    let first = a.request();
    a.beat(&mut group, &context).unwrap();
    let again = group.heartbeat(&first, &context).unwrap();
    assert_eq!((again.epoch, again.assignment), (1, Some(a.owned.clone())));
    let mut clients = [a, Client::new("b", &["t"])];
    settle(&mut group, &mut clients, &context);
    let fenced = |epoch| {
        let mut beat = Client::new("a", &["t"]).request();
        beat.epoch = epoch;
        beat
    };
    for epoch in [0, 99] {
        let refused = group.heartbeat(&fenced(epoch), &context);
        assert!(
            matches!(refused, Err(ConsumerError::FencedEpoch { .. })),
            "{refused:?}"
        );
    }
    let mut stranger = Client::new("x", &["t"]).request();
    stranger.epoch = 3;
    let refused = group.heartbeat(&stranger, &context);
    assert!(matches!(refused, Err(ConsumerError::UnknownMember { .. })));
}

#[test]
fn the_silent_and_those_who_give_nothing_up_are_taken_out() {
    let world = World::of(&[("t", 4)]);
    let mut group = ConsumerGroup::new();
    let (mut a, mut b) = (Client::new("a", &["t"]), Client::new("b", &["t"]));
    a.beat(&mut group, &world.at(0)).unwrap();
    b.beat(&mut group, &world.at(40_000)).unwrap();
    assert_eq!(group.next_deadline(), Some(45_000));
    assert!(!group.tick(&world.at(44_999)));
    assert!(group.tick(&world.at(45_000)));
    b.beat(&mut group, &world.at(46_000)).unwrap();
    assert_eq!(b.count(), 4);
    // The second is asked to give up, and says nothing of it while it heartbeats for longer than its rebalance timeout.
    let mut c = Client::new("c", &["t"]);
    c.beat(&mut group, &world.at(50_000)).unwrap();
    let mut mute = b.request();
    (mute.owned, mute.rebalance_timeout_ms, mute.topic_names) = (None, -1, None);
    mute.epoch = b.epoch;
    for at in [51_000, 90_000, 110_000] {
        group.heartbeat(&mute, &world.at(at)).unwrap();
        c.beat(&mut group, &world.at(at)).unwrap();
        assert_eq!(c.count(), 0);
    }
    assert!(group.tick(&world.at(111_000)));
    c.beat(&mut group, &world.at(111_000)).unwrap();
    assert_eq!(c.count(), 4);
}

#[test]
fn a_static_member_comes_back_to_what_it_had_and_its_former_self_is_fenced() {
    let world = World::of(&[("t", 4)]);
    let context = world.at(0);
    let mut group = ConsumerGroup::new();
    let mut clients = [
        Client::fixed("a", "i", &["t"]),
        Client::fixed("b", "j", &["t"]),
    ];
    settle(&mut group, &mut clients, &context);
    let [mut a, b] = clients;
    let epoch = group.epoch();
    let early = Client::fixed("c", "i", &["t"]).beat(&mut group, &context);
    assert!(matches!(
        early,
        Err(ConsumerError::UnreleasedInstance { .. })
    ));
    let had = a.owned.clone();
    let mut away = a.request();
    away.epoch = AWAY;
    assert_eq!(group.heartbeat(&away, &context).unwrap().epoch, AWAY);
    let mut c = Client::fixed("c", "i", &["t"]);
    c.beat(&mut group, &context).unwrap();
    assert_eq!(
        (c.owned.clone(), group.epoch()),
        (had, epoch),
        "nobody else notices"
    );
    let fenced = a.beat(&mut group, &context);
    assert!(matches!(fenced, Err(ConsumerError::FencedInstance { .. })));
    // Away for longer than its session: its share goes to the other.
    let mut away = c.request();
    away.epoch = AWAY;
    group.heartbeat(&away, &context).unwrap();
    let mut b = b;
    b.beat(&mut group, &world.at(40_000)).unwrap();
    assert!(group.tick(&world.at(46_000)));
    settle(&mut group, std::slice::from_mut(&mut b), &world.at(46_000));
    assert_eq!(b.count(), 4);
}

#[test]
fn topics_and_expressions_are_followed() {
    let mut world = World::of(&[("t", 1)]);
    let mut group = ConsumerGroup::new();
    let mut a = Client::new("a", &[]);
    let mut join = a.request();
    join.topic_regex = Some("u".into());
    a.epoch = group.heartbeat(&join, &world.at(0)).unwrap().epoch;
    assert_eq!(group.epoch(), 1);
    world.set("u1", 3);
    a.beat(&mut group, &world.at(1)).unwrap();
    assert_eq!((a.count(), a.epoch), (3, 2));
    assert!(group.is_subscribed("u1") && !group.is_subscribed("t"));
    // Somebody comes by who may not be told what there is: what was found stays, and is looked at again by who may.
    world.set("u2", 1);
    world.blind = true;
    a.beat(&mut group, &world.at(1)).unwrap();
    assert_eq!((a.count(), a.epoch), (3, 2));
    world.blind = false;
    a.beat(&mut group, &world.at(1)).unwrap();
    assert_eq!((a.count(), a.epoch), (4, 3));
    world.set("u2", 0);
    world.set("u1", 5);
    // What it gives up comes first.
    a.beat(&mut group, &world.at(2)).unwrap();
    a.beat(&mut group, &world.at(2)).unwrap();
    assert_eq!((a.count(), a.epoch), (5, 4));
    world.set("u1", 0);
    a.beat(&mut group, &world.at(3)).unwrap();
    assert_eq!((a.count(), group.epoch()), (0, 5));
    world.set("t", 2);
    let epoch = group.epoch();
    a.beat(&mut group, &world.at(4)).unwrap();
    assert_eq!(group.epoch(), epoch, "a topic of no concern");
    let mut bad = a.request();
    bad.topic_regex = Some("(".into());
    let refused = group.heartbeat(&bad, &world.at(5));
    assert!(matches!(refused, Err(ConsumerError::InvalidRegex { .. })));
}

#[test]
fn requests_are_checked_and_the_group_has_a_limit() {
    let good = Client::new("a", &["t"]).request();
    good.check("g").unwrap();
    let bad = |edit: fn(&mut Heartbeat)| {
        let mut beat = good.clone();
        edit(&mut beat);
        beat.check("g").unwrap_err()
    };
    bad(|beat| beat.member_id.clear());
    bad(|beat| beat.epoch = -3);
    bad(|beat| beat.epoch = AWAY);
    bad(|beat| beat.rebalance_timeout_ms = -1);
    bad(|beat| beat.topic_names = None);
    bad(|beat| beat.owned = None);
    bad(|beat| beat.instance_id = Some(" ".into()));
    let unknown = bad(|beat| beat.assignor = Some("sticky".into()));
    assert!(matches!(unknown, ConsumerError::UnsupportedAssignor(_)));
    assert!(good.check("").is_err());
    let world = World::of(&[("t", 4)]);
    let mut group = ConsumerGroup::new();
    for n in 0..8 {
        Client::new(&n.to_string(), &["t"])
            .beat(&mut group, &world.at(0))
            .unwrap();
    }
    let ninth = Client::new("9", &["t"]).beat(&mut group, &world.at(0));
    assert_eq!(ninth, Err(ConsumerError::Full(8)));
}

#[test]
fn range_gives_runs_and_the_majority_chooses() {
    let world = World::of(&[("t", 3), ("u", 3)]);
    let mut group = ConsumerGroup::new();
    let mut clients = [Client::new("a", &["t", "u"]), Client::new("b", &["t", "u"])];
    for client in &mut clients {
        let mut join = client.request();
        join.assignor = Some("range".into());
        client.epoch = group.heartbeat(&join, &world.at(0)).unwrap().epoch;
    }
    assert_eq!(group.assignor(), "range");
    settle(&mut group, &mut clients, &world.at(0));
    let run: Partitions = [(id("t"), [0, 1].into()), (id("u"), [0, 1].into())].into();
    assert_eq!((clients[0].owned.clone(), clients[1].count()), (run, 2));
}
