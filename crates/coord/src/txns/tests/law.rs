//! Random histories: commands of several producers, old and new protocol mixed, lost answers, time-outs, crashes between the decision
//! and the markers.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// What a client of the history does. The number picks one of the identities handed out so far, the newest first.
#[derive(Clone, Debug)]
enum Act {
    Init,
    Recover(usize),
    Add(usize, i32),
    End(usize, bool),
    Tick,
    Wait(i64),
    /// The markers of a decided end are written.
    Finish,
    /// The epoch jumps close to its end, as after many transactions.
    Age,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        2 => Just(Act::Init),
        2 => (0..4usize).prop_map(Act::Recover),
        6 => (0..3usize, 0..4).prop_map(|(who, index)| Act::Add(who, index)),
        6 => (0..3usize, any::<bool>()).prop_map(|(who, commits)| Act::End(who, commits)),
        2 => Just(Act::Tick),
        2 => (1..40_000i64).prop_map(Act::Wait),
        6 => Just(Act::Finish),
        1 => Just(Act::Age),
    ]
}

struct History {
    bumps: bool,
    txn: Txn,
    now_ms: i64,
    next_id: i64,
    /// Handed out, oldest first.
    identities: Vec<Producer>,
    /// By producer id and epoch of the markers: how a transaction ended. Of clients that keep their epoch several have the same.
    ends: BTreeMap<(i64, i16), Ending>,
}

impl History {
    fn new(bumps: bool) -> Self {
        Self {
            bumps,
            txn: Txn::new(0, TIMEOUT_MS, 0),
            now_ms: 0,
            next_id: 1,
            identities: Vec::new(),
            ends: BTreeMap::new(),
        }
    }

    fn who(&self, back: usize) -> Option<Producer> {
        let at = self.identities.len().checked_sub(back + 1)?;
        self.identities.get(at).copied()
    }

    /// Who may change anything: whoever has the current id and epoch.
    fn is_current(&self, by: Producer) -> bool {
        by == self.txn.producer()
    }

    fn step(&mut self, command: Command) -> Result<Effect, TxnError> {
        let fresh = |command, fresh_id| match command {
            Command::Init {
                timeout_ms,
                expected,
                ..
            } => Command::Init {
                timeout_ms,
                expected,
                fresh_id,
            },
            Command::End {
                by, ending, bumps, ..
            } => Command::End {
                by,
                ending,
                bumps,
                fresh_id,
            },
            other => other,
        };
        let step = match self.txn.step(command.clone(), self.now_ms) {
            Err(TxnError::NeedsProducerId) => {
                self.next_id += 1;
                self.txn
                    .step(fresh(command, Some(self.next_id)), self.now_ms)?
            }
            other => other?,
        };
        self.check(&step);
        self.txn = step.txn;
        Ok(step.effect)
    }

    fn check(&self, step: &Step) {
        let (before, after) = (&self.txn, &step.txn);
        match step.effect {
            Effect::Nothing => assert_eq!(before, after),
            Effect::Keep => assert!(before.state.ending().is_none()),
            Effect::End(ending) => {
                assert!(before.state.ending().is_none(), "a decision stands");
                assert_eq!(after.state.ending(), Some(ending));
                assert_eq!(
                    after.partitions, before.partitions,
                    "all of it ends the same way"
                );
            }
        }
        let same_id = before.producer_id == after.producer_id;
        assert!(!same_id || after.epoch >= before.epoch, "epochs never fall");
        assert!(after.update_ms >= before.update_ms);
        let open = after.state == State::Ongoing;
        assert!(open || after.state.ending().is_some() || after.partitions.is_empty());
    }

    fn ask_init(&mut self, expected: Option<Producer>) {
        let before = self.txn.clone();
        let zombie = expected.is_some_and(|one| one.id == before.producer_id)
            && expected
                .is_some_and(|one| one.epoch != before.epoch && one.epoch != before.last_epoch);
        for _ in 0..2 {
            match self.step(init(expected)) {
                Ok(Effect::End(ending)) => {
                    assert_eq!(ending, Ending::Abort);
                    self.finish();
                }
                Ok(Effect::Keep | Effect::Nothing) => {
                    assert!(!zombie || before.epoch < 0, "{expected:?} of {before:?}");
                    let known = self.identities.last() == Some(&self.txn.producer());
                    if !known {
                        self.identities.push(self.txn.producer());
                    }
                    return;
                }
                Err(_) => {
                    assert!(!zombie || self.txn == before, "a zombie changes nothing");
                    return;
                }
            }
        }
    }

    fn finish(&mut self) {
        let Some(ending) = self.txn.state.ending() else {
            return;
        };
        let markers = (self.txn.producer_id, self.txn.epoch);
        if self.txn.bumps {
            assert_eq!(self.ends.insert(markers, ending), None, "one end an epoch");
        }
        let bumped = self.txn.bumps;
        self.txn = self.txn.completed(self.now_ms);
        assert_eq!(self.txn, self.txn.completed(self.now_ms), "once is enough");
        // A client that bumps learns its new epoch with the end, or by asking for the end again; the very last one fences all.
        if bumped && self.bumps && self.txn.epoch < i16::MAX {
            self.identities.push(self.txn.producer());
        }
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Init => self.ask_init(None),
            Act::Recover(who) => {
                if let Some(who) = self.who(who) {
                    self.ask_init(Some(who));
                }
            }
            Act::Add(who, index) => {
                let Some(by) = self.who(who) else { return };
                let command = Command::Add {
                    by,
                    partitions: vec![partition(index)],
                    groups: Vec::new(),
                    bumps: self.bumps,
                };
                let (current, ending) = (self.is_current(by), self.txn.state.ending());
                let outcome = self.step(command);
                assert_eq!(outcome.is_ok(), current && ending.is_none(), "{outcome:?}");
                if outcome.is_ok() {
                    assert_eq!(self.txn.verify(by, partition(index)), Ok(()));
                }
            }
            Act::End(who, commits) => {
                let Some(by) = self.who(who) else { return };
                let ending = if commits {
                    Ending::Commit
                } else {
                    Ending::Abort
                };
                let current = self.is_current(by);
                let outcome = self.step(end(by, ending, self.bumps));
                let ends = matches!(outcome, Ok(Effect::End(_)));
                assert!(!ends || current, "only the current producer ends anything");
                assert!(!matches!(outcome, Ok(Effect::Keep)));
            }
            Act::Tick => {
                let overdue = self.txn.is_overdue(self.now_ms);
                let outcome = self.step(Command::Tick);
                assert_eq!(overdue, outcome == Ok(Effect::End(Ending::Abort)));
            }
            Act::Wait(ms) => self.now_ms += ms,
            Act::Finish => self.finish(),
            Act::Age => {
                let idle = self.txn.state.ending().is_none() && self.txn.epoch >= 0;
                if idle && self.txn.epoch < i16::MAX - 4 {
                    self.txn.epoch = i16::MAX - 4;
                    self.identities.push(self.txn.producer());
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_history_breaks_the_law(bumps: bool, acts in proptest::collection::vec(act(), 1..80)) {
        let mut history = History::new(bumps);
        history.act(Act::Init);
        for act in acts {
            history.act(act);
        }
        // However it went, the next producer gets in.
        history.finish();
        history.ask_init(None);
        prop_assert_eq!(history.txn.state, State::Empty);
        prop_assert_eq!(history.identities.last(), Some(&history.txn.producer()));
    }
}
