//! The structure that `ARCHITECTURE.md` promises, held against the manifests and sources.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Floor of each crate: it may import only crates on strictly lower floors.
const FLOORS: &[(u8, &[&str])] = &[
    (0, &["features"]),
    (1, &["base", "testkit"]),
    (2, &["record", "wire"]),
    (3, &["log", "meta", "sql"]),
    (4, &["coord", "connect", "dataflow", "formats", "views"]),
    (5, &["broker", "engine"]),
    (6, &["edge-kafka", "edge-http", "connectors"]),
    (7, &["server", "cli", "sim"]),
    (8, &["headwater"]),
];

/// Largest file, in lines, tests included.
const FILE_LINES_MAX: usize = 600;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

/// Each of our crates with those of ours that it imports, development dependencies left out.
fn imports() -> BTreeMap<String, Vec<String>> {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--no-deps",
            "--offline",
        ])
        .current_dir(root())
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let short = |name: &str| name.strip_prefix("headwater-").unwrap_or(name).to_owned();
    let ours = |dep: &&serde_json::Value| {
        dep["kind"].is_null() && dep["name"].as_str().unwrap().starts_with("headwater")
    };
    metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| {
            let deps = package["dependencies"].as_array().unwrap();
            let names = deps
                .iter()
                .filter(ours)
                .map(|d| short(d["name"].as_str().unwrap()));
            (short(package["name"].as_str().unwrap()), names.collect())
        })
        .collect()
}

fn floor(name: &str) -> u8 {
    let found = FLOORS.iter().find(|(_, crates)| crates.contains(&name));
    found
        .unwrap_or_else(|| {
            panic!("crate {name} has no floor: give it one here and in ARCHITECTURE.md")
        })
        .0
}

#[test]
fn a_crate_imports_only_lower_floors() {
    for (name, deps) in imports() {
        for dep in deps {
            assert!(floor(&dep) < floor(&name), "{name} must not import {dep}");
        }
    }
}

#[test]
fn only_the_edge_and_the_client_know_kafka_messages() {
    for (name, deps) in imports() {
        let may = ["edge-kafka", "cli", "sim"].contains(&name.as_str());
        assert!(
            may || !deps.contains(&"wire".to_owned()),
            "{name} must not import wire"
        );
    }
}

#[test]
fn test_helpers_stay_out_of_the_product() {
    for (name, deps) in imports() {
        assert!(
            !deps.contains(&"testkit".to_owned()),
            "{name} must import testkit for tests only"
        );
    }
}

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

fn all_sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    sources(&root().join("crates"), &mut found);
    found
        .into_iter()
        .map(|path| (path.clone(), fs::read_to_string(path).unwrap()))
        .collect()
}

#[test]
fn every_module_says_what_it_is_for() {
    for (path, text) in all_sources() {
        if path.components().any(|part| part.as_os_str() == "src") {
            assert!(
                text.starts_with("//!"),
                "{} must open with //!",
                path.display()
            );
        }
    }
}

#[test]
fn no_file_is_too_long() {
    for (path, text) in all_sources() {
        let lines = text.lines().count();
        assert!(
            lines <= FILE_LINES_MAX,
            "{} has {lines} lines: split it",
            path.display()
        );
    }
}

/// Pure crates: time, randomness and tasks come in as arguments.
#[test]
fn pure_crates_do_no_io() {
    const PURE: &[&str] = &["coord", "sql", "meta", "record", "formats", "dataflow"];
    const FORBIDDEN: &[&str] = &[
        "std::fs",
        "std::net",
        "std::thread::spawn",
        "tokio::spawn",
        "SystemTime::now",
        "Instant::now",
        "rand::",
    ];
    for (path, text) in all_sources() {
        let inside = |name: &&&str| path.starts_with(root().join("crates").join(name).join("src"));
        let test =
            path.to_string_lossy().contains("test") || path.to_string_lossy().contains("fuzz");
        if test || !PURE.iter().any(|name| inside(&name)) {
            continue;
        }
        let code = text.split("#[cfg(test)]").next().unwrap();
        for word in FORBIDDEN {
            assert!(
                !code.contains(word),
                "{} must not use {word}",
                path.display()
            );
        }
    }
}

/// The log knows nothing of what is built on it.
#[test]
fn the_log_knows_no_kafka() {
    for (path, text) in all_sources() {
        if path.starts_with(root().join("crates/log/src")) {
            for word in ["ApiKey", "ErrorCode", "consumer group", "transaction"] {
                let about = text
                    .lines()
                    .filter(|line| !line.trim_start().starts_with("//"));
                assert!(
                    !about.clone().any(|line| line.contains(word)),
                    "{} speaks of {word}",
                    path.display()
                );
            }
        }
    }
}
