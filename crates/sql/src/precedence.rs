//! `a IS NOT DISTINCT FROM b AND c` as PostgreSQL reads it: the parser takes all of `b AND c` for the right side.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, Query, VisitMut, VisitorMut};

pub(crate) fn mend(query: &mut Query) {
    let _ = VisitMut::visit(query, &mut Mend);
}

struct Mend;

impl VisitorMut for Mend {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let (Expr::IsDistinctFrom(_, right) | Expr::IsNotDistinctFrom(_, right)) = expr else {
            return ControlFlow::Continue(());
        };
        let Some(first) = first_operand(right) else {
            return ControlFlow::Continue(());
        };
        // The comparison takes the place of the first operand of AND, and AND that of the comparison.
        let operand = std::mem::replace(first, Expr::Wildcard(empty()));
        let chain = std::mem::replace(right.as_mut(), operand);
        let comparison = std::mem::replace(expr, chain);
        if let Some(place) = first_operand(expr) {
            *place = comparison;
        }
        ControlFlow::Continue(())
    }
}

fn empty() -> datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken {
    datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken::empty()
}

/// The leftmost operand of a chain of AND and OR without brackets.
fn first_operand(expr: &mut Expr) -> Option<&mut Expr> {
    let Expr::BinaryOp { left, op, .. } = expr else {
        return None;
    };
    if !matches!(op, BinaryOperator::And | BinaryOperator::Or) {
        return None;
    }
    let chained = matches!(
        left.as_ref(),
        Expr::BinaryOp {
            op: BinaryOperator::And | BinaryOperator::Or,
            ..
        }
    );
    if chained {
        first_operand(left)
    } else {
        Some(left)
    }
}
