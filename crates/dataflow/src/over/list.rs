//! The rows of each key in an order, as bytes that compare so. Of rows that only come, those that can be in the result; of rows that may
//! leave, all.

use std::collections::BTreeMap;

use headwater_sql::graph::Rank;

use crate::codec::{Arena, Span};

/// Rows with equal first bytes (by the ORDER BY) are peers: how many these are stands in the last 4 of a row's bytes, if ranks need it.
pub(super) struct Ranking {
    pub rank: Rank,
    pub to: usize,
}

impl Ranking {
    pub(super) fn has_prefix(&self) -> bool {
        self.rank != Rank::Row
    }

    /// The numbers of rows in their order, as far as they are in bounds.
    pub(super) fn numbers<'a>(&self, rows: impl Iterator<Item = &'a [u8]>) -> Vec<u64> {
        let mut numbers: Vec<u64> = Vec::new();
        let mut last: &[u8] = &[];
        for (at, row) in (1..).zip(rows) {
            let peers = peers_of(row);
            let number = match (self.rank, numbers.last()) {
                (Rank::Row, _) | (_, None) => at,
                (_, Some(number)) if peers == last => *number,
                (Rank::Rank, _) => at,
                (Rank::Dense, Some(number)) => number + 1,
            };
            if number > self.to as u64 {
                break;
            }
            last = peers;
            numbers.push(number);
        }
        numbers
    }
}

fn peers_of(row: &[u8]) -> &[u8] {
    let Some((rest, length)) = row.split_last_chunk::<4>() else {
        return row;
    };
    rest.get(..u32::from_le_bytes(*length) as usize)
        .unwrap_or(rest)
}

/// Few rows cost nothing beside their place.
#[derive(Clone, Debug, Default)]
pub(super) enum Few {
    #[default]
    None,
    One(Span),
    // A vector by itself would make every list larger.
    #[allow(clippy::box_collection)]
    Many(Box<Vec<Span>>),
}

impl Few {
    pub(super) fn as_slice(&self) -> &[Span] {
        match self {
            Self::None => &[],
            Self::One(span) => std::slice::from_ref(span),
            Self::Many(spans) => spans,
        }
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [Span] {
        match self {
            Self::None => &mut [],
            Self::One(span) => std::slice::from_mut(span),
            Self::Many(spans) => spans,
        }
    }

    fn insert(&mut self, at: usize, span: Span) {
        match self {
            Self::None => *self = Self::One(span),
            Self::One(first) => {
                let mut spans = vec![*first];
                spans.insert(at, span);
                *self = Self::Many(Box::new(spans));
            }
            Self::Many(spans) => spans.insert(at, span),
        }
    }

    fn pop(&mut self) -> Option<Span> {
        match std::mem::take(self) {
            Self::None => None,
            Self::One(span) => Some(span),
            Self::Many(mut spans) => {
                let last = spans.pop();
                *self = match spans.as_slice() {
                    [one] => Self::One(*one),
                    _ => Self::Many(spans),
                };
                last
            }
        }
    }

    fn heap_bytes(&self) -> usize {
        match self {
            Self::Many(spans) => spans.capacity() * size_of::<Span>() + size_of::<Vec<Span>>(),
            _ => 0,
        }
    }
}

/// Rows by key.
pub(super) enum Lists {
    /// Rows that can be in the result.
    Few { lists: Vec<Few>, arena: Arena },
    /// All rows with their counts.
    All {
        lists: Vec<BTreeMap<Box<[u8]>, u32>>,
        heap_bytes: usize,
    },
}

/// What of a key was in the result: the bytes of its first rows.
pub(super) enum Before {
    Few(Few),
    All(Vec<Box<[u8]>>),
}

impl Lists {
    pub(super) fn new(retracts: bool) -> Self {
        match retracts {
            true => Self::All {
                lists: Vec::new(),
                heap_bytes: 0,
            },
            false => Self::Few {
                lists: Vec::new(),
                arena: Arena::default(),
            },
        }
    }

    pub(super) fn grow(&mut self, keys: usize) {
        match self {
            Self::Few { lists, .. } => lists.resize_with(keys.max(lists.len()), Few::default),
            Self::All { lists, .. } => lists.resize_with(keys.max(lists.len()), BTreeMap::new),
        }
    }

    /// A key's first rows that may be in the result, before the step changes them.
    pub(super) fn before(&self, key: u32, ranking: &Ranking) -> Before {
        match self {
            Self::Few { lists, .. } => Before::Few(lists[key as usize].clone()),
            Self::All { .. } => {
                let count = ranking.numbers(self.rows(key)).len();
                Before::All(self.rows(key).take(count).map(Box::from).collect())
            }
        }
    }

    /// Whether a row that comes can be in the result.
    pub(super) fn matters(&self, key: u32, row: &[u8], ranking: &Ranking) -> bool {
        match self {
            Self::Few { lists, arena } if ranking.rank == Rank::Row => {
                let list = lists[key as usize].as_slice();
                list.len() < ranking.to || list.last().is_none_or(|last| row < arena.get(*last))
            }
            _ => true,
        }
    }

    /// Adds a row. What no longer can be in the result goes; its bytes stay until [`Lists::tidy`], `dead` gets them.
    pub(super) fn add(&mut self, key: u32, row: &[u8], ranking: &Ranking, dead: &mut Vec<Span>) {
        match self {
            Self::Few { lists, arena } => {
                let list = &mut lists[key as usize];
                let at = list.as_slice().partition_point(|s| arena.get(*s) <= row);
                list.insert(at, arena.put(row));
                let rows = list.as_slice().iter().map(|s| arena.get(*s));
                let stay = match ranking.rank {
                    Rank::Row => ranking.to,
                    _ => ranking.numbers(rows).len(),
                };
                while list.as_slice().len() > stay {
                    dead.extend(list.pop());
                }
            }
            Self::All { lists, heap_bytes } => {
                let list = &mut lists[key as usize];
                match list.get_mut(row) {
                    Some(count) => *count += 1,
                    None => {
                        *heap_bytes += row.len();
                        list.insert(row.into(), 1);
                    }
                }
            }
        }
    }

    /// Takes a row away, if it is there.
    pub(super) fn remove(&mut self, key: u32, row: &[u8]) {
        if let Self::All { lists, heap_bytes } = self {
            let list = &mut lists[key as usize];
            match list.get_mut(row) {
                Some(count) if *count > 1 => *count -= 1,
                Some(_) => {
                    *heap_bytes -= row.len();
                    list.remove(row);
                }
                None => {}
            }
        }
    }

    /// A key's rows, each as often as it is there.
    pub(super) fn rows(&self, key: u32) -> Box<dyn Iterator<Item = &[u8]> + '_> {
        match self {
            Self::Few { lists, arena } => {
                Box::new(lists[key as usize].as_slice().iter().map(|s| arena.get(*s)))
            }
            Self::All { lists, .. } => {
                let rows = lists[key as usize].iter();
                Box::new(rows.flat_map(|(row, n)| std::iter::repeat_n(row.as_ref(), *n as usize)))
            }
        }
    }

    pub(super) fn of_before<'a>(&'a self, before: &'a Before) -> Vec<&'a [u8]> {
        match (before, self) {
            (Before::Few(few), Self::Few { arena, .. }) => {
                few.as_slice().iter().map(|s| arena.get(*s)).collect()
            }
            (Before::All(rows), _) => rows.iter().map(AsRef::as_ref).collect(),
            _ => Vec::new(),
        }
    }

    pub(super) fn is_empty(&self, key: u32) -> bool {
        match self {
            Self::Few { lists, .. } => lists[key as usize].as_slice().is_empty(),
            Self::All { lists, .. } => lists[key as usize].is_empty(),
        }
    }

    /// Forgets a key's rows.
    pub(super) fn clear(&mut self, key: u32) {
        match self {
            Self::Few { lists, arena } => {
                let list = std::mem::take(&mut lists[key as usize]);
                list.as_slice().iter().for_each(|s| arena.free(*s));
            }
            Self::All { lists, heap_bytes } => {
                let list = std::mem::take(&mut lists[key as usize]);
                *heap_bytes -= list.keys().map(|row| row.len()).sum::<usize>();
            }
        }
    }

    /// Gives back the space of rows that went.
    pub(super) fn tidy(&mut self, dead: &mut Vec<Span>) {
        if let Self::Few { lists, arena } = self {
            dead.drain(..).for_each(|span| arena.free(span));
            if arena.wasteful() {
                arena.compact(lists.iter_mut().flat_map(Few::as_mut_slice));
            }
        }
    }

    /// These keys only, as keys 0, 1, ...
    pub(super) fn keep(&mut self, kept: &[u32]) {
        match self {
            Self::Few { lists, arena } => {
                let take = |key: &u32| std::mem::take(&mut lists[*key as usize]);
                let fresh: Vec<Few> = kept.iter().map(take).collect();
                *lists = fresh;
                arena.compact(lists.iter_mut().flat_map(Few::as_mut_slice));
            }
            Self::All { lists, heap_bytes } => {
                let take = |key: &u32| std::mem::take(&mut lists[*key as usize]);
                let fresh: Vec<_> = kept.iter().map(take).collect();
                *lists = fresh;
                *heap_bytes = lists.iter().flat_map(|l| l.keys()).map(|r| r.len()).sum();
            }
        }
    }

    pub(super) fn keys(&self) -> usize {
        match self {
            Self::Few { lists, .. } => lists.len(),
            Self::All { lists, .. } => lists.len(),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Few { lists, .. } => lists.iter().map(|l| l.as_slice().len()).sum(),
            Self::All { lists, .. } => lists.iter().map(BTreeMap::len).sum(),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Few { lists, arena } => {
                let heap: usize = lists.iter().map(Few::heap_bytes).sum();
                lists.capacity() * size_of::<Few>() + heap + arena.bytes()
            }
            Self::All { lists, heap_bytes } => {
                // B-tree nodes are about three quarters full; a row is an allocation of its own.
                let rows: usize = lists.iter().map(BTreeMap::len).sum();
                lists.capacity() * size_of::<BTreeMap<Box<[u8]>, u32>>() + heap_bytes + rows * 48
            }
        }
    }
}
