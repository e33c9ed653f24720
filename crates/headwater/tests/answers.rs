//! The API's answers as the node writes them and as the command line reads them: two descriptions, because the client must
//! not import the edge, held together here.
#![allow(clippy::unwrap_used)]

use headwater_cli::http as read;
use headwater_edge_http::dto as written;
use serde_json::{Value, json};

fn over_the_wire<T: serde::Serialize, U: serde::de::DeserializeOwned>(value: &T) -> U {
    serde_json::from_str(&serde_json::to_string(value).unwrap()).unwrap()
}

#[test]
fn an_answer_to_sql_loses_nothing() {
    let result = written::SqlResult {
        columns: serde_json::from_value(json!([{ "name": "n", "type": "BIGINT" }])).unwrap(),
        rows: vec![vec![json!(7)], vec![Value::Null]],
        message: Some("2 rows".to_owned()),
        behind: 3,
        truncated: true,
    };
    let answer = written::SqlAnswer {
        results: vec![result.clone(), written::SqlResult::default()],
    };
    let seen: read::SqlAnswer = over_the_wire(&answer);
    assert_eq!(seen.results.len(), 2);
    let first = &seen.results[0];
    assert_eq!(first.rows, result.rows);
    assert_eq!(first.message, result.message);
    assert_eq!((first.behind, first.truncated), (3, true));
    assert_eq!(first.columns[0].name, "n");
    assert_eq!(first.columns[0].kind, "BIGINT");
}

#[test]
fn a_pipeline_arrives_as_it_was_sent() {
    let request = read::ApplyRequest {
        pipeline: "p".to_owned(),
        files: vec![read::ApplyFile {
            name: "a.sql".to_owned(),
            text: "SELECT 1".to_owned(),
        }],
        replace: true,
    };
    let seen: written::ApplyRequest = over_the_wire(&request);
    assert_eq!((seen.pipeline.as_str(), seen.replace), ("p", true));
    assert_eq!(seen.files[0].name, "a.sql");
    assert_eq!(seen.files[0].text, "SELECT 1");
}

#[test]
fn every_outcome_of_an_apply_is_read_and_written_alike() {
    use written::AppliedAction::{Created, Dropped, Orphaned, Replaced, Unchanged};
    let actions = [Created, Unchanged, Replaced, Dropped, Orphaned];
    let change = |action| written::AppliedChange {
        name: "v".to_owned(),
        kind: "view".to_owned(),
        action,
    };
    let applied = written::Applied {
        pipeline: "p".to_owned(),
        changes: actions.into_iter().map(change).collect(),
        message: "5 objects".to_owned(),
    };
    let seen: read::Applied = over_the_wire(&applied);
    let again: Value = over_the_wire(&seen);
    assert_eq!(again, over_the_wire::<_, Value>(&applied));
}
