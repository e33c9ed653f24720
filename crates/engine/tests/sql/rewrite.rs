//! Writes what the batch answered into a case file.

use std::path::Path;

use crate::run::Failure;

/// Puts each answer in place of the lines after its query's `----`.
pub fn file(path: &Path, told: &[Failure]) {
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let mut answers: Vec<(&Failure, &Vec<String>)> = told
        .iter()
        .filter_map(|f| Some((f, f.answer.as_ref()?)))
        .collect();
    answers.sort_by_key(|(failure, _)| std::cmp::Reverse(failure.line));
    for (failure, answer) in answers {
        let start = failure.line - 1;
        let mark = start
            + lines[start..]
                .iter()
                .position(|line| line == "----")
                .unwrap()
            + 1;
        let ends = |line: &String| line.trim().is_empty() || line.starts_with("---- ");
        let end = lines[mark..]
            .iter()
            .position(ends)
            .map_or(lines.len(), |at| mark + at);
        lines.splice(mark..end, answer.iter().cloned());
    }
    std::fs::write(path, lines.join("\n") + "\n").unwrap();
}
