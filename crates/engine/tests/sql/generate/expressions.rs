//! Columns, constants and what is computed of them.

use super::*;

impl Generator {
    /// A column of the type, or a constant if there is none.
    pub(super) fn column(&mut self, columns: &[Column], of: Of) -> String {
        let fit: Vec<&Column> = columns.iter().filter(|c| c.of == of).collect();
        if fit.is_empty() {
            return match of {
                Int => "7".to_owned(),
                Float => "2.5e0".to_owned(),
                Decimal => "CAST(1.25 AS DECIMAL(10, 2))".to_owned(),
                Words => "'a'".to_owned(),
                Bool => "true".to_owned(),
                Time => "TIMESTAMPTZ '2024-01-01 00:03:00Z'".to_owned(),
            };
        }
        let at = usize::try_from(self.random.below(fit.len() as u64)).unwrap();
        fit[at].sql.clone()
    }

    pub(super) fn expr(&mut self, columns: &[Column], of: Of, depth: usize) -> String {
        if depth == 0 || (of != Bool && self.chance(45)) {
            return self.column(columns, of);
        }
        let (x, y) = (self.expr(columns, of, depth - 1), self.column(columns, of));
        let p = self.test(columns, depth - 1);
        match (of, self.random.below(6)) {
            (Bool, _) => self.test(columns, depth),
            (_, 0) => format!("CASE WHEN {p} THEN {x} ELSE {y} END"),
            (_, 1) => format!("coalesce({x}, {y})"),
            (_, 2) => format!("nullif({x}, {y})"),
            (Int, 3) => format!("length({})", self.column(columns, Words)),
            (Int, 4) => format!("({x} - {y})"),
            (Int, _) => format!("({x} % 5)"),
            (Float, 3) => format!("({x} * 2e0)"),
            (Float, _) => format!("abs({x})"),
            (Decimal, 3) => format!("({x} + {y})"),
            (Decimal, _) => format!("abs({x})"),
            (Words, 3) => format!("upper({x})"),
            (Words, 4) => format!("({x} || 'x')"),
            (Words, _) => format!("substr({x}, 1, 1)"),
            (Time, 3) => format!("({x} + INTERVAL '1 minute')"),
            (Time, _) => format!("date_trunc('minute', {x})"),
        }
    }

    pub(super) fn test(&mut self, columns: &[Column], depth: usize) -> String {
        let of = self.random.one(&[Int, Int, Float, Words, Time, Decimal]);
        let x = self.column(columns, of);
        match self.random.below(9) {
            0 if depth > 0 => format!(
                "({} AND {})",
                self.test(columns, depth - 1),
                self.test(columns, depth - 1)
            ),
            1 if depth > 0 => format!(
                "({} OR {})",
                self.test(columns, depth - 1),
                self.test(columns, depth - 1)
            ),
            2 if depth > 0 => format!("(NOT {})", self.test(columns, depth - 1)),
            3 => format!("{x} IS NULL"),
            4 => self.column(columns, Bool),
            5 => format!("{} IN (1, 3, 5)", self.column(columns, Int)),
            6 => format!(
                "{} LIKE '%{}%'",
                self.column(columns, Words),
                self.text(&["a", "b", ""])
            ),
            7 => format!("{} BETWEEN 0 AND 4", self.column(columns, Int)),
            _ => {
                let y = self.column(columns, of);
                format!(
                    "{x} {} {y}",
                    self.text(&["=", "<>", "<", ">=", "IS DISTINCT FROM"])
                )
            }
        }
    }
}

/// No column in it: nothing to group or join by.
pub(super) fn constant(expr: &str) -> bool {
    !expr
        .split(|c: char| !(c.is_alphanumeric() || c == '.' || c == '_'))
        .any(|word| {
            word.split_once('.')
                .is_some_and(|(alias, _)| alias.starts_with(|c: char| c.is_ascii_lowercase()))
        })
}

pub(super) fn named(items: &[(String, Of)]) -> (String, Vec<Of>) {
    let list: Vec<String> = items
        .iter()
        .enumerate()
        .map(|(at, (expr, _))| format!("{expr} AS c{at}"))
        .collect();
    (list.join(", "), items.iter().map(|(_, of)| *of).collect())
}
