//! The events of a history, sorted by what they are about. Moments are places in the history.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::event::{AUDIT, Event, Id, Isolation, Line, Place, Source};

/// A place in the history.
pub type Moment = usize;

/// A record that was sent.
#[derive(Clone, Debug)]
pub struct Sent {
    pub at: Place,
    pub when: Moment,
    pub txn: Option<u64>,
    pub source: Option<Source>,
    pub key: Option<String>,
    pub acked: bool,
    pub offset: Option<i64>,
}

/// A transaction of a writer.
#[derive(Clone, Debug, Default)]
pub struct Txn {
    pub records: Vec<Id>,
    pub commit: Option<Moment>,
    pub committed: Option<Moment>,
    pub abort: Option<Moment>,
}

/// One answer to a reader.
#[derive(Clone, Debug)]
pub struct Read {
    pub reader: String,
    pub when: Moment,
    pub since: u64,
    pub isolation: Isolation,
    pub at: Place,
    pub from: i64,
    pub next: i64,
    pub records: Vec<(i64, Id)>,
}

/// The extents that one answer told.
#[derive(Clone, Debug)]
pub struct Marks {
    pub since: u64,
    pub start: i64,
    pub high: i64,
    pub stable: i64,
}

/// A committed offset on its way.
#[derive(Clone, Debug)]
pub enum Offset {
    Offered {
        /// Time of the ack; none: nobody knows.
        acked: Option<u64>,
        offset: i64,
    },
    Seen {
        since: u64,
        offset: i64,
    },
}

/// See the module.
#[derive(Default)]
pub struct Model {
    pub times: Vec<u64>,
    pub sent: HashMap<Id, Sent>,
    pub txns: BTreeMap<(String, u64), Txn>,
    pub reads: Vec<Read>,
    pub marks: BTreeMap<(String, Place), Vec<Marks>>,
    /// By transactional id: writer, when it asked, when it was answered.
    pub inits: BTreeMap<String, Vec<(String, u64, Moment)>>,
    pub offsets: BTreeMap<(String, Place), Vec<Offset>>,
    pub trims: BTreeMap<Place, Vec<(u64, i64)>>,
    pub compacted: BTreeSet<Place>,
    /// What the log holds at the end.
    pub held: HashMap<Isolation, BTreeMap<Place, BTreeMap<i64, Id>>>,
}

impl Model {
    pub fn of(lines: &[Line]) -> Self {
        let mut model = Self::default();
        for (when, line) in lines.iter().enumerate() {
            model.times.push(line.t);
            model.note(when, line.t, &line.e);
        }
        model
    }

    fn note(&mut self, when: Moment, t: u64, event: &Event) {
        match event {
            Event::Send { .. } | Event::Ack { .. } => self.note_write(when, event),
            Event::Init { .. }
            | Event::Commit { .. }
            | Event::Committed { .. }
            | Event::Abort { .. } => self.note_txn(when, event),
            Event::Read { .. } | Event::Marks { .. } => self.note_read(when, event),
            Event::Trimmed { at, before } => {
                self.trims.entry(at.clone()).or_default().push((t, *before))
            }
            Event::Compacted { at } => drop(self.compacted.insert(at.clone())),
            _ => self.note_offset(t, event),
        }
    }

    fn note_write(&mut self, when: Moment, event: &Event) {
        match event.clone() {
            Event::Send {
                writer,
                n,
                at,
                txn,
                source,
                key,
            } => {
                let id = Id { writer, n };
                if let Some(number) = txn {
                    let txn = self.txns.entry((id.writer.clone(), number)).or_default();
                    txn.records.push(id.clone());
                }
                let sent = Sent {
                    at,
                    when,
                    txn,
                    source,
                    key,
                    acked: false,
                    offset: None,
                };
                self.sent.insert(id, sent);
            }
            Event::Ack { writer, n, offset } => {
                if let Some(sent) = self.sent.get_mut(&Id { writer, n }) {
                    (sent.acked, sent.offset) = (true, offset);
                }
            }
            _ => {}
        }
    }

    fn note_txn(&mut self, when: Moment, event: &Event) {
        match event {
            Event::Init {
                writer,
                transactional_id,
                since,
            } => self
                .inits
                .entry(transactional_id.clone())
                .or_default()
                .push((writer.clone(), *since, when)),
            Event::Commit { writer, txn } => self.txn(writer, *txn).commit = Some(when),
            Event::Committed { writer, txn } => self.txn(writer, *txn).committed = Some(when),
            Event::Abort { writer, txn } => self.txn(writer, *txn).abort = Some(when),
            _ => {}
        }
    }

    fn txn(&mut self, writer: &str, number: u64) -> &mut Txn {
        self.txns.entry((writer.to_owned(), number)).or_default()
    }

    fn note_read(&mut self, when: Moment, event: &Event) {
        match event.clone() {
            Event::Read {
                reader,
                since,
                isolation,
                at,
                from,
                next,
                records,
            } => {
                let id = |(offset, writer, n)| (offset, Id { writer, n });
                let records: Vec<(i64, Id)> = records.into_iter().map(id).collect();
                if reader == AUDIT {
                    let held = self.held.entry(isolation).or_default();
                    held.entry(at.clone())
                        .or_default()
                        .extend(records.iter().cloned());
                }
                self.reads.push(Read {
                    reader,
                    when,
                    since,
                    isolation,
                    at,
                    from,
                    next,
                    records,
                });
            }
            Event::Marks {
                reader,
                since,
                at,
                start,
                high,
                stable,
            } => {
                let marks = Marks {
                    since,
                    start,
                    high,
                    stable,
                };
                self.marks.entry((reader, at)).or_default().push(marks);
            }
            _ => {}
        }
    }

    fn note_offset(&mut self, t: u64, event: &Event) {
        match event.clone() {
            Event::Offer { group, at, offset } => {
                let offer = Offset::Offered {
                    acked: None,
                    offset,
                };
                self.offsets.entry((group, at)).or_default().push(offer);
            }
            Event::Offered { group, at, offset } => {
                self.settle_offer((group, at), offset, |acked| *acked = Some(t));
            }
            Event::OfferRefused { group, at, offset } => {
                let all = self.offsets.entry((group, at)).or_default();
                let open = all.iter().rposition(|one| one.is_open(offset));
                open.map(|found| all.remove(found));
            }
            Event::Position {
                group,
                since,
                at,
                offset,
            } => self
                .offsets
                .entry((group, at))
                .or_default()
                .push(Offset::Seen { since, offset }),
            _ => {}
        }
    }

    fn settle_offer(&mut self, key: (String, Place), offset: i64, set: impl Fn(&mut Option<u64>)) {
        let all = self.offsets.entry(key).or_default();
        if let Some(Offset::Offered { acked, .. }) =
            all.iter_mut().rev().find(|one| one.is_open(offset))
        {
            set(acked);
        }
    }

    /// What is held of a partition at the end, as this isolation shows it.
    pub fn held(&self, isolation: Isolation, at: &Place) -> Option<&BTreeMap<i64, Id>> {
        self.held.get(&isolation)?.get(at)
    }

    /// All partitions with what is held of them.
    pub fn all_held(
        &self,
        isolation: Isolation,
    ) -> impl Iterator<Item = (&Place, &BTreeMap<i64, Id>)> {
        self.held.get(&isolation).into_iter().flatten()
    }

    /// Where the partition begins after all trims.
    pub fn start(&self, at: &Place) -> i64 {
        let trims = self.trims.get(at).into_iter().flatten();
        trims.map(|trim| trim.1).max().unwrap_or(0)
    }

    /// The transaction of a record.
    pub fn txn_of(&self, id: &Id) -> Option<&Txn> {
        let number = self.sent.get(id)?.txn?;
        self.txns.get(&(id.writer.clone(), number))
    }
}

impl Offset {
    fn is_open(&self, wanted: i64) -> bool {
        matches!(self, Self::Offered { acked: None, offset } if *offset == wanted)
    }
}
