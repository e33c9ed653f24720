//! SQL as files, in the style of sqllogictest: what views hold after all input is in, whatever the order of arrival, the cut into steps, the
//! number of threads and of shards, and crashes. `cases/README.md` says how a file is written.
//!
//! `SLT=joins` runs the files whose name contains it, `SLT_SEED=7` draws the variants with another seed, `SLT_ALL=1` runs all of them,
//! `SLT_DIR` reads another folder, `SLT_REWRITE=1` writes the answers of the batch into the files (to be held against another database
//! by `tests/e2e/test_sql_cases.py`).
#![allow(clippy::unwrap_used)]

mod file;
mod generate;
mod generated;
mod input;
mod log;
mod node;
mod rewrite;
mod run;
mod values;
mod variant;

use std::path::{Path, PathBuf};
use std::sync::Mutex;

fn folder() -> PathBuf {
    let own = || Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sql/cases");
    std::env::var("SLT_DIR").map_or_else(|_| own(), PathBuf::from)
}

fn files() -> Vec<PathBuf> {
    let wanted = std::env::var("SLT").unwrap_or_default();
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "slt"))
        .filter(|path| {
            path.file_stem()
                .unwrap()
                .to_string_lossy()
                .contains(&wanted)
        })
        .collect();
    found.sort();
    found
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// Every group of every file, in the first variant and in some that its seed draws (`SLT_ALL`: in all).
#[test]
fn views_hold_the_batch_answer() {
    let seed = number("SLT_SEED").unwrap_or(1);
    let rewriting = number("SLT_REWRITE").is_some();
    let all = number("SLT_ALL").is_some();
    let files = Mutex::new(files().into_iter());
    let (failures, counts) = (Mutex::new(Vec::new()), Mutex::new((0, 0, 0)));
    let work = || {
        while let Some(path) = { files.lock().unwrap().next() } {
            let began = std::time::Instant::now();
            let groups = file::read(&path);
            let mut told = Vec::new();
            let (mut cases, mut runs) = (0, 0);
            for group in &groups {
                let variants = match rewriting {
                    true => vec![variant::Variant::plain()],
                    false => variant::draw(seed, group, all),
                };
                cases += group.queries.len() + group.errors.len();
                runs += variants.len();
                told.extend(run::group(group, &variants, rewriting).failures);
            }
            if rewriting {
                rewrite::file(&path, &told);
                told.retain(|failure| failure.answer.is_none());
            }
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            println!(
                "{name}: {cases} cases, {runs} runs, {} ms",
                began.elapsed().as_millis()
            );
            failures
                .lock()
                .unwrap()
                .extend(told.iter().map(ToString::to_string));
            let mut counts = counts.lock().unwrap();
            *counts = (counts.0 + cases, counts.1 + runs, counts.2 + 1);
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
    let (failures, (cases, runs, files)) =
        (failures.into_inner().unwrap(), counts.into_inner().unwrap());
    println!("{cases} cases in {files} files, {runs} runs, seed {seed}");
    assert!(files > 0, "no files");
    assert!(
        failures.is_empty(),
        "{} failures, seed {seed}:\n\n{}",
        failures.len(),
        failures.join("\n\n")
    );
}
