//! The sessions of each key as intervals: what they become when rows come and go, and the labels that they keep meanwhile.
//!
//! Knows times only, no rows.

use hashbrown::HashSet;

use crate::codec::hash::Fixed;

/// Rows of a key whose times follow each other at less than the gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Session {
    /// Times of its first and its last row, microseconds.
    pub first: i64,
    pub last: i64,
    /// Places of rows in it, see [`cut`].
    pub rows: u32,
    /// At or after its end; that of no other session of the key.
    pub label: i64,
}

impl Session {
    pub(super) fn end(&self, gap_us: i64) -> i64 {
        self.last.saturating_add(gap_us)
    }

    /// What a row of this time is told: the label, and whether the row has a bound of the session.
    pub(super) fn told(&self, time: i64) -> (i64, bool) {
        (self.label, time == self.first || time == self.last)
    }
}

/// Times in ascending order as sessions, which have no label yet.
pub(super) fn cut(times: impl Iterator<Item = i64>, gap_us: i64) -> Vec<Session> {
    let mut sessions: Vec<Session> = Vec::new();
    for time in times {
        match sessions.last_mut() {
            Some(open) if time.saturating_sub(open.last) < gap_us => {
                open.last = time;
                open.rows += 1;
            }
            _ => sessions.push(Session {
                first: time,
                last: time,
                rows: 1,
                label: i64::MAX,
            }),
        }
    }
    sessions
}

/// Gives each session the label of the largest that it shares rows with, as long as that is not before its end; else one of its own: of a
/// new session its end, of one that grew twice as far away, so that a session changes its label as often as its length doubles.
/// Of one that ended at or before `closed_us` it is the end always: its rows are late. `taken`: whether another session has the label.
pub(super) fn label(
    old: &[Session],
    new: &mut [Session],
    (gap_us, closed_us): (i64, i64),
    taken: impl Fn(i64) -> bool,
) {
    let empty = || HashSet::<i64, Fixed>::with_hasher(Fixed::with_seed(0));
    let (mut reserved, mut kept) = (empty(), empty());
    reserved.extend(old.iter().map(|o| o.label));
    let mut from = 0;
    for session in new {
        from += old[from..].partition_point(|o| o.last < session.first);
        let shared = &old[from..from + old[from..].partition_point(|o| o.first <= session.last)];
        let end = session.end(gap_us);
        let largest = shared.iter().max_by_key(|o| (o.rows, o.label));
        if let Some(label) = largest.map(|o| o.label).filter(|label| *label >= end)
            && kept.insert(label)
        {
            session.label = label;
            continue;
        }
        session.label = match shared.is_empty() || end <= closed_us {
            true => end,
            false => end.saturating_add(end.saturating_sub(session.first)),
        };
        while session.label < i64::MAX
            && (reserved.contains(&session.label) || taken(session.label))
        {
            session.label += 1;
        }
        reserved.insert(session.label);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(first: i64, last: i64, rows: u32, label: i64) -> Session {
        Session {
            first,
            last,
            rows,
            label,
        }
    }

    fn labelled(old: &[Session], times: &[i64]) -> Vec<i64> {
        let mut new = cut(times.iter().copied(), 10);
        label(old, &mut new, (10, -100), |label| label == 200);
        new.iter().map(|s| s.label).collect()
    }

    #[test]
    fn a_gap_ends_a_session() {
        let cuts = cut([0, 9, 18, 28, 50].into_iter(), 10);
        let bounds: Vec<(i64, i64, u32)> = cuts.iter().map(|s| (s.first, s.last, s.rows)).collect();
        assert_eq!(bounds, [(0, 18, 3), (28, 28, 1), (50, 50, 1)]);
    }

    #[test]
    fn a_session_keeps_its_label_until_it_is_past_it() {
        assert_eq!(labelled(&[], &[0]), [10]);
        let old = [session(0, 0, 1, 10)];
        assert_eq!(labelled(&old, &[0, 5]), [30]);
        let old = [session(0, 5, 2, 30)];
        assert_eq!(labelled(&old, &[0, 5, 14, 20]), [30]);
        assert_eq!(labelled(&old, &[0, 5, 14, 21]), [62]);
        assert_eq!(
            labelled(&[session(-150, -150, 1, -140)], &[-150, -145]),
            [-135]
        );
    }

    #[test]
    fn joined_sessions_take_the_label_of_the_larger_one_and_parts_have_two() {
        let old = [session(0, 2, 2, 40), session(15, 19, 5, 60)];
        assert_eq!(labelled(&old, &[0, 2, 8, 15, 19]), [60]);
        let old = [session(0, 20, 5, 60)];
        assert_eq!(labelled(&old, &[0, 20]), [60, 40]);
    }

    #[test]
    fn a_label_is_of_one_session() {
        assert_eq!(labelled(&[], &[190]), [201]);
        let old = [session(0, 20, 5, 70)];
        assert_eq!(labelled(&old, &[0, 20, 60]), [70, 40, 71]);
    }
}
