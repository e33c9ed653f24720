//! `offset` as the column that topics have, where no OFFSET clause can stand: `SELECT key, offset FROM t WHERE offset > 5`.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::windows::is_word;

/// Words that an expression follows.
const BEFORE: [&str; 16] = [
    "select", "distinct", "by", "where", "and", "or", "not", "on", "having", "case", "when",
    "then", "else", "between", "in", "like",
];

/// The tokens with such words as quoted names.
pub(super) fn columns(mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    for at in 1..tokens.len() {
        let argument = tokens
            .get(at + 1)
            .is_some_and(|next| matches!(next.token, Token::RArrow));
        if is_word(&tokens[at], "offset") && !argument && begins_expression(&tokens[at - 1]) {
            let Token::Word(word) = &mut tokens[at].token else {
                continue;
            };
            word.value = word.value.to_lowercase();
            word.quote_style = Some('"');
            word.keyword = Keyword::NoKeyword;
        }
    }
    tokens
}

fn begins_expression(before: &TokenWithSpan) -> bool {
    match &before.token {
        Token::Word(_) => BEFORE.iter().any(|word| is_word(before, word)),
        Token::Comma
        | Token::LParen
        | Token::Period
        | Token::Eq
        | Token::Neq
        | Token::Lt
        | Token::Gt
        | Token::LtEq
        | Token::GtEq
        | Token::Plus
        | Token::Minus
        | Token::Mul
        | Token::Div
        | Token::Mod => true,
        _ => false,
    }
}
