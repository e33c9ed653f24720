//! Event time of the inputs: one watermark a partition, the smallest of those that are not idle for whoever reads them.
//!
//! Knows no clock: idleness is decided by the caller and written into the step.

/// No watermark yet.
pub const NONE: i64 = i64::MIN;
/// The input has ended.
pub const END: i64 = i64::MAX;

/// For each row the watermark just before it, given the watermark expression's value per row; answers the watermark after the last one.
pub fn before_rows(
    start: i64,
    values: impl Iterator<Item = Option<i64>>,
    out: &mut Vec<i64>,
) -> i64 {
    let mut current = start;
    for value in values {
        out.push(current);
        if let Some(value) = value {
            current = current.max(value);
        }
    }
    current
}

/// The watermark of a source: the smallest over its partitions, leaving out the idle ones; when all of them are idle, the
/// largest that any has reached. `floor` is what was answered before: a watermark never goes back.
pub fn of_source(partitions: impl Iterator<Item = (i64, bool)> + Clone, floor: i64) -> i64 {
    let active = partitions
        .clone()
        .filter(|(_, idle)| !idle)
        .map(|(watermark, _)| watermark)
        .min();
    let reached = match active {
        Some(watermark) => watermark,
        None => partitions
            .map(|(watermark, _)| watermark)
            .max()
            .unwrap_or(NONE),
    };
    reached.max(floor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_partition_counts_unless_it_is_idle() {
        assert_eq!(of_source([(10, false), (7, false)].into_iter(), NONE), 7);
        assert_eq!(of_source([(10, false), (7, true)].into_iter(), NONE), 10);
        assert_eq!(of_source([(10, true), (7, true)].into_iter(), NONE), 10);
        assert_eq!(
            of_source([(NONE, false), (7, false)].into_iter(), NONE),
            NONE
        );
        assert_eq!(of_source([(NONE, false), (7, false)].into_iter(), 5), 5);
    }

    #[test]
    fn a_row_sees_the_watermark_of_the_rows_before_it() {
        let mut before = Vec::new();
        let after = before_rows(
            3,
            [Some(2), Some(9), None, Some(4)].into_iter(),
            &mut before,
        );
        assert_eq!((before, after), (vec![3, 3, 9, 9], 9));
    }
}
