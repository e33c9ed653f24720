//! In which ways a group is run: what must not make a difference.

use std::fmt;

use crate::file::Group;

/// A small generator of numbers: the same seed gives the same run.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        let mut random = Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5DEE_CE66_D1CE_4E5B);
        random.below(2);
        random
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end.max(1)
    }

    pub fn one<T: Copy>(&mut self, of: &[T]) -> T {
        let at = self.below(of.len() as u64);
        of[usize::try_from(at).unwrap()]
    }
}

#[derive(Clone, Debug)]
pub struct Variant {
    pub seed: u64,
    pub shuffled: bool,
    pub step_rows: usize,
    pub threads: usize,
    pub shards: u16,
    pub crashes: usize,
    /// State is divided and spilled almost at once.
    pub spills: bool,
    /// A part of the rows is there before the views.
    pub late_views: bool,
    /// Each row is done before the next one comes.
    pub lockstep: bool,
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seed,
            shuffled,
            step_rows,
            threads,
            shards,
            crashes,
            spills,
            late_views,
            lockstep,
        } = self;
        let order = if *shuffled { "shuffled" } else { "in order" };
        let spills = if *spills { ", spilling" } else { "" };
        let late = if *late_views {
            ", views made later"
        } else {
            ""
        };
        let one = if *lockstep { ", row by row" } else { "" };
        write!(
            f,
            "{order}, steps of {step_rows}, {threads} threads, {shards} shards, {crashes} crashes{spills}{late}{one} (SLT_SEED={seed})"
        )
    }
}

impl Variant {
    /// In order, as large a step as can be, nothing special.
    pub fn plain() -> Self {
        Self {
            seed: 0,
            shuffled: false,
            step_rows: 1_000,
            threads: 1,
            shards: 1,
            crashes: 0,
            spills: false,
            late_views: false,
            lockstep: false,
        }
    }
}

/// Steps of 1, 7 and 1,000 rows; threads, shards and order both ways; with and without crashes; half of them with hardly any memory.
fn all(group: &Group, seed: u64) -> Vec<Variant> {
    let mut found = Vec::new();
    for (number, step_rows) in [1, 7, 1_000].into_iter().enumerate() {
        for bits in 0..16_usize {
            let on = |bit: usize| bits & (1 << bit) != 0;
            found.push(Variant {
                seed,
                shuffled: on(0) && !group.ordered,
                step_rows,
                threads: if on(1) { 4 } else { 1 },
                shards: if on(3) { 4 } else { 1 },
                crashes: if on(2) { 3 } else { 0 },
                spills: (bits / 2 + number) % 2 == 0,
                late_views: (bits + number) % 3 == 0,
                lockstep: false,
            });
        }
    }
    found
}

/// The plain run, one with crashes, one shuffled, each with the rest at random: over a few seeds everything meets everything.
pub fn draw(seed: u64, group: &Group, every: bool) -> Vec<Variant> {
    let all = all(group, seed);
    let mut drawn = vec![Variant::plain()];
    if group.queries.iter().any(|query| query.changelog.is_some()) {
        drawn.push(Variant {
            seed,
            step_rows: 1,
            lockstep: true,
            ..Variant::plain()
        });
    }
    if every {
        drawn.extend(all);
        return drawn;
    }
    let name: u64 = group.file.bytes().map(u64::from).sum();
    let mut random = Random::new(seed ^ (name << 16) ^ group.line as u64);
    let mut pick = |wanted: &dyn Fn(&Variant) -> bool| {
        let fit: Vec<&Variant> = all.iter().filter(|v| wanted(v)).collect();
        random.one(&fit).clone()
    };
    let shuffled = !group.ordered;
    drawn.push(pick(&|v| v.crashes > 0));
    drawn.push(pick(&|v| v.shuffled == shuffled && v.crashes == 0));
    drawn.push(pick(&|v| {
        v.shuffled == shuffled && v.step_rows < 1_000 && v.crashes > 0
    }));
    drawn
}
