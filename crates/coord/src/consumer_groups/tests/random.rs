//! Members that join, leave, fall silent and change their minds while topics change: what holds at every moment and in the end.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Act {
    Join(usize),
    Beat(usize),
    /// The answer gets lost.
    Lost(usize),
    Leave(usize),
    Subscribe(usize, u8),
    Topic(u8, i32),
    Wait(i64),
    Restart,
}

fn act() -> impl Strategy<Value = Act> {
    let who = 0..5usize;
    prop_oneof![
        3 => who.clone().prop_map(Act::Join),
        12 => who.clone().prop_map(Act::Beat),
        2 => who.clone().prop_map(Act::Lost),
        1 => who.clone().prop_map(Act::Leave),
        1 => (who, 1..8u8).prop_map(|(who, topics)| Act::Subscribe(who, topics)),
        1 => (0..3u8, 0..9i32).prop_map(|(topic, n)| Act::Topic(topic, n)),
        2 => (0..30_000i64).prop_map(Act::Wait),
        1 => Just(Act::Restart),
    ]
}

const NAMES: [&str; 3] = ["t", "u", "v"];

fn named(bits: u8) -> Vec<String> {
    let chosen = NAMES
        .iter()
        .enumerate()
        .filter(|(n, _)| bits & (1 << n) != 0);
    chosen.map(|(_, name)| (*name).to_owned()).collect()
}

struct Play {
    world: World,
    group: ConsumerGroup,
    clients: Vec<Option<Client>>,
    now_ms: i64,
    born: usize,
}

impl Play {
    fn new() -> Self {
        Self {
            world: World::of(&[("t", 4), ("u", 1), ("v", 7)]),
            group: ConsumerGroup::new(),
            clients: vec![None; 5],
            now_ms: 0,
            born: 0,
        }
    }

    fn act(&mut self, act: &Act) {
        let world = self.world.clone();
        let context = world.at(self.now_ms);
        match act {
            Act::Join(who) if self.clients[*who].is_none() => {
                self.born += 1;
                let mut client = Client::new(&format!("m{}", self.born), &[]);
                client.topics = named(1 + (self.born % 7) as u8);
                self.clients[*who] = Some(client);
            }
            Act::Join(_) => {}
            Act::Beat(who) | Act::Subscribe(who, _) => {
                let Some(client) = &mut self.clients[*who] else {
                    return;
                };
                if let Act::Subscribe(_, topics) = act {
                    client.topics = named(*topics);
                }
                // Who was taken out meanwhile gives up everything and begins anew.
                if client.beat(&mut self.group, &context).is_err() {
                    self.clients[*who] = None;
                }
            }
            Act::Lost(who) => {
                if let Some(client) = &self.clients[*who] {
                    let _ = self.group.heartbeat(&client.request(), &context);
                }
            }
            Act::Leave(who) => {
                if let Some(mut client) = self.clients[*who].take() {
                    client.epoch = LEAVING;
                    let _ = self.group.heartbeat(&client.request(), &context);
                }
            }
            Act::Topic(topic, n) => self.world.set(NAMES[usize::from(*topic)], *n),
            Act::Wait(ms) => {
                self.now_ms += ms;
                self.group.tick(&world.at(self.now_ms));
            }
            Act::Restart => self.restart(&context),
        }
    }

    /// The host goes and comes back with what was written.
    fn restart(&mut self, context: &Context<'_>) {
        let members: Vec<_> = self
            .group
            .members()
            .keys()
            .map(|id| (id.clone(), self.group.encode_member(id).unwrap().into()))
            .collect();
        let mut back = ConsumerGroup::restored(self.group.encode_head().into(), members).unwrap();
        assert_eq!(back.encode_head(), self.group.encode_head());
        assert_eq!(back.state(), self.group.state());
        back.start_sessions(context);
        self.group = back;
    }

    /// No partition is with two members: neither as the group sees it nor as the members do who are still in it.
    fn check(&self) {
        let mut held = BTreeSet::new();
        for member in self.group.members().values() {
            for place in member.holds() {
                assert!(held.insert(place), "{place:?} is held twice");
            }
        }
        let mut owned = BTreeSet::new();
        for client in self.clients.iter().flatten() {
            if !self.group.members().contains_key(&client.id) {
                continue;
            }
            for place in super::super::member::each(&client.owned) {
                assert!(owned.insert(place), "{place:?} is owned twice");
            }
        }
    }

    fn settle(&mut self) {
        for _ in 0..4 {
            for who in 0..5 {
                self.act(&Act::Join(who));
                self.act(&Act::Beat(who));
                self.check();
            }
        }
        let mut clients: Vec<Client> = self.clients.iter().flatten().cloned().collect();
        let living: BTreeSet<String> = clients.iter().map(|client| client.id.clone()).collect();
        // Who is there for the group only (its client began anew) falls silent.
        self.now_ms += 44_000;
        let context = self.world.at(self.now_ms);
        clients.iter_mut().for_each(|client| {
            client.beat(&mut self.group, &context).unwrap();
        });
        self.now_ms += 2_000;
        self.group.tick(&self.world.at(self.now_ms));
        assert!(self.group.members().keys().all(|id| living.contains(id)));
        let context = self.world.at(self.now_ms);
        settle(&mut self.group, &mut clients, &context);
        self.clients = clients.into_iter().map(Some).collect();
    }

    /// Everything that anybody subscribes to is with a subscriber, as evenly as can be.
    fn check_settled(&self) {
        let clients: Vec<&Client> = self.clients.iter().flatten().collect();
        for (name, partitions) in &self.world.topics {
            let readers: Vec<_> = clients.iter().filter(|c| c.topics.contains(name)).collect();
            let mut read = BTreeSet::new();
            for client in &clients {
                let share = client.owned.get(&id(name)).cloned().unwrap_or_default();
                assert!(share.is_empty() || client.topics.contains(name));
                let most = readers.iter().map(|other| other.count()).min();
                if !share.is_empty() {
                    assert!(client.count() <= most.unwrap() + 1, "{clients:?}");
                }
                share.iter().for_each(|index| assert!(read.insert(*index)));
            }
            let all: BTreeSet<i32> = (0..*partitions).collect();
            assert_eq!(
                read,
                if readers.is_empty() {
                    BTreeSet::new()
                } else {
                    all
                }
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn nothing_is_with_two_members_and_in_the_end_all_is_shared_evenly(acts in prop::collection::vec(act(), 1..80)) {
        let mut play = Play::new();
        for act in &acts {
            play.act(act);
            play.check();
        }
        play.settle();
        play.check_settled();
    }

    #[test]
    fn a_member_more_or_less_moves_no_more_than_it_must(members in 1..6usize, partitions in 1..40i32) {
        let world = World::of(&[("t", partitions)]);
        let context = world.at(0);
        let mut group = ConsumerGroup::new();
        let mut clients: Vec<_> = (0..members).map(|n| Client::new(&format!("m{n}"), &["t"])).collect();
        settle(&mut group, &mut clients, &context);
        let before = clients.clone();
        clients.push(Client::new("a-new-one", &["t"]));
        settle(&mut group, &mut clients, &context);
        for (old, new) in before.iter().zip(&clients) {
            for place in super::super::member::each(&new.owned) {
                prop_assert!(super::super::member::contains(&old.owned, place), "moved between old members");
            }
        }
        let mut gone = clients.pop().unwrap();
        let kept = clients.clone();
        gone.epoch = LEAVING;
        group.heartbeat(&gone.request(), &context).unwrap();
        settle(&mut group, &mut clients, &context);
        for (old, new) in kept.iter().zip(&clients) {
            for place in super::super::member::each(&old.owned) {
                prop_assert!(super::super::member::contains(&new.owned, place), "taken though there was more to have");
            }
        }
    }

    #[test]
    fn garbage_is_no_group_and_no_panic(head: Vec<u8>, member: Vec<u8>) {
        let _ = ConsumerGroup::restored(head.into(), []);
        let good = ConsumerGroup::new().encode_head();
        let _ = ConsumerGroup::restored(good.into(), [("m".to_owned(), member.into())]);
    }
}
