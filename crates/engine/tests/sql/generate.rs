//! Schema, rows and queries by seed: joins over aggregates over windows, subqueries, set operations, OVER, top-N, with NULLs, NaN and -0.0.
//!
//! What is generated has one answer only: ties in an order are broken by a unique column, floats are quarters, so that sums are exact.

mod expressions;
mod relations;

use expressions::{constant, named};

use crate::file::{Group, Input, Query, Text};
use crate::variant::Random;

const SCHEMA: [&str; 4] = [
    "CREATE SOURCE a (id BIGINT, k INT, s TEXT, v BIGINT, f DOUBLE, d DECIMAL(10, 2), b BOOLEAN, ts TIMESTAMPTZ,
  g DOUBLE AS CASE WHEN v = 3 THEN CAST('NaN' AS DOUBLE) WHEN v = 4 THEN CAST('-0.0' AS DOUBLE) ELSE f END,
  WATERMARK FOR ts AS ts - INTERVAL '7 days') WITH (topic = 'a')",
    "CREATE SOURCE c (id BIGINT, k INT, s TEXT, v BIGINT, ts TIMESTAMPTZ, WATERMARK FOR ts AS ts - INTERVAL '7 days') WITH (topic = 'c')",
    "CREATE TABLE t (k INT PRIMARY KEY, s TEXT, v BIGINT, d DECIMAL(10, 2), ts TIMESTAMPTZ) WITH (topic = 't')",
    "CREATE TABLE u (k INT, s TEXT, v BIGINT, b BOOLEAN, PRIMARY KEY (k, s)) WITH (topic = 'u')",
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Of {
    Int,
    Float,
    Decimal,
    Text,
    Bool,
    Time,
}
use Of::{Bool, Decimal, Float, Int, Text as Words, Time};

#[derive(Clone, Debug)]
struct Column {
    sql: String,
    of: Of,
}

/// What stands after FROM, and the columns that it offers.
struct From {
    sql: String,
    columns: Vec<Column>,
    /// A column that no two rows share.
    unique: Option<String>,
}

const BASES: [(&str, &[(&str, Of)]); 4] = [
    (
        "a",
        &[
            ("id", Int),
            ("k", Int),
            ("s", Words),
            ("v", Int),
            ("f", Float),
            ("d", Decimal),
            ("b", Bool),
            ("ts", Time),
            ("g", Float),
        ],
    ),
    (
        "c",
        &[
            ("id", Int),
            ("k", Int),
            ("s", Words),
            ("v", Int),
            ("ts", Time),
        ],
    ),
    (
        "t",
        &[
            ("k", Int),
            ("s", Words),
            ("v", Int),
            ("d", Decimal),
            ("ts", Time),
        ],
    ),
    ("u", &[("k", Int), ("s", Words), ("v", Int), ("b", Bool)]),
];

/// Number `seed`'s rows and `queries` queries over them.
pub fn group(seed: u64, queries: usize) -> Group {
    let mut made = Generator {
        random: Random::new(seed),
        names: 0,
    };
    let statements = SCHEMA
        .map(|sql| Text {
            line: 1,
            sql: sql.to_owned(),
        })
        .to_vec();
    let inputs = made
        .inputs()
        .into_iter()
        .map(|sql| Input::Sql(Text { line: 1, sql }))
        .collect();
    let query = |(at, sql): (usize, String)| Query {
        line: at + 2,
        sql,
        open: true,
        ..Query::default()
    };
    let queries: Vec<String> = (0..queries).map(|_| made.query(2).0).collect();
    let queries = queries.into_iter().enumerate().map(query).collect();
    Group {
        file: format!("generated with seed {seed}"),
        line: 1,
        statements,
        inputs,
        queries,
        ..Group::default()
    }
}

struct Generator {
    random: Random,
    names: usize,
}

impl Generator {
    fn chance(&mut self, percent: u64) -> bool {
        self.random.below(100) < percent
    }

    fn text(&mut self, of: &[&str]) -> String {
        self.random.one(of).to_owned()
    }

    fn name(&mut self, start: &str) -> String {
        self.names += 1;
        format!("{start}{}", self.names)
    }

    fn inputs(&mut self) -> Vec<String> {
        let mut all = Vec::new();
        let mut id = 0;
        for _ in 0..4 {
            let rows: Vec<String> = (0..self.random.below(14))
                .map(|_| {
                    id += 1;
                    self.row("a", id)
                })
                .collect();
            all.extend(insert("a", &rows));
            let rows: Vec<String> = (0..self.random.below(9))
                .map(|_| {
                    id += 1;
                    self.row("c", id)
                })
                .collect();
            all.extend(insert("c", &rows));
            let rows: Vec<String> = (0..self.random.below(6))
                .map(|_| self.row("t", 0))
                .collect();
            all.extend(insert("t", &rows));
            let rows: Vec<String> = (0..self.random.below(6))
                .map(|_| self.row("u", 0))
                .collect();
            all.extend(insert("u", &rows));
            if self.chance(60) {
                all.push(format!("DELETE FROM t WHERE k = {}", self.random.below(7)));
            }
            if self.chance(50) {
                let s = self.text(&["a", "b", "ab"]);
                all.push(format!(
                    "DELETE FROM u WHERE k = {} AND s = '{s}'",
                    self.random.below(4)
                ));
            }
        }
        all
    }

    fn row(&mut self, table: &str, id: u64) -> String {
        let (k, s) = match table {
            "t" => (self.random.below(7).to_string(), self.value(Words)),
            "u" => (
                self.random.below(4).to_string(),
                format!("'{}'", self.random.one(&["a", "b", "ab"])),
            ),
            _ => (
                self.nullable(9, |r| r.below(7).to_string()),
                self.value(Words),
            ),
        };
        let v = self.value(Int);
        let rest: &[Of] = match table {
            "a" => &[Float, Decimal, Bool, Time],
            "c" => &[Time],
            "t" => &[Decimal, Time],
            _ => &[Bool],
        };
        let rest: Vec<String> = rest.iter().map(|of| self.value(*of)).collect();
        let id = if id > 0 {
            format!("{id}, ")
        } else {
            String::new()
        };
        format!("({id}{k}, {s}, {v}, {})", rest.join(", "))
    }

    fn nullable(&mut self, one_in: u64, make: impl Fn(&mut Random) -> String) -> String {
        if self.random.below(one_in) == 0 {
            "NULL".to_owned()
        } else {
            make(&mut self.random)
        }
    }

    fn value(&mut self, of: Of) -> String {
        self.nullable(8, |random| match of {
            Int => match random.below(20) {
                0 => "9007199254740993".to_owned(),
                1 => "-1000000007".to_owned(),
                _ => (random.below(12) as i64 - 4).to_string(),
            },
            Float => format!("{:?}", (random.below(60) as f64 - 30.0) / 4.0),
            Decimal => format!("{:.2}", (random.below(4_000) as f64 - 1_500.0) / 100.0),
            Words => format!(
                "'{}'",
                random.one(&["a", "b", "", "ab", "B", "a b", "zebra"])
            ),
            Bool => random.one(&["true", "false"]).to_owned(),
            Time => format!(
                "'2024-01-01 00:{:02}:{:02}Z'",
                random.below(8),
                10 * random.below(6)
            ),
        })
    }
}

/// One statement a row, so that a failure can be shrunk by leaving some out.
fn insert(table: &str, rows: &[String]) -> Vec<String> {
    rows.iter()
        .map(|row| format!("INSERT INTO {table} VALUES {row}"))
        .collect()
}

/// Queries.
impl Generator {
    /// A query whose columns are called c0, c1 and so on.
    fn query(&mut self, depth: usize) -> (String, Vec<Of>) {
        match self.random.below(100) {
            0..=21 => self.plain(depth),
            22..=49 => self.aggregate(depth),
            50..=63 => self.windows(),
            64..=73 => self.set_operation(depth),
            74..=81 => self.over(),
            82..=87 => self.top(),
            88..=95 => self.subquery(depth),
            _ => self.distinct(depth),
        }
    }

    fn plain(&mut self, depth: usize) -> (String, Vec<Of>) {
        let from = self.from(depth);
        let (list, types) = self.list(&from, 4);
        let condition = self.condition(&from.columns, 70);
        (format!("SELECT {list} FROM {}{condition}", from.sql), types)
    }

    fn list(&mut self, from: &From, most: u64) -> (String, Vec<Of>) {
        let mut items = Vec::new();
        for _ in 0..=self.random.below(most) {
            let of = self
                .random
                .one(&[Int, Int, Float, Decimal, Words, Bool, Time]);
            items.push((self.expr(&from.columns, of, 2), of));
        }
        named(&items)
    }

    fn condition(&mut self, columns: &[Column], percent: u64) -> String {
        if self.chance(percent) {
            format!(" WHERE {}", self.expr(columns, Bool, 2))
        } else {
            String::new()
        }
    }

    fn distinct(&mut self, depth: usize) -> (String, Vec<Of>) {
        let from = self.from(depth);
        let (list, types) = self.list(&from, 2);
        (format!("SELECT DISTINCT {list} FROM {}", from.sql), types)
    }

    fn aggregate(&mut self, depth: usize) -> (String, Vec<Of>) {
        let from = self.from(depth);
        let mut items = Vec::new();
        for _ in 0..self.random.below(3) {
            let of = self.random.one(&[Int, Words, Bool, Time, Decimal]);
            let expr = if self.chance(70) {
                self.column(&from.columns, of)
            } else {
                self.expr(&from.columns, of, 1)
            };
            if !items.iter().any(|(other, _)| *other == expr) && !constant(&expr) {
                items.push((expr, of));
            }
        }
        let keys: Vec<String> = items.iter().map(|(expr, _)| expr.clone()).collect();
        for _ in 0..=self.random.below(3) {
            items.push(self.call(&from.columns));
        }
        let condition = self.condition(&from.columns, 30);
        let grouped = if keys.is_empty() {
            String::new()
        } else {
            format!(" GROUP BY {}", keys.join(", "))
        };
        let having = if !keys.is_empty() && self.chance(25) {
            format!(" HAVING count(*) > {}", self.random.below(3))
        } else {
            String::new()
        };
        let (list, types) = named(&items);
        (
            format!(
                "SELECT {list} FROM {}{condition}{grouped}{having}",
                from.sql
            ),
            types,
        )
    }

    fn call(&mut self, columns: &[Column]) -> (String, Of) {
        let filter = if self.chance(15) {
            format!(" FILTER (WHERE {})", self.expr(columns, Bool, 1))
        } else {
            String::new()
        };
        let distinct = if self.chance(20) { "DISTINCT " } else { "" };
        let (call, of) = match self.random.below(9) {
            0 | 1 => ("count(*)".to_owned(), Int),
            2 => (format!("count({distinct}{})", self.any(columns)), Int),
            3 => (
                format!("sum({distinct}{})", self.expr(columns, Int, 1)),
                Decimal,
            ),
            4 => (format!("sum({})", self.finite(columns)), Float),
            5 => (
                format!("sum({distinct}{})", self.column(columns, Decimal)),
                Decimal,
            ),
            6 => (format!("avg({})", self.finite(columns)), Float),
            _ => {
                let of = self.random.one(&[Int, Float, Decimal, Words, Time]);
                (
                    format!(
                        "{}({})",
                        self.text(&["min", "max"]),
                        self.expr(columns, of, 1)
                    ),
                    of,
                )
            }
        };
        (format!("{call}{filter}"), of)
    }

    fn any(&mut self, columns: &[Column]) -> String {
        let at = usize::try_from(self.random.below(columns.len() as u64)).unwrap();
        columns[at].sql.clone()
    }

    /// A float that is no NaN and small, so that sums are exact.
    fn finite(&mut self, columns: &[Column]) -> String {
        let plain: Vec<Column> = columns
            .iter()
            .filter(|c| c.sql.ends_with(".f"))
            .cloned()
            .collect();
        if plain.is_empty() {
            "2.5e0".to_owned()
        } else {
            self.column(&plain, Float)
        }
    }

    fn windows(&mut self) -> (String, Vec<Of>) {
        let (base, columns) = BASES[usize::try_from(self.random.below(2)).unwrap()];
        let windowed = match self.random.below(2) {
            0 => format!(
                "TUMBLE({base}, ts, INTERVAL '{}')",
                self.text(&["1 minute", "90 seconds", "2 minutes"])
            ),
            _ => format!(
                "HOP({base}, ts, INTERVAL '{}', INTERVAL '2 minutes')",
                self.text(&["1 minute", "30 seconds"])
            ),
        };
        let alias = self.name("w");
        let columns: Vec<Column> = columns
            .iter()
            .map(|(name, of)| Column {
                sql: format!("{alias}.{name}"),
                of: *of,
            })
            .collect();
        let mut items = vec![
            (format!("{alias}.window_start"), Time),
            (format!("{alias}.window_end"), Time),
        ];
        if self.chance(50) {
            let of = self.random.one(&[Int, Words]);
            items.push((self.column(&columns, of), of));
        }
        items.retain(|(expr, _)| !constant(expr));
        let keys: Vec<String> = items.iter().map(|(expr, _)| expr.clone()).collect();
        for _ in 0..=self.random.below(2) {
            items.push(self.call(&columns));
        }
        let condition = self.condition(&columns, 30);
        let emit = if self.chance(20) {
            " EMIT ON WINDOW CLOSE"
        } else {
            ""
        };
        let (list, types) = named(&items);
        let sql = format!(
            "SELECT {list} FROM {windowed} {alias}{condition} GROUP BY {}",
            keys.join(", ")
        );
        if emit.is_empty() && self.chance(30) {
            let outer = self.name("q");
            return (
                format!(
                    "SELECT {outer}.c1 AS c0, count(*) AS c1, max({outer}.c0) AS c2 FROM ({sql}) {outer} GROUP BY {outer}.c1"
                ),
                vec![Time, Int, Time],
            );
        }
        (format!("{sql}{emit}"), types)
    }

    fn set_operation(&mut self, depth: usize) -> (String, Vec<Of>) {
        let types: Vec<Of> = (0..=self.random.below(2))
            .map(|_| self.random.one(&[Int, Words, Bool, Time]))
            .collect();
        let mut side = || {
            let from = self.from(depth.saturating_sub(1));
            let items: Vec<(String, Of)> = types
                .iter()
                .map(|of| (self.column(&from.columns, *of), *of))
                .collect();
            let condition = self.condition(&from.columns, 40);
            format!("SELECT {} FROM {}{condition}", named(&items).0, from.sql)
        };
        let (left, right) = (side(), side());
        let word = self.text(&[
            "UNION ALL",
            "UNION ALL",
            "UNION",
            "EXCEPT",
            "INTERSECT",
            "EXCEPT ALL",
            "INTERSECT ALL",
        ]);
        (format!("{left} {word} {right}"), types)
    }

    fn over(&mut self) -> (String, Vec<Of>) {
        let from = self.source();
        let unique = from.unique.clone().unwrap();
        let of = self.random.one(&[Int, Words, Bool]);
        let partition = self.column(&from.columns, of);
        let partition = if self.chance(80) && !constant(&partition) {
            format!("PARTITION BY {partition} ")
        } else {
            String::new()
        };
        let of = self.random.one(&[Int, Time, Words]);
        let by = self.column(&from.columns, of);
        let way = self.text(&["", " DESC", " NULLS FIRST", " DESC NULLS LAST"]);
        let by = if constant(&by) {
            unique.clone()
        } else {
            format!("{by}{way}, {unique}")
        };
        let (call, of) = match self.random.below(8) {
            0 => ("row_number()".to_owned(), Int),
            1 => ("rank()".to_owned(), Int),
            2 => ("dense_rank()".to_owned(), Int),
            3 => (format!("lag({})", self.column(&from.columns, Int)), Int),
            4 => (
                format!("lead({})", self.column(&from.columns, Words)),
                Words,
            ),
            5 => ("count(*)".to_owned(), Int),
            6 => (
                format!("max({})", self.column(&from.columns, Decimal)),
                Decimal,
            ),
            _ => (format!("sum({})", self.column(&from.columns, Int)), Decimal),
        };
        let frame = match call.contains("sum(") || call.contains("max(") {
            true => self.text(&[
                "",
                " ROWS BETWEEN 2 PRECEDING AND CURRENT ROW",
                " ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW",
            ]),
            false => String::new(),
        };
        let items = vec![
            (unique, Int),
            (format!("{call} OVER ({partition}ORDER BY {by}{frame})"), of),
        ];
        let condition = self.condition(&from.columns, 30);
        let (list, types) = named(&items);
        (format!("SELECT {list} FROM {}{condition}", from.sql), types)
    }

    fn top(&mut self) -> (String, Vec<Of>) {
        let from = self.source();
        let unique = from.unique.clone().unwrap();
        let of = self.random.one(&[Int, Time, Decimal]);
        let by = self.column(&from.columns, of);
        let way = self.text(&["", " DESC", " DESC NULLS LAST"]);
        let by = if constant(&by) {
            unique.clone()
        } else {
            format!("{by}{way}, {unique}")
        };
        let count = 1 + self.random.below(4);
        let key = self.column(&from.columns, Words);
        let condition = self.condition(&from.columns, 30);
        if self.chance(40) {
            return (
                format!(
                    "SELECT {unique} AS c0, {key} AS c1 FROM {}{condition} ORDER BY {by} LIMIT {count}",
                    from.sql
                ),
                vec![Int, Words],
            );
        }
        let outer = self.name("q");
        let inner = format!(
            "SELECT {unique} AS c0, {key} AS c1, row_number() OVER (PARTITION BY {key} ORDER BY {by}) AS c2 FROM {}{condition}",
            from.sql
        );
        (
            format!(
                "SELECT {outer}.c0, {outer}.c1, {outer}.c2 FROM ({inner}) {outer} WHERE {outer}.c2 <= {count}"
            ),
            vec![Int, Words, Int],
        )
    }

    fn subquery(&mut self, depth: usize) -> (String, Vec<Of>) {
        let from = self.from(depth.saturating_sub(1));
        let which = self.random.below(4);
        let inner = self.base(which);
        let of = self.random.one(&[Int, Words]);
        let (outside, inside) = (
            self.column(&from.columns, of),
            self.column(&inner.columns, of),
        );
        let condition = self.condition(&inner.columns, 50);
        let not = if self.chance(35) { "NOT " } else { "" };
        let (mut list, mut types) = self.list(&from, 2);
        let correlated = if condition.is_empty() {
            format!(" WHERE {inside} = {outside}")
        } else {
            format!(" WHERE ({}) AND {inside} = {outside}", &condition[7..])
        };
        let test = match self.random.below(4) {
            0 => format!(
                "{outside} {not}IN (SELECT {inside} FROM {}{condition})",
                inner.sql
            ),
            1 | 2 => format!("{not}EXISTS (SELECT 1 FROM {}{correlated})", inner.sql),
            _ => {
                let n = types.len();
                list.push_str(&format!(
                    ", (SELECT max({}) FROM {}{correlated}) AS c{n}",
                    self.column(&inner.columns, Int),
                    inner.sql
                ));
                types.push(Int);
                "true".to_owned()
            }
        };
        (
            format!("SELECT {list} FROM {} WHERE {test}", from.sql),
            types,
        )
    }
}
