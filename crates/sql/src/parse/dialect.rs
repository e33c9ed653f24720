//! The dialect of the parser: PostgreSQL's operators and precedences, and STRUCT.

use std::any::TypeId;

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, UnaryOperator};
use datafusion::sql::sqlparser::dialect::{Dialect, GenericDialect, PostgreSqlDialect, Precedence};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;

const POSTGRES: PostgreSqlDialect = PostgreSqlDialect {};
const GENERIC: GenericDialect = GenericDialect {};

#[derive(Debug)]
pub(crate) struct Ours;

/// Methods that are answered as another dialect answers them.
macro_rules! like {
    ($other:ident: $($method:ident),* $(,)?) => {
        $(fn $method(&self) -> bool { $other.$method() })*
    };
}

impl Dialect for Ours {
    /// sqlparser takes STRUCT<...> only from dialects that it knows by type.
    fn dialect(&self) -> TypeId {
        TypeId::of::<GenericDialect>()
    }

    fn identifier_quote_style(&self, identifier: &str) -> Option<char> {
        POSTGRES.identifier_quote_style(identifier)
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        POSTGRES.is_delimited_identifier_start(ch)
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        POSTGRES.is_identifier_start(ch)
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        POSTGRES.is_identifier_part(ch)
    }

    fn get_next_precedence(&self, parser: &Parser) -> Option<Result<u8, ParserError>> {
        POSTGRES.get_next_precedence(parser)
    }

    fn prec_value(&self, prec: Precedence) -> u8 {
        POSTGRES.prec_value(prec)
    }

    /// `|/ x`, `||/ x` and `@ x`.
    fn parse_prefix(&self, parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
        let op = match parser.peek_token_ref().token {
            Token::PGSquareRoot => UnaryOperator::PGSquareRoot,
            Token::PGCubeRoot => UnaryOperator::PGCubeRoot,
            Token::AtSign => UnaryOperator::PGAbs,
            _ => return None,
        };
        parser.next_token();
        let operand = parser.parse_subexpr(self.prec_value(Precedence::PgOther));
        Some(operand.map(|expr| Expr::UnaryOp {
            op,
            expr: Box::new(expr),
        }))
    }

    /// `^` is a power and `#` is XOR; `BETWEEN SYMMETRIC`.
    fn parse_infix(
        &self,
        parser: &mut Parser,
        left: &Expr,
        precedence: u8,
    ) -> Option<Result<Expr, ParserError>> {
        let op = match parser.peek_token_ref().token {
            Token::Caret => BinaryOperator::PGExp,
            Token::Sharp => BinaryOperator::PGBitwiseXor,
            _ => return symmetric(parser, left),
        };
        parser.next_token();
        let right = parser.parse_subexpr(precedence);
        Some(right.map(|right| Expr::BinaryOp {
            left: Box::new(left.clone()),
            op,
            right: Box::new(right),
        }))
    }

    like!(POSTGRES: supports_unicode_string_literal, supports_filter_during_aggregation, supports_group_by_expr,
        allow_extract_custom, allow_extract_single_quotes, supports_bitwise_shift_operators, supports_empty_projections,
        supports_nested_comments, supports_string_escape_constant, supports_numeric_literal_underscores,
        supports_array_typedef_with_brackets, supports_geometric_types, supports_notnull_operator, supports_interval_options,
        supports_comma_separated_trim, supports_xml_expressions);

    /// `FOR SYSTEM_TIME AS OF`.
    fn supports_table_versioning(&self) -> bool {
        true
    }

    like!(GENERIC: supports_partition_by_after_order_by, supports_group_by_with_modifier,
        supports_left_associative_joins_without_parens, supports_match_recognize,
        supports_window_function_null_treatment_arg, supports_dictionary_syntax, supports_window_clause_named_window_reference,
        supports_select_wildcard_except, support_map_literal_syntax, supports_parens_around_table_factor,
        supports_values_as_table_factor, supports_limit_comma, supports_from_first_select, supports_projection_trailing_commas,
        supports_try_convert, supports_named_fn_args_with_assignment_operator, supports_struct_literal,
        supports_select_wildcard_exclude, supports_select_wildcard_replace, supports_select_wildcard_rename);
}

/// `x [NOT] BETWEEN SYMMETRIC a AND b`: between both in one order or the other.
fn symmetric(parser: &mut Parser, left: &Expr) -> Option<Result<Expr, ParserError>> {
    let negated = parser.peek_keyword(Keyword::NOT);
    let words = [Keyword::NOT, Keyword::BETWEEN, Keyword::SYMMETRIC];
    if !parser.parse_keywords(&words[usize::from(!negated)..]) {
        return None;
    }
    let precedence = POSTGRES.prec_value(Precedence::Between);
    let bounds = parser.parse_subexpr(precedence).and_then(|low| {
        parser.expect_keyword_is(Keyword::AND)?;
        Ok((low, parser.parse_subexpr(precedence)?))
    });
    Some(bounds.map(|(low, high)| {
        let between = |low: &Expr, high: &Expr| Expr::Between {
            expr: Box::new(left.clone()),
            negated: false,
            low: Box::new(low.clone()),
            high: Box::new(high.clone()),
        };
        let either = Expr::Nested(Box::new(Expr::BinaryOp {
            left: Box::new(between(&low, &high)),
            op: BinaryOperator::Or,
            right: Box::new(between(&high, &low)),
        }));
        match negated {
            true => Expr::UnaryOp {
                op: UnaryOperator::Not,
                expr: Box::new(either),
            },
            false => either,
        }
    }))
}
