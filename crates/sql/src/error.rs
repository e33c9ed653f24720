//! The one error of this crate: what is wrong, where in which file, and what to write instead.

use std::fmt;
use std::sync::Arc;

use crate::source::Position;

/// An error in a statement. `line` and `column` count from 1, columns in characters; 0 means that no place is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlError {
    pub message: String,
    pub file: Option<String>,
    pub line: u32,
    pub column: u32,
    /// The line of the text that the error is in; empty if unknown.
    pub source_line: String,
    /// Width of the marked place in characters, at least 1.
    pub width: u32,
    pub hint: Option<String>,
}

/// Longest part of a source line that is shown.
const SHOWN_CHARS_MAX: usize = 160;

impl SqlError {
    /// An error without a place.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            file: None,
            line: 0,
            column: 0,
            source_line: String::new(),
            width: 1,
            hint: None,
        }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Sets the hint if there is one.
    #[must_use]
    pub fn maybe_hint(mut self, hint: Option<String>) -> Self {
        if hint.is_some() {
            self.hint = hint;
        }
        self
    }

    pub fn position(&self) -> Option<Position> {
        (self.line > 0).then_some(Position {
            line: self.line,
            column: self.column,
        })
    }

    /// The source line with a caret line under it, for example
    /// `SELECT colum FROM t` / `       ^^^^^`; empty if no place is known.
    pub fn caret(&self) -> String {
        if self.line == 0 {
            return String::new();
        }
        let (shown, before) = self.excerpt();
        let room = shown.chars().count().saturating_sub(before).max(1);
        let width = (self.width.max(1) as usize).min(room);
        let indent: String = shown
            .chars()
            .take(before)
            .map(|c| if c == '\t' { '\t' } else { ' ' })
            .collect();
        format!("{shown}\n{indent}{}", "^".repeat(width))
    }

    /// The part of the line around the place, and how many of its characters are before the place.
    fn excerpt(&self) -> (String, usize) {
        let before = (self.column.max(1) - 1) as usize;
        let start = before.saturating_sub(SHOWN_CHARS_MAX / 2);
        let shown: String = self
            .source_line
            .chars()
            .skip(start)
            .take(SHOWN_CHARS_MAX)
            .collect();
        let before = (before - start).min(shown.chars().count());
        (shown, before)
    }

    /// Everything, over several lines, as a terminal shows it.
    pub fn render(&self) -> String {
        let mut text = format!("error: {}", self.message);
        if self.line > 0 {
            let file = self.file.as_deref().unwrap_or("<sql>");
            text.push_str(&format!("\n  --> {file}:{}:{}", self.line, self.column));
            for line in self.caret().lines() {
                text.push_str(&format!("\n   | {line}"));
            }
        }
        if let Some(hint) = &self.hint {
            text.push_str(&format!("\n  hint: {hint}"));
        }
        text
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            let file = self.file.as_deref().unwrap_or("line");
            write!(f, "{file}:{}:{}: ", self.line, self.column)?;
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for SqlError {}

pub type Result<T, E = SqlError> = std::result::Result<T, E>;

/// Carries an error of ours through DataFusion's planner unharmed.
#[derive(Debug)]
pub(crate) struct Carried(pub Arc<SqlError>);

impl fmt::Display for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Carried {}
