//! Generated queries as views, held against the batch. `GENERATED=10000` runs that many (500), `SLT_SEED` is the first seed, and
//! `GENERATED_DIR` gets every fourth group with the batch's answers as a case file, to be held against another database.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::file::{Group, Query};
use crate::variant::{self, Variant};
use crate::{generate, number, run};

const QUERIES: u64 = 10;
/// Runs that shrinking a failure may take.
const SHRINK_RUNS_MAX: usize = 60;

#[test]
fn generated_queries_hold_the_batch_answer() {
    let first = number("SLT_SEED").unwrap_or(1);
    let wanted = number("GENERATED").unwrap_or(500);
    let folder = std::env::var("GENERATED_DIR").ok();
    let next = AtomicU64::new(0);
    let (held, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let refusals = Mutex::new(std::collections::BTreeMap::<String, usize>::new());
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= wanted.div_ceil(QUERIES) {
                return;
            }
            let group = generate::group(first + at, usize::try_from(QUERIES).unwrap());
            let variants = variant::draw(first + at, &group, false);
            let outcome = run::group(&group, &variants, false);
            held.fetch_add(outcome.answers.len(), Ordering::Relaxed);
            for reason in outcome.refused.values() {
                // Without the place.
                let words = reason
                    .split_once(": ")
                    .map_or(reason.as_str(), |(_, rest)| rest);
                let kind: String = words.chars().take(60).collect();
                *refusals.lock().unwrap().entry(kind).or_default() += 1;
            }
            if let Some(failure) = outcome.failures.first() {
                let small = shrunk(&group, failure.line, &variants);
                failures
                    .lock()
                    .unwrap()
                    .push(format!("{failure}\n--- shrunk:\n{small}"));
            }
            if let Some(folder) = folder.as_ref().filter(|_| at.is_multiple_of(4)) {
                let text = group.text(|query| outcome.answers.get(&query.line).cloned());
                std::fs::write(format!("{folder}/seed-{}.slt", first + at), text).unwrap();
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
    let refusals = refusals.into_inner().unwrap();
    let (held, refused) = (held.into_inner(), refusals.values().sum::<usize>());
    println!("{held} generated queries held, {refused} refused, seeds from {first}");
    refusals
        .iter()
        .for_each(|(reason, count)| println!("  {count:5} {reason}"));
    let failures = failures.into_inner().unwrap();
    assert!(
        failures.is_empty(),
        "{} groups fail:\n\n{}",
        failures.len(),
        failures.join("\n\n")
    );
    assert!(held > refused, "most are refused");
}

/// The same failure with one query and as few rows as are easily found.
fn shrunk(group: &Group, line: usize, variants: &[Variant]) -> String {
    let alone: Vec<Query> = group
        .queries
        .iter()
        .filter(|query| query.line == line)
        .cloned()
        .collect();
    let mut small = Group {
        queries: alone,
        ..group.clone()
    };
    let fails = |group: &Group| !run::group(group, variants, false).failures.is_empty();
    if small.queries.is_empty() || !fails(&small) {
        return "not with one query alone: generate the seed again".to_owned();
    }
    let mut runs = 0;
    let mut size = small.inputs.len() / 2;
    while size > 0 {
        let mut at = 0;
        while at < small.inputs.len() && runs < SHRINK_RUNS_MAX {
            let mut less = small.clone();
            less.inputs.drain(at..(at + size).min(small.inputs.len()));
            runs += 1;
            if fails(&less) {
                small = less
            } else {
                at += size
            }
        }
        size /= 2;
    }
    small.text(|_| Some(Vec::new()))
}
