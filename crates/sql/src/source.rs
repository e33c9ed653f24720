//! A text with a name: from places in it to positions, and to errors that show them.

use std::sync::Arc;

use crate::error::SqlError;

/// Line and column from 1; columns count characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub line: u32,
    pub column: u32,
}

impl Position {
    pub const START: Self = Self { line: 1, column: 1 };
}

/// A part of a file's text that knows its place in the file. Cheap to clone. Positions are relative to the part, errors
/// speak of the file.
#[derive(Clone, Debug)]
pub struct Source {
    file: Option<Arc<str>>,
    whole: Arc<str>,
    start: usize,
    end: usize,
}

impl Source {
    pub fn new(file: Option<&str>, text: &str) -> Self {
        Self {
            file: file.map(Arc::from),
            whole: Arc::from(text),
            start: 0,
            end: text.len(),
        }
    }

    pub fn text(&self) -> &str {
        self.whole.get(self.start..self.end).unwrap_or("")
    }

    /// The text from byte `start` to byte `end` of this part.
    #[must_use]
    pub fn slice(&self, start: usize, end: usize) -> Self {
        let end = (self.start + end).min(self.end);
        Self {
            start: (self.start + start).min(end),
            end,
            ..self.clone()
        }
    }

    /// An error at a position within this part.
    pub fn error(&self, at: Position, message: impl Into<String>) -> SqlError {
        let width = self.word_width(at);
        self.error_over(at, width, message)
    }

    /// The same, marking `width` characters.
    pub fn error_over(&self, at: Position, width: u32, message: impl Into<String>) -> SqlError {
        let place = self.in_file(at);
        let line = self
            .whole
            .lines()
            .nth(place.line.saturating_sub(1) as usize);
        SqlError {
            message: message.into(),
            file: self.file.as_deref().map(str::to_owned),
            line: place.line,
            column: place.column,
            source_line: line.unwrap_or("").to_owned(),
            width: width.max(1),
            hint: None,
        }
    }

    /// An error that speaks of the whole part.
    pub fn error_at_start(&self, message: impl Into<String>) -> SqlError {
        self.error(Position::START, message)
    }

    /// An error just past the last character that is not blank.
    pub fn error_at_end(&self, message: impl Into<String>) -> SqlError {
        let at = position_in(self.text(), self.text().trim_end().len());
        self.error_over(at, 1, message)
    }

    /// Where a part of the text stands first.
    pub fn find(&self, part: &str) -> Option<Position> {
        let at = self.text().find(part)?;
        Some(position_in(self.text(), at))
    }

    /// The place of a word right behind this part, as a position within it.
    pub fn find_behind(&self, word: &str) -> Option<Position> {
        let behind = self.whole.get(self.end..)?;
        let next = behind.trim_start();
        let found = next.get(..word.len())?.eq_ignore_ascii_case(word);
        let at = self.whole.len() - next.len();
        found.then(|| position_in(self.whole.get(self.start..).unwrap_or(""), at - self.start))
    }

    /// Characters of the word that begins at a position, at least 1.
    fn word_width(&self, at: Position) -> u32 {
        let rest = self.text().get(self.offset_of(at)..).unwrap_or("");
        let width = rest
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .count();
        u32::try_from(width).unwrap_or(1).max(1)
    }

    fn in_file(&self, at: Position) -> Position {
        let begin = position_in(&self.whole, self.start);
        let column = if at.line <= 1 {
            begin.column + at.column.max(1) - 1
        } else {
            at.column
        };
        Position {
            line: begin.line + at.line.max(1) - 1,
            column,
        }
    }

    /// Byte offset of a position in this part; the end of the line or part if it is past that.
    pub fn offset_of(&self, at: Position) -> usize {
        let mut offset = 0;
        for (index, line) in self.text().split_inclusive('\n').enumerate() {
            if index + 1 == at.line as usize {
                let within = line
                    .char_indices()
                    .nth(at.column.saturating_sub(1) as usize);
                return offset + within.map_or(line.len(), |(byte, _)| byte);
            }
            offset += line.len();
        }
        self.text().len()
    }
}

/// Position of a byte offset in a text.
fn position_in(text: &str, offset: usize) -> Position {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    Position {
        line: u32::try_from(line).unwrap_or(u32::MAX),
        column: u32::try_from(column).unwrap_or(u32::MAX),
    }
}
