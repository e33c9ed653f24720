//! Graphs that are made by hand, each with the SQL that says the same.

use headwater_sql::graph::{Changelog, Graph, JoinKind};

use crate::testing::*;

const CALLS: &[&str] = &[
    "count|",
    "count|s",
    "sum|cast(k as decimal(38,0))",
    "sum|f",
    "sum|d",
    "avg|f",
    "avg|d",
    "min|s",
    "max|s",
    "min|k",
    "max|f",
    "min|d",
    "max|t",
    "count|s|distinct",
    "count|k|distinct|f > 0",
    "sum|d|distinct",
    "sum|f||k > 1",
    "max|k > 2",
];

const CALLS_SQL: &str = "count(*), count(s), sum(cast(k as decimal(38,0))), sum(f), sum(d), avg(f), avg(d), min(s), max(s), min(k), max(f), \
    min(d), max(t), count(distinct s), count(distinct k) filter (where f > 0), sum(distinct d), sum(f) filter (where k > 1), max(k > 2)";

/// Graph number `which` over `l` and `r`, and its SQL.
pub(super) fn case(which: usize, changelog: Changelog) -> (Graph, String) {
    let mut b = Builder::default();
    let l = b.relation("l", row_schema(), changelog);
    let sql = match which / 2 {
        0..=2 => alone(&mut b, l, which, changelog),
        3..=5 => joined(&mut b, l, which, changelog),
        8..=12 => of_other_kinds(&mut b, l, which, changelog),
        _ => deep(&mut b, l, which, changelog),
    };
    (b.graph(), sql)
}

/// Of joins that come in both kinds: the kind and its word.
fn inner_or_left(which: usize) -> (JoinKind, &'static str) {
    match which % 2 {
        0 => (JoinKind::Inner, "join"),
        _ => (JoinKind::Left, "left join"),
    }
}

/// Without a join.
fn alone(b: &mut Builder, l: usize, which: usize, changelog: Changelog) -> String {
    match which / 2 {
        0 => {
            let f = b.filter(l, "k > 0 or s is null");
            b.project(
                f,
                &[
                    ("k + 1", "a"),
                    ("upper(s)", "b"),
                    ("case when f > 0 then f end", "c"),
                ],
            );
            "select k + 1, upper(s), case when f > 0 then f end from l where k > 0 or s is null"
                .to_owned()
        }
        1 => {
            let group: &[&str] = if which.is_multiple_of(2) {
                &["k"]
            } else {
                &["s", "t"]
            };
            b.aggregate(l, group, CALLS, None);
            let group = group.join(", ");
            format!("select {group}, {CALLS_SQL} from l group by {group}")
        }
        _ => {
            let r = b.relation("r", row_schema(), changelog);
            let u = if which.is_multiple_of(2) {
                b.union(vec![l, r, l])
            } else {
                b.filter(l, "k <> 2")
            };
            b.aggregate(u, &[], CALLS, None);
            let from = [
                "(select * from l union all select * from r union all select * from l)",
                "(select * from l where k <> 2)",
            ];
            format!("select {CALLS_SQL} from {}", from[which % 2])
        }
    }
}

/// Two relations, by keys and more.
fn joined(b: &mut Builder, l: usize, which: usize, changelog: Changelog) -> String {
    let (kind, word) = inner_or_left(which);
    match which / 2 {
        3 => {
            let r = b.relation("r", row_schema(), changelog);
            b.join(kind, [l, r], &[("k", "k")], None);
            format!("select * from l {word} r on l.k = r.k")
        }
        4 => {
            let r = b.relation("r", row_schema(), changelog);
            b.join(kind, [l, r], &[("s", "s"), ("k", "k")], Some("f > f_r"));
            format!("select * from l {word} r on l.s = r.s and l.k = r.k and l.f > r.f")
        }
        _ => {
            let same = b.relation("l", row_schema(), changelog);
            b.join(kind, [l, same], &[("k", "k + 1")], Some("t <= t_r"));
            format!("select * from l {word} l as m on l.k = m.k + 1 and l.t <= m.t")
        }
    }
}

/// An operator over another.
fn deep(b: &mut Builder, l: usize, which: usize, changelog: Changelog) -> String {
    let (kind, word) = inner_or_left(which);
    match which / 2 {
        6 => {
            let r = b.relation("r", row_schema(), changelog);
            let j = b.join(kind, [l, r], &[("k", "k")], None);
            let p = b.project(
                j,
                &[
                    ("k", "k"),
                    ("s_r", "s"),
                    ("f", "f"),
                    ("d_r", "d"),
                    ("t", "t"),
                ],
            );
            b.aggregate(p, &["k"], CALLS, None);
            format!(
                "select k, {CALLS_SQL} from (select l.k, r.s, l.f, r.d, l.t from l {word} r on l.k = r.k) group by k"
            )
        }
        7 => {
            let r = b.relation("r", row_schema(), changelog);
            let first = b.join(kind, [l, r], &[("k", "k")], Some("f < f_r"));
            let table = b.aggregate(r, &["s"], &["count|", "max|k"], None);
            b.join(JoinKind::Left, [first, table], &[("s", "g0")], None);
            format!(
                "select * from l {word} r on l.k = r.k and l.f < r.f \
                left join (select s, count(*), max(k) from r group by s) as g on l.s = g.s"
            )
        }
        _ => {
            let inner = b.aggregate(l, &["k", "s"], &["count|", "sum|f", "min|t", "max|d"], None);
            let p = b.project(
                inner,
                &[
                    ("a0", "k"),
                    ("g1", "s"),
                    ("a1", "f"),
                    ("a3", "d"),
                    ("a2", "t"),
                ],
            );
            b.aggregate(p, &["s"], CALLS, None);
            format!(
                "select s, {CALLS_SQL} from (select count(*) as k, s, sum(f) as f, max(d) as d, min(t) as t \
                from l group by l.k, s) group by s"
            )
        }
    }
}

/// Semi, anti, full and mark joins, and those without a key.
fn of_other_kinds(b: &mut Builder, l: usize, which: usize, changelog: Changelog) -> String {
    let (kind, word) = inner_or_left(which);
    match which / 2 {
        8..=10 => {
            // Each kind by key alone, and with a residual condition.
            let kind = [JoinKind::Semi, JoinKind::Anti, JoinKind::Full][which / 2 - 8];
            let r = b.relation("r", row_schema(), changelog);
            let filter = (which % 2 == 1).then_some("f > f_r");
            b.join(kind, [l, r], &[("k", "k")], filter);
            let on = ["l.k = r.k", "l.k = r.k and l.f > r.f"][which % 2];
            let word = ["left semi join", "left anti join", "full join"][which / 2 - 8];
            format!("select * from l {word} r on {on}")
        }
        11 => {
            // Without a key.
            let r = b.relation("r", row_schema(), changelog);
            b.join(kind, [l, r], &[], Some("k < k_r"));
            format!("select * from l {word} r on l.k < r.k")
        }
        _ => {
            let r = b.relation("r", row_schema(), changelog);
            let filter = (which % 2 == 1).then_some("f > f_r");
            b.join(JoinKind::Mark, [l, r], &[("k", "k")], filter);
            let on = ["l.k = r.k", "l.k = r.k and l.f > r.f"][which % 2];
            format!(
                "select l.*, true from l left semi join r on {on} union all select l.*, false from l left anti join r on {on}"
            )
        }
    }
}

pub(super) const CASES: usize = 28;
