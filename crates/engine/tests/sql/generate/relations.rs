//! What stands in FROM: bases, windows, joins, subqueries.

use super::*;

impl Generator {
    pub(super) fn base(&mut self, which: u64) -> From {
        let (name, columns) = BASES[usize::try_from(which).unwrap()];
        let alias = self.name("r");
        let column = |(name, of): &(&str, Of)| Column {
            sql: format!("{alias}.{name}"),
            of: *of,
        };
        From {
            sql: format!("{name} {alias}"),
            columns: columns.iter().map(column).collect(),
            unique: (which < 2).then(|| format!("{alias}.id")),
        }
    }

    /// One of the sources, whose rows have an id.
    pub(super) fn source(&mut self) -> From {
        let which = self.random.below(2);
        self.base(which)
    }

    pub(super) fn table(&mut self, depth: usize) -> From {
        if depth == 0 || self.chance(60) {
            let which = self.random.below(4);
            return self.base(which);
        }
        let (sql, types) = self.query(depth - 1);
        let sql = sql
            .strip_suffix(" EMIT ON WINDOW CLOSE")
            .unwrap_or(&sql)
            .to_owned();
        let alias = self.name("q");
        let columns = types
            .iter()
            .enumerate()
            .map(|(at, of)| Column {
                sql: format!("{alias}.c{at}"),
                of: *of,
            })
            .collect();
        From {
            sql: format!("({sql}) {alias}"),
            columns,
            unique: None,
        }
    }

    pub(super) fn from(&mut self, depth: usize) -> From {
        let mut from = self.table(depth);
        let more = self.random.one(&[0, 0, 0, 1, 1, 1, 2]);
        for _ in 0..more.min(depth) {
            let right = self.table(depth - 1);
            let word = self.text(&[
                "JOIN",
                "JOIN",
                "LEFT JOIN",
                "LEFT JOIN",
                "RIGHT JOIN",
                "FULL JOIN",
            ]);
            let of = self.random.one(&[Int, Int, Words]);
            let (a, b) = (
                self.column(&from.columns, of),
                self.column(&right.columns, of),
            );
            if constant(&a) || constant(&b) {
                continue;
            }
            from.columns.extend(right.columns.iter().cloned());
            let extra = if self.chance(25) {
                let (x, y) = (
                    self.column(&from.columns, Int),
                    self.column(&right.columns, Int),
                );
                format!(" AND {x} {} {y}", self.text(&["<", ">=", "<>"]))
            } else {
                String::new()
            };
            from.sql = format!("{} {word} {} ON {a} = {b}{extra}", from.sql, right.sql);
            from.unique = None;
        }
        from
    }
}
