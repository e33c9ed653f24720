//! Whatever members do, in whatever order: the laws of a group hold after every step.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Act {
    Join {
        who: usize,
        known: bool,
        instance: Option<u8>,
        names: usize,
    },
    Sync {
        who: usize,
    },
    Heartbeat {
        who: usize,
    },
    Leave {
        who: usize,
    },
    Wait {
        ms: i64,
    },
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0..6usize, any::<bool>(), proptest::option::weighted(0.3, 0..3u8), 0..4usize)
            .prop_map(|(who, known, instance, names)| Act::Join { who, known, instance, names }),
        4 => (0..6usize).prop_map(|who| Act::Sync { who }),
        1 => (0..6usize).prop_map(|who| Act::Heartbeat { who }),
        1 => (0..6usize).prop_map(|who| Act::Leave { who }),
        1 => (0..20_000i64).prop_map(|ms| Act::Wait { ms }),
    ]
}

/// Clients that remember what they were told, and a group.
struct World {
    story: Story,
    ids: Vec<String>,
    joins: BTreeMap<Waiter, usize>,
    fresh: u64,
    asked: BTreeSet<Waiter>,
}

impl World {
    fn run(&mut self, act: &Act) {
        match act {
            Act::Join {
                who,
                known,
                instance,
                names,
            } => self.join(*who, *known, *instance, *names),
            Act::Sync { who } => {
                let ids: Vec<String> = self.story.group.members.keys().cloned().collect();
                let parts: Vec<(&str, &str)> =
                    ids.iter().map(|id| (id.as_str(), id.as_str())).collect();
                let waiter =
                    self.story
                        .sync(&self.ids[*who], self.story.group.generation(), &parts);
                self.asked.insert(waiter);
            }
            Act::Heartbeat { who } => drop(
                self.story
                    .heartbeat(&self.ids[*who].clone(), self.story.group.generation()),
            ),
            Act::Leave { who } => drop(self.story.leave(&[(&self.ids[*who].clone(), None)])),
            Act::Wait { ms } => self.story.wait(*ms),
        }
        self.learn();
    }

    fn join(&mut self, who: usize, known: bool, instance: Option<u8>, names: usize) {
        self.fresh += 1;
        let sets: [&[&str]; 4] = [
            &["range", "sticky"],
            &["sticky", "range"],
            &["range"],
            &["other"],
        ];
        let join = Join {
            protocols: offers(sets[names]),
            needs_known_id: known,
            instance_id: instance.map(|id| format!("i{id}")),
            ..join(&self.ids[who], &format!("m{}", self.fresh))
        };
        let waiter = self.story.join(join);
        self.joins.insert(waiter, who);
        self.asked.insert(waiter);
    }

    /// Takes the answers as clients would.
    fn learn(&mut self) {
        for (waiter, reply) in std::mem::take(&mut self.story.answers) {
            self.asked.remove(&waiter);
            let Some(who) = self.joins.remove(&waiter) else {
                continue;
            };
            match reply {
                Reply::Join(Ok(joined)) => self.ids[who] = joined.member_id,
                Reply::Join(Err(JoinFailure {
                    error: GroupError::MemberIdRequired,
                    member_id,
                })) => self.ids[who] = member_id,
                Reply::Join(Err(_)) => self.ids[who].clear(),
                Reply::Sync(_) | Reply::Heartbeat(_) | Reply::Leave(_) => {}
            }
        }
    }

    fn check(&self, generation_before: i32) {
        let group = &self.story.group;
        assert!(
            group.generation() >= generation_before,
            "generations only grow"
        );
        let has_members = !group.members.is_empty();
        match group.state() {
            State::Empty | State::Dead => assert!(!has_members),
            State::PreparingRebalance => {
                assert!(!group.is_empty() && group.next_deadline().is_some())
            }
            State::CompletingRebalance | State::Stable => {
                let leader = group.leader.as_ref().unwrap();
                assert!(
                    group.members.contains_key(leader),
                    "the one leader is a member"
                );
                let protocol = group.protocol.as_ref().unwrap();
                assert!(
                    group
                        .members
                        .values()
                        .all(|member| member.supports(protocol)),
                    "all speak the protocol"
                );
                assert!(
                    group
                        .members
                        .values()
                        .all(|member| member.joining.is_none()),
                    "nobody is left waiting to join"
                );
            }
        }
        if group.state() == State::Stable {
            for (id, member) in &group.members {
                assert!(
                    member.syncing.is_none(),
                    "nobody is left waiting for an assignment"
                );
                let replaced = member.instance_id.is_some();
                assert!(
                    replaced || member.assignment == id.as_bytes(),
                    "all have their part"
                );
            }
        }
        for (instance, id) in &group.instances {
            assert_eq!(group.members[id].instance_id.as_ref(), Some(instance));
        }
        let waiting = group
            .members
            .values()
            .flat_map(|member| member.joining.iter().chain(&member.syncing))
            .copied();
        assert_eq!(
            waiting.collect::<BTreeSet<_>>(),
            self.asked,
            "everybody asked is answered or still held"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn the_laws_hold(acts in proptest::collection::vec(act(), 1..60), delay_ms in prop_oneof![Just(0i64), Just(500)]) {
        let story = Story::with(Limits { initial_delay_ms: delay_ms, members_max: 5, ..Limits::default() });
        let mut world =
            World { story, ids: vec![String::new(); 6], joins: BTreeMap::new(), fresh: 0, asked: BTreeSet::new() };
        for act in &acts {
            let before = world.story.group.generation();
            world.run(act);
            world.check(before);
        }
        // Left alone, every group ends empty, and nobody waits for ever.
        world.story.wait(10_000_000);
        world.learn();
        prop_assert_eq!(world.story.group.state(), State::Empty);
        prop_assert!(world.asked.is_empty());
    }
}
