//! A good history has no findings; each way to spoil it has its own.
#![allow(clippy::unwrap_used)]

use super::event::Isolation::{Committed, Uncommitted};
use super::{AUDIT, Event, Isolation, Kind, Line, Place, Source, check, parse};

/// Builds a history; time is the number of the event.
#[derive(Clone, Default)]
struct Story(Vec<Event>);

fn place(index: i32) -> Place {
    Place("t".into(), index)
}

impl Story {
    fn and(mut self, event: Event) -> Self {
        self.0.push(event);
        self
    }

    fn sent(self, writer: &str, n: u64, index: i32, txn: Option<u64>) -> Self {
        self.and(Event::Send {
            writer: writer.into(),
            n,
            at: place(index),
            txn,
            source: None,
            key: None,
        })
    }

    fn acked(self, writer: &str, n: u64, offset: i64) -> Self {
        self.and(Event::Ack {
            writer: writer.into(),
            n,
            offset: Some(offset),
        })
    }

    /// Sent and acked.
    fn wrote(self, writer: &str, n: u64, index: i32, offset: i64, txn: Option<u64>) -> Self {
        self.sent(writer, n, index, txn).acked(writer, n, offset)
    }

    fn committed(self, writer: &str, txn: u64) -> Self {
        self.and(Event::Commit {
            writer: writer.into(),
            txn,
        })
        .and(Event::Committed {
            writer: writer.into(),
            txn,
        })
    }

    fn aborted(self, writer: &str, txn: u64) -> Self {
        self.and(Event::Abort {
            writer: writer.into(),
            txn,
        })
    }

    fn read(
        self,
        reader: &str,
        isolation: Isolation,
        index: i32,
        span: (i64, i64),
        records: &[(i64, &str, u64)],
    ) -> Self {
        let since = self.0.len() as u64;
        let records = records
            .iter()
            .map(|(offset, writer, n)| (*offset, (*writer).to_owned(), *n))
            .collect();
        self.and(Event::Read {
            reader: reader.into(),
            since,
            isolation,
            at: place(index),
            from: span.0,
            next: span.1,
            records,
        })
    }

    /// The audit: what is held, in both isolations.
    fn held(self, index: i32, all: &[(i64, &str, u64)], committed: &[(i64, &str, u64)]) -> Self {
        self.read(AUDIT, Uncommitted, index, (0, 100), all).read(
            AUDIT,
            Committed,
            index,
            (0, 100),
            committed,
        )
    }

    fn marks(self, high: i64, stable: i64) -> Self {
        let since = self.0.len() as u64;
        self.and(Event::Marks {
            reader: "m".into(),
            since,
            at: place(1),
            start: 0,
            high,
            stable,
        })
    }

    fn offered(self, offset: i64) -> Self {
        let (group, at) = ("g".to_owned(), place(0));
        self.and(Event::Offer {
            group: group.clone(),
            at: at.clone(),
            offset,
        })
        .and(Event::Offered { group, at, offset })
    }

    fn position(self, offset: i64) -> Self {
        let since = self.0.len() as u64;
        self.and(Event::Position {
            group: "g".into(),
            since,
            at: place(0),
            offset,
        })
    }

    fn copied(self, writer: &str, n: u64, offset: i64, source: i64, txn: u64) -> Self {
        let source = Some(Source {
            group: "g".into(),
            at: place(0),
            offset: source,
        });
        self.and(Event::Send {
            writer: writer.into(),
            n,
            at: place(1),
            txn: Some(txn),
            source,
            key: None,
        })
        .acked(writer, n, offset)
    }

    fn lines(&self) -> Vec<Line> {
        let line = |(t, e): (usize, &Event)| Line {
            t: t as u64,
            e: e.clone(),
        };
        self.0.iter().enumerate().map(line).collect()
    }

    fn is(&self, kinds: &[Kind]) {
        let findings = check(&self.lines());
        let mut got: Vec<Kind> = findings.iter().map(|finding| finding.kind).collect();
        got.sort();
        got.dedup();
        assert_eq!(got, kinds, "{findings:#?}");
    }
}

fn two_plain() -> Story {
    Story::default()
        .wrote("p", 0, 0, 0, None)
        .wrote("p", 1, 0, 1, None)
}

#[test]
fn a_good_history_has_no_findings() {
    let story = two_plain()
        .wrote("x", 0, 0, 2, Some(1))
        .committed("x", 1)
        .wrote("x", 1, 0, 4, Some(2))
        .aborted("x", 2);
    let committed = [(0, "p", 0), (1, "p", 1), (2, "x", 0)];
    let all = [(0, "p", 0), (1, "p", 1), (2, "x", 0), (4, "x", 1)];
    story
        .read("c", Committed, 0, (0, 6), &committed)
        .held(0, &all, &committed)
        .is(&[]);
}

#[test]
fn what_is_not_acked_may_be_there_or_not() {
    let story = two_plain().sent("p", 2, 0, None);
    let (two, three) = (
        [(0, "p", 0), (1, "p", 1)],
        [(0, "p", 0), (1, "p", 1), (2, "p", 2)],
    );
    story.clone().held(0, &two, &two).is(&[]);
    story.held(0, &three, &three).is(&[]);
}

#[test]
fn lost() {
    let one = [(0, "p", 0)];
    two_plain().held(0, &one, &one).is(&[Kind::Lost]);
    let trimmed = Event::Trimmed {
        at: place(0),
        before: 1,
    };
    let left = [(1, "p", 1)];
    two_plain().and(trimmed).held(0, &left, &left).is(&[]);
    let txn = two_plain().wrote("x", 0, 0, 2, Some(1)).committed("x", 1);
    let two = [(0, "p", 0), (1, "p", 1)];
    txn.held(0, &two, &two).is(&[Kind::Lost]);
}

#[test]
fn duplicated() {
    let all = [(0, "p", 0), (1, "p", 1), (2, "p", 1)];
    two_plain()
        .held(0, &all, &all)
        .is(&[Kind::Duplicated, Kind::Differs]);
}

#[test]
fn reordered() {
    let story = Story::default().sent("p", 0, 0, None).sent("p", 1, 0, None);
    let all = [(0, "p", 1), (1, "p", 0)];
    story.held(0, &all, &all).is(&[Kind::Reordered]);
}

#[test]
fn aborted_reads() {
    let story = Story::default()
        .wrote("x", 0, 0, 0, Some(1))
        .aborted("x", 1);
    story
        .held(0, &[(0, "x", 0)], &[(0, "x", 0)])
        .is(&[Kind::AbortedRead]);
}

#[test]
fn dirty_reads() {
    let early = Story::default()
        .wrote("x", 0, 0, 0, Some(1))
        .read("c", Committed, 0, (0, 1), &[(0, "x", 0)])
        .committed("x", 1);
    early
        .held(0, &[(0, "x", 0)], &[(0, "x", 0)])
        .is(&[Kind::DirtyRead]);
    let left_open = Story::default().wrote("x", 0, 0, 0, Some(1));
    left_open
        .held(0, &[(0, "x", 0)], &[(0, "x", 0)])
        .is(&[Kind::DirtyRead]);
}

#[test]
fn torn_transactions() {
    let two = Story::default()
        .wrote("x", 0, 0, 0, Some(1))
        .wrote("x", 1, 1, 0, Some(1));
    let asked = two.clone().and(Event::Commit {
        writer: "x".into(),
        txn: 1,
    });
    asked
        .held(0, &[(0, "x", 0)], &[(0, "x", 0)])
        .held(1, &[(0, "x", 1)], &[])
        .is(&[Kind::TornTransaction]);
    let half = two
        .committed("x", 1)
        .read("c", Committed, 0, (0, 1), &[(0, "x", 0)])
        .marks(1, 0);
    let whole =
        half.held(0, &[(0, "x", 0)], &[(0, "x", 0)])
            .held(1, &[(0, "x", 1)], &[(0, "x", 1)]);
    whole.is(&[Kind::TornTransaction]);
}

#[test]
fn what_only_grows() {
    Story::default().marks(5, 5).marks(7, 6).is(&[]);
    Story::default()
        .marks(5, 5)
        .marks(4, 4)
        .is(&[Kind::WentBack]);
    Story::default()
        .marks(5, 5)
        .marks(6, 4)
        .is(&[Kind::WentBack]);
    Story::default()
        .offered(5)
        .position(5)
        .offered(7)
        .position(7)
        .is(&[]);
    Story::default()
        .offered(5)
        .offered(7)
        .position(5)
        .is(&[Kind::WentBack]);
    Story::default()
        .offered(5)
        .position(-1)
        .is(&[Kind::WentBack]);
}

#[test]
fn an_offset_whose_outcome_nobody_knows_may_come_late() {
    let open = Event::Offer {
        group: "g".into(),
        at: place(0),
        offset: 3,
    };
    Story::default()
        .and(open.clone())
        .offered(5)
        .position(3)
        .is(&[]);
    let refused = Event::OfferRefused {
        group: "g".into(),
        at: place(0),
        offset: 3,
    };
    Story::default()
        .and(open)
        .and(refused)
        .offered(5)
        .position(3)
        .is(&[Kind::WentBack]);
}

#[test]
fn reads_that_differ() {
    let story = two_plain()
        .sent("p", 2, 0, None)
        .read("c", Uncommitted, 0, (0, 1), &[(0, "p", 2)]);
    let all = [(0, "p", 0), (1, "p", 1), (2, "p", 2)];
    story.held(0, &all, &all).is(&[Kind::Differs]);
    let vanished =
        two_plain()
            .sent("p", 2, 0, None)
            .read("c", Uncommitted, 0, (2, 3), &[(2, "p", 2)]);
    vanished.held(0, &all[..2], &all[..2]).is(&[Kind::Differs]);
}

#[test]
fn skipped() {
    let all = [(0, "p", 0), (1, "p", 1)];
    two_plain()
        .read("c", Committed, 0, (0, 2), &[(1, "p", 1)])
        .held(0, &all, &all)
        .is(&[Kind::Skipped]);
}

#[test]
fn fenced_writes() {
    let init = |writer: &str, since| Event::Init {
        writer: writer.into(),
        transactional_id: "tid".into(),
        since,
    };
    let first = Story::default()
        .and(init("x1", 0))
        .wrote("x1", 0, 0, 0, Some(1));
    // Both asked at once, and the answers may have overtaken each other.
    let together = first.clone().and(init("x2", 0)).committed("x1", 1);
    let held = [(0, "x1", 0)];
    together.held(0, &held, &held).is(&[]);
    let story = first.and(init("x2", 2));
    story.clone().held(0, &[(0, "x1", 0)], &[]).is(&[]);
    story
        .clone()
        .committed("x1", 1)
        .held(0, &[(0, "x1", 0)], &[(0, "x1", 0)])
        .is(&[Kind::FencedWrite]);
    story
        .wrote("x1", 1, 0, 1, Some(1))
        .held(0, &[(0, "x1", 0), (1, "x1", 1)], &[])
        .is(&[Kind::FencedWrite]);
}

#[test]
fn resurrected() {
    let story = two_plain()
        .and(Event::Trimmed {
            at: place(0),
            before: 1,
        })
        .read("c", Committed, 0, (0, 1), &[(0, "p", 0)]);
    let left = [(1, "p", 1)];
    story.held(0, &left, &left).is(&[Kind::Resurrected]);
}

#[test]
fn invented() {
    let all = [(0, "p", 0), (1, "p", 1), (2, "q", 0)];
    two_plain().held(0, &all, &all).is(&[Kind::Invented]);
}

#[test]
fn inexact_copies() {
    let inputs = [(0, "p", 0), (1, "p", 1)];
    let once = two_plain().copied("x", 0, 0, 0, 1).committed("x", 1);
    once.clone()
        .held(0, &inputs, &inputs)
        .held(1, &[(0, "x", 0)], &[(0, "x", 0)])
        .position(1)
        .is(&[]);
    once.clone()
        .held(0, &inputs, &inputs)
        .held(1, &[(0, "x", 0)], &[(0, "x", 0)])
        .position(2)
        .is(&[Kind::InexactCopy]);
    let twice = once.copied("x", 1, 1, 0, 2).committed("x", 2);
    let outputs = [(0, "x", 0), (1, "x", 1)];
    twice
        .held(0, &inputs, &inputs)
        .held(1, &outputs, &outputs)
        .position(1)
        .is(&[Kind::InexactCopy]);
}

#[test]
fn lines_are_read_in_order_of_time() {
    let lines = two_plain().lines();
    let text: Vec<String> = lines
        .iter()
        .rev()
        .map(|line| serde_json::to_string(line).unwrap())
        .collect();
    assert_eq!(parse(&text.join("\n")).unwrap(), lines);
    assert!(parse("{}").unwrap_err().starts_with("line 1:"));
}

#[test]
fn compaction_keeps_the_newest_of_each_key() {
    let sent = |n: u64| Event::Send {
        writer: "p".into(),
        n,
        at: place(0),
        txn: None,
        source: None,
        key: Some("k".into()),
    };
    let compacted = Event::Compacted { at: place(0) };
    let story = Story::default()
        .and(compacted)
        .and(sent(0))
        .acked("p", 0, 0)
        .and(sent(1))
        .acked("p", 1, 1);
    story
        .clone()
        .held(0, &[(1, "p", 1)], &[(1, "p", 1)])
        .is(&[]);
    story
        .held(0, &[(0, "p", 0)], &[(0, "p", 0)])
        .is(&[Kind::Lost]);
}
