//! `rates AS r FOR SYSTEM_TIME AS OF o.ts` in the form that sqlparser reads: `rates FOR SYSTEM_TIME AS OF o.ts AS r`.

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::windows::is_word;

const VERSION: [&str; 4] = ["for", "system_time", "as", "of"];
/// What may follow the time of a version; a comma and a bracket may, too.
const ENDS: [&str; 17] = [
    "as", "on", "using", "join", "inner", "left", "right", "full", "cross", "natural", "where",
    "group", "having", "window", "union", "order", "limit",
];
/// What stands before a name that is no alias.
const BEFORE_NAMES: [&str; 3] = ["join", "from", "lateral"];

type Placed = (Vec<TokenWithSpan>, Vec<usize>);

/// The tokens with aliases behind the version, and where each of them stood.
pub(super) fn aliases_behind((mut tokens, mut places): Placed) -> Placed {
    let mut at = 2;
    while at + VERSION.len() < tokens.len() {
        let here = VERSION.iter().zip(&tokens[at..]);
        if here.into_iter().all(|(word, token)| is_word(token, word))
            && let Some(alias) = alias_before(&tokens, at)
        {
            let end = end_of(&tokens, at + VERSION.len());
            tokens[alias..end].rotate_left(at - alias);
            places[alias..end].rotate_left(at - alias);
            at = end;
        }
        at += 1;
    }
    (tokens, places)
}

/// Where the alias begins that stands before a version, if one does.
fn alias_before(tokens: &[TokenWithSpan], version: usize) -> Option<usize> {
    let before = version.checked_sub(2).and_then(|at| tokens.get(at))?;
    if !matches!(tokens[version - 1].token, Token::Word(_)) {
        return None;
    }
    if is_word(before, "as") {
        return Some(version - 2);
    }
    let is_name = matches!(before.token, Token::Word(_))
        && !BEFORE_NAMES.iter().any(|word| is_word(before, word));
    is_name.then_some(version - 1)
}

/// The end of the expression that begins here.
fn end_of(tokens: &[TokenWithSpan], from: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(from) {
        match &token.token {
            Token::LParen => depth += 1,
            Token::RParen if depth == 0 => return at,
            Token::RParen => depth -= 1,
            Token::Comma | Token::SemiColon if depth == 0 => return at,
            Token::Word(_) if depth == 0 && ENDS.iter().any(|word| is_word(token, word)) => {
                return at;
            }
            _ => {}
        }
    }
    tokens.len()
}
