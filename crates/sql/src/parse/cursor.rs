//! A cursor over the tokens of one statement: our own words by hand, expressions, types and queries by sqlparser.

use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Word};

use super::lex::{DIALECT, check_size, lower_first, position, tokens};
use super::parse_query;
use super::reserved;
use super::usual;
use super::versions::aliases_behind;
use super::windows::plain_windows;
use crate::ast::{Name, OptionItem, Query};
use crate::error::{Result, SqlError};
use crate::model::Emit;
use crate::source::{Position, Source};

/// Deepest recursion of sqlparser.
const RECURSION_MAX: usize = 80;

pub(super) struct Cursor<'a> {
    pub source: &'a Source,
    tokens: Vec<TokenWithSpan>,
    next: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(source: &'a Source) -> Result<Self> {
        let tokens = tokens(source)?;
        check_size(source, &tokens)?;
        Ok(Self {
            source,
            tokens,
            next: 0,
        })
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next).map(|t| &t.token)
    }

    /// Where the next token begins.
    pub fn at(&self) -> Option<Position> {
        self.tokens.get(self.next).map(|t| position(t.span.start))
    }

    /// Where the last taken token begins.
    pub fn before(&self) -> Position {
        let last = self.next.checked_sub(1).and_then(|i| self.tokens.get(i));
        last.map_or(Position::START, |t| position(t.span.start))
    }

    pub fn error(&self, message: impl Into<String>) -> SqlError {
        match self.at() {
            Some(at) => self.source.error(at, message),
            None => self.source.error_at_end(message),
        }
    }

    pub fn expected(&self, what: &str) -> SqlError {
        match self.peek() {
            Some(found) => self.error(format!("expected {what}, found \"{found}\"")),
            None => self.error(format!("expected {what}, found the end of the statement")),
        }
    }

    fn peek_word(&self, ahead: usize) -> Option<&Word> {
        match self.tokens.get(self.next + ahead).map(|t| &t.token) {
            Some(Token::Word(word)) if word.quote_style.is_none() => Some(word),
            _ => None,
        }
    }

    pub fn at_word(&self, word: &str) -> bool {
        self.at_words(&[word])
    }

    /// Whether the next tokens are these words.
    pub fn at_words(&self, words: &[&str]) -> bool {
        let same = |(i, w): (usize, &&str)| {
            self.peek_word(i)
                .is_some_and(|t| t.value.eq_ignore_ascii_case(w))
        };
        words.iter().enumerate().all(same)
    }

    /// Takes the word if it comes next.
    pub fn word(&mut self, word: &str) -> bool {
        self.words(&[word])
    }

    pub fn words(&mut self, words: &[&str]) -> bool {
        let found = self.at_words(words);
        if found {
            self.next += words.len();
        }
        found
    }

    pub fn expect_word(&mut self, word: &str) -> Result<()> {
        if self.word(word) {
            Ok(())
        } else {
            Err(self.expected(&word.to_uppercase()))
        }
    }

    pub fn at_paren(&self) -> bool {
        self.peek() == Some(&Token::LParen)
    }

    pub fn sign(&mut self, sign: &Token) -> bool {
        let found = self.peek() == Some(sign);
        self.next += usize::from(found);
        found
    }

    pub fn expect_sign(&mut self, sign: &Token) -> Result<()> {
        if self.sign(sign) {
            Ok(())
        } else {
            Err(self.expected(&format!("\"{sign}\"")))
        }
    }

    /// The unquoted next word as written, for messages.
    pub fn shown_word(&self) -> Option<&str> {
        self.peek_word(0).map(|w| w.value.as_str())
    }

    /// A name: lower-case unless quoted.
    pub fn name(&mut self, what: &str) -> Result<Name> {
        let (Some(at), Some(Token::Word(word))) = (self.at(), self.peek()) else {
            return Err(self.expected(what));
        };
        let text = if word.quote_style.is_some() {
            word.value.clone()
        } else {
            word.value.to_lowercase()
        };
        if text.is_empty() || text.len() > NAME_BYTES_MAX {
            return Err(self.error(format!("a name has 1 to {NAME_BYTES_MAX} bytes")));
        }
        self.next += 1;
        Ok(Name { text, at })
    }

    /// Text in single quotes.
    pub fn text(&mut self, what: &str) -> Result<String> {
        let Some(Token::SingleQuotedString(text)) = self.peek() else {
            return Err(self.expected(what));
        };
        let text = text.clone();
        self.next += 1;
        Ok(text)
    }

    /// Whether exactly one token is left.
    pub fn is_last(&self) -> bool {
        self.next + 1 == self.tokens.len()
    }

    pub fn end(&self) -> Result<()> {
        if self.peek().is_none() {
            Ok(())
        } else {
            Err(self.expected("the end of the statement"))
        }
    }

    /// Runs a part of sqlparser from here on.
    fn with_parser<T>(
        &mut self,
        f: impl FnOnce(&mut Parser<'_>) -> Result<T, ParserError>,
    ) -> Result<T> {
        let rest = plain_windows(self.tokens.get(self.next..).unwrap_or_default());
        let (rest, places) = aliases_behind(rest);
        let rest = reserved::columns(rest);
        let mut parser = Parser::new(&DIALECT)
            .with_recursion_limit(RECURSION_MAX)
            .with_tokens_with_locations(rest);
        let answer = f(&mut parser).map_err(|e| self.translate(&e))?;
        let end = self.tokens.len() - self.next;
        self.next += places.get(parser.index()).copied().unwrap_or(end);
        Ok(answer)
    }

    fn translate(&self, error: &ParserError) -> SqlError {
        let text = match error {
            ParserError::RecursionLimitExceeded => {
                return self.error("the statement is nested too deep");
            }
            ParserError::ParserError(text) | ParserError::TokenizerError(text) => text,
        };
        let (message, at) = split_place(text);
        let message = lower_first(message).replacen("expected: ", "expected ", 1);
        let message = message
            .replace("found: EOF", "found the end of the statement")
            .replace("found: ", "found ");
        match at {
            Some(at) => self.source.error(at, message),
            None => self.source.error_at_end(message),
        }
    }

    pub fn expr(&mut self) -> Result<ast::Expr> {
        self.with_parser(|parser| parser.parse_expr())
    }

    pub fn data_type(&mut self) -> Result<ast::DataType> {
        self.with_parser(|parser| parser.parse_data_type())
    }

    pub fn query(&mut self) -> Result<Box<ast::Query>> {
        let mut query = self.with_parser(|parser| parser.parse_query())?;
        usual::form(&mut query);
        Ok(query)
    }

    /// Everything from here to the end as a query.
    pub fn rest_as_query(&mut self) -> Result<Query> {
        let (Some(first), Some(last)) = (self.tokens.get(self.next), self.tokens.last()) else {
            return Err(self.expected("a query"));
        };
        let start = self.source.offset_of(position(first.span.start));
        let end = self.source.offset_of(position(last.span.end));
        self.next = self.tokens.len();
        parse_query(self.source.slice(start, end))
    }

    /// Takes `EMIT ...` off the end of the statement.
    pub fn trailing_emit(&mut self) -> Result<Option<Emit>> {
        let from = self.next.max(self.tokens.len().saturating_sub(4));
        let is_emit = |t: &TokenWithSpan| matches!(&t.token, Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case("emit"));
        let Some(found) = (from..self.tokens.len()).rfind(|i| is_emit(&self.tokens[*i])) else {
            return Ok(None);
        };
        let words: Vec<String> = self.tokens[found + 1..]
            .iter()
            .map(|t| t.token.to_string().to_lowercase())
            .collect();
        let emit = match words
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .as_slice()
        {
            ["changes"] => Emit::Changes,
            ["on", "window", "close"] => Emit::OnWindowClose,
            _ => return self.emit_error(found),
        };
        self.tokens.truncate(found);
        Ok(Some(emit))
    }

    fn emit_error(&self, emit: usize) -> Result<Option<Emit>> {
        // A column or table may be called "emit": only its clause starts like this.
        let next = self
            .tokens
            .get(emit + 1)
            .map(|t| t.token.to_string().to_lowercase());
        let previous = emit
            .checked_sub(1)
            .and_then(|i| self.tokens.get(i))
            .map(|t| &t.token);
        let looks_like_clause = !matches!(previous, Some(Token::Comma | Token::Period))
            && matches!(next.as_deref(), Some("on" | "final" | "after"));
        if !looks_like_clause {
            return Ok(None);
        }
        let at = position(self.tokens[emit].span.start);
        Err(self
            .source
            .error(at, "this EMIT clause is not known")
            .hint("write EMIT CHANGES or EMIT ON WINDOW CLOSE"))
    }

    /// Takes `WITH (name = value, ...)` off the end of the statement, if it stands there.
    pub fn trailing_options(&mut self) -> Result<Vec<OptionItem>> {
        let Some(start) = self.trailing_options_start() else {
            return Ok(Vec::new());
        };
        let rest = self.tokens.split_off(start);
        let mut options = Cursor {
            source: self.source,
            tokens: rest,
            next: 0,
        };
        let items = options.options()?;
        options.end()?;
        Ok(items)
    }

    /// Index of the `WITH` whose bracket closes the statement.
    fn trailing_options_start(&self) -> Option<usize> {
        if self.tokens.last().map(|t| &t.token) != Some(&Token::RParen) {
            return None;
        }
        let mut depth = 0_usize;
        for i in (self.next..self.tokens.len()).rev() {
            match &self.tokens[i].token {
                Token::RParen => depth += 1,
                Token::LParen if depth == 1 => {
                    let with = i.checked_sub(1).filter(|w| *w >= self.next)?;
                    let is_with = matches!(&self.tokens[with].token, Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case("with"));
                    return is_with.then_some(with);
                }
                Token::LParen => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        None
    }

    /// Places in the text, in bytes, of the `WITH (...)` whose first option has its name here; of an empty one without a place.
    pub fn options_span(&self, first: Option<Position>) -> Option<(usize, usize)> {
        let is_with = |i: usize| {
            matches!(&self.tokens[i].token, Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case("with"))
                && matches!(self.tokens.get(i + 1), Some(t) if t.token == Token::LParen)
        };
        let begins = |i: &usize| {
            let next = self.tokens.get(i + 2);
            is_with(*i)
                && match first {
                    Some(at) => next.is_some_and(|t| position(t.span.start) == at),
                    None => next.is_some_and(|t| t.token == Token::RParen),
                }
        };
        let with = (0..self.tokens.len()).find(begins)?;
        let mut depth = 0_usize;
        for token in self.tokens.get(with + 1..)? {
            match token.token {
                Token::LParen => depth += 1,
                Token::RParen if depth == 1 => {
                    let place = |at| self.source.offset_of(position(at));
                    return Some((place(self.tokens[with].span.start), place(token.span.end)));
                }
                Token::RParen => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        None
    }

    /// `name = value, ...` between brackets that may be left out for a single one.
    pub fn settings(&mut self) -> Result<Vec<OptionItem>> {
        if !self.at_paren() {
            return Ok(vec![self.option()?]);
        }
        let at = self.at();
        let items = self.in_brackets()?;
        match (items.is_empty(), at) {
            (true, Some(at)) => Err(self.source.error(at, "expected an option")),
            _ => Ok(items),
        }
    }

    /// `WITH (name = value, ...)` if it comes next.
    pub fn options(&mut self) -> Result<Vec<OptionItem>> {
        if !self.word("with") {
            return Ok(Vec::new());
        }
        self.in_brackets()
    }

    fn in_brackets(&mut self) -> Result<Vec<OptionItem>> {
        let mut items: Vec<OptionItem> = Vec::new();
        self.expect_sign(&Token::LParen)?;
        while !self.sign(&Token::RParen) {
            let item = self.option()?;
            if items.iter().any(|known| known.name.text == item.name.text) {
                return Err(self.source.error(
                    item.name.at,
                    format!("option \"{}\" is given twice", item.name.text),
                ));
            }
            items.push(item);
            if !self.sign(&Token::Comma) {
                self.expect_sign(&Token::RParen)?;
                break;
            }
        }
        Ok(items)
    }

    /// The name of an option, with dots in it or not.
    pub fn option_name(&mut self) -> Result<Name> {
        let mut name = self.name("the name of an option")?;
        name.text = name.text.to_lowercase();
        while self.sign(&Token::Period) {
            let rest = self.name("the rest of the option's name")?.text;
            // As written in quotes: names of headers tell large from small letters.
            name.text = format!("{}.{rest}", name.text);
        }
        Ok(name)
    }

    fn option(&mut self) -> Result<OptionItem> {
        let name = self.option_name()?;
        self.expect_sign(&Token::Eq)?;
        let value_at = self.at().unwrap_or(name.at);
        let minus = if self.sign(&Token::Minus) { "-" } else { "" };
        let value = match self.peek() {
            Some(Token::SingleQuotedString(text)) if minus.is_empty() => text.clone(),
            Some(Token::Number(number, _)) => format!("{minus}{number}"),
            Some(Token::Word(word)) if minus.is_empty() && word.quote_style.is_none() => {
                word.value.to_lowercase()
            }
            _ => {
                return Err(self
                    .expected("a value")
                    .hint("write text in single quotes, a number, true or false"));
            }
        };
        self.next += 1;
        Ok(OptionItem {
            name,
            value,
            value_at,
        })
    }
}

/// Longest name, in bytes.
const NAME_BYTES_MAX: usize = 128;

/// Cuts ` at Line: 3, Column: 7` off the end of a message of sqlparser.
fn split_place(text: &str) -> (&str, Option<Position>) {
    let Some(cut) = text.rfind(" at Line: ") else {
        return (text, None);
    };
    let place = &text[cut + " at Line: ".len()..];
    let mut numbers = place.split(", Column: ").map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(line)), Some(Ok(column))) => (&text[..cut], Some(Position { line, column })),
        _ => (text, None),
    }
}
