//! Window functions in FROM as others write them, in the form that sqlparser reads: `TABLE orders` is `orders`, and `SESSION(orders PARTITION BY
//! a, b, ts, gap)` is `SESSION(orders, a, b, ts, gap)`.

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

const WINDOWS: [&str; 4] = ["tumble", "hop", "cumulate", "session"];

/// The tokens without those words, and where each of them stood.
pub(super) fn plain_windows(tokens: &[TokenWithSpan]) -> (Vec<TokenWithSpan>, Vec<usize>) {
    let (mut plain, mut places) = (
        Vec::with_capacity(tokens.len()),
        Vec::with_capacity(tokens.len()),
    );
    // For each open bracket, whether it is of a window function.
    let mut open: Vec<bool> = Vec::new();
    let mut skip = false;
    for (at, token) in tokens.iter().enumerate() {
        if std::mem::take(&mut skip) {
            continue;
        }
        let inside = open.last().copied().unwrap_or(false);
        let next = tokens.get(at + 1);
        match &token.token {
            Token::LParen => {
                let before = at.checked_sub(1).and_then(|at| tokens.get(at));
                open.push(before.is_some_and(|t| WINDOWS.iter().any(|w| is_word(t, w))));
            }
            Token::RParen => {
                open.pop();
            }
            Token::Word(_)
                if inside
                    && is_word(token, "table")
                    && next.is_some_and(|t| matches!(t.token, Token::Word(_) | Token::LParen)) =>
            {
                continue;
            }
            Token::Word(_)
                if inside
                    && is_word(token, "partition")
                    && next.is_some_and(|t| is_word(t, "by")) =>
            {
                skip = true;
                places.push(at);
                plain.push(TokenWithSpan {
                    token: Token::Comma,
                    span: token.span,
                });
                continue;
            }
            _ => {}
        }
        places.push(at);
        plain.push(token.clone());
    }
    (plain, places)
}

pub(super) fn is_word(token: &TokenWithSpan, word: &str) -> bool {
    matches!(&token.token, Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word))
}
