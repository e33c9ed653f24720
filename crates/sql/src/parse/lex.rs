//! Tokens with places, and the cut of a file into statements.

use super::dialect::Ours;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

use crate::error::Result;
use crate::source::{Position, Source};

pub(crate) static DIALECT: Ours = Ours;

/// Most tokens in a statement.
const TOKENS_MAX: usize = 20_000;
/// Most operators between two commas: chains of them nest as deep as they are long, and planners are recursive.
const OPERATORS_MAX: usize = 200;
/// Most set operations in a statement, for the same reason.
const UNIONS_MAX: usize = 100;
/// Deepest nesting of brackets.
const DEPTH_MAX: usize = 64;

pub(super) fn position(at: Location) -> Position {
    let number = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    Position {
        line: number(at.line),
        column: number(at.column),
    }
}

/// The tokens of a text without blanks and comments.
pub(super) fn tokens(source: &Source) -> Result<Vec<TokenWithSpan>> {
    let all = Tokenizer::new(&DIALECT, source.text()).tokenize_with_location();
    let all = all.map_err(|e| source.error(position(e.location), lower_first(&e.message)))?;
    Ok(all
        .into_iter()
        .filter(|t| !matches!(t.token, Token::Whitespace(_)))
        .collect())
}

/// The statements of a text, each without its `;`; empty ones are left out.
pub(super) fn split(source: &Source) -> Result<Vec<Source>> {
    let mut statements = Vec::new();
    let tokens = tokens(source)?;
    for statement in tokens.split(|t| t.token == Token::SemiColon) {
        let (Some(first), Some(last)) = (statement.first(), statement.last()) else {
            continue;
        };
        let start = source.offset_of(position(first.span.start));
        let end = source.offset_of(position(last.span.end));
        statements.push(source.slice(start, end));
    }
    Ok(statements)
}

/// Refuses chains that would make a tree too deep.
fn check_chains(source: &Source, tokens: &[TokenWithSpan]) -> Result<()> {
    let (mut operators, mut unions) = (0_usize, 0_usize);
    for token in tokens {
        match &token.token {
            Token::Comma => operators = 0,
            Token::Word(word) if word.quote_style.is_none() => {
                match word.value.to_lowercase().as_str() {
                    "union" | "except" | "intersect" => unions += 1,
                    "and" | "or" | "not" | "is" | "like" | "between" | "when" | "join" => {
                        operators += 1
                    }
                    _ => {}
                }
            }
            Token::Word(_) | Token::Number(..) | Token::SingleQuotedString(_) => {}
            Token::LParen
            | Token::RParen
            | Token::Period
            | Token::Lt
            | Token::Gt
            | Token::Colon => {}
            _ => operators += 1,
        }
        if operators > OPERATORS_MAX || unions > UNIONS_MAX {
            let message = format!(
                "more than {OPERATORS_MAX} operators in one expression, or {UNIONS_MAX} UNIONs"
            );
            return Err(source
                .error(position(token.span.start), message)
                .hint("cut it into several views"));
        }
    }
    Ok(())
}

/// Refuses what would nest too deep, before any recursive code sees it.
pub(super) fn check_size(source: &Source, tokens: &[TokenWithSpan]) -> Result<()> {
    if tokens.len() > TOKENS_MAX {
        let message = format!(
            "the statement has {} words and signs; at most {TOKENS_MAX} are taken",
            tokens.len()
        );
        return Err(source
            .error_at_start(message)
            .hint("cut it into several views"));
    }
    check_chains(source, tokens)?;
    let (mut depth, mut angles) = (0_usize, 0_usize);
    let mut before = &Token::SemiColon;
    for token in tokens {
        match &token.token {
            Token::LParen | Token::LBracket | Token::LBrace => depth += 1,
            Token::RParen | Token::RBracket | Token::RBrace => depth = depth.saturating_sub(1),
            // STRUCT<...>; elsewhere `<` and `>` compare.
            Token::Lt if is_type(before) => angles += 1,
            Token::Gt => angles = angles.saturating_sub(1),
            Token::ShiftRight => angles = angles.saturating_sub(2),
            _ => {}
        }
        before = &token.token;
        if depth + angles > DEPTH_MAX {
            let at = position(token.span.start);
            return Err(source.error(
                at,
                format!("brackets are nested more than {DEPTH_MAX} deep"),
            ));
        }
    }
    Ok(())
}

fn is_type(token: &Token) -> bool {
    matches!(token, Token::Word(word) if ["struct", "array", "map"].contains(&word.value.to_lowercase().as_str()))
}

pub(super) fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(chars).collect()
    })
}

/// The words and signs of a text, unquoted words in lower case: equal for texts that differ in blanks and comments only. A text
/// that cannot be read is one word.
pub(crate) fn words(text: &str) -> Vec<String> {
    let Ok(tokens) = tokens(&Source::new(None, text)) else {
        return vec![text.to_owned()];
    };
    let word = |token: &Token| match token {
        Token::Word(word) if word.quote_style.is_none() => word.value.to_lowercase(),
        other => other.to_string(),
    };
    tokens.iter().map(|t| word(&t.token)).collect()
}
