//! `history_check FILE...`: checks histories of JSON lines, merged by time. Prints every finding; ends with 1 if there is any.

use std::process::ExitCode;

use headwater_sim::history::{check, parse};

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

/// Whether nothing was found.
fn run() -> Result<bool, String> {
    let mut text = String::new();
    for path in std::env::args().skip(1) {
        text += &std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        text.push('\n');
    }
    let lines = parse(&text)?;
    let findings = check(&lines);
    findings.iter().for_each(|finding| println!("{finding}"));
    println!("{} events, {} findings", lines.len(), findings.len());
    Ok(findings.is_empty())
}
