"""The expected rows of the SQL cases are what PostgreSQL gives, or DuckDB for what only it understands. `SLT=joins` takes some of the files.
So are the batch answers to generated queries that a run of `cargo test -p headwater-engine --test sql` left in GENERATED_DIR."""
import os
import pathlib
import re

import duckdb
import psycopg
import pytest

from sql_cases import CASES, Oracle, differences, read, text


class Postgres:
    """One schema for each group, gone with it."""

    def __init__(self, server):
        self.connection = psycopg.connect(server.url, autocommit=True)
        self.run("SET TimeZone = 'UTC'")

    def run(self, sql):
        return self.connection.execute(sql)

    def fresh(self):
        self.run("DROP SCHEMA IF EXISTS slt CASCADE")
        self.run("CREATE SCHEMA slt")
        self.run("SET search_path = slt")
        return Oracle(self.run, duck=False)


class Duck:
    def fresh(self):
        db = duckdb.connect()
        db.execute("SET TimeZone = 'UTC'")
        db.execute("SET integer_division = true")
        # A column of the cases has a name that is a word of DuckDB's.
        return Oracle(lambda sql: db.execute(re.sub(r"\bat\b", '"at"', sql)), duck=True)


def loaded(database, group):
    oracle = database.fresh()
    for statement in group.statements:
        oracle.statement(statement)
    for rows in group.inputs:
        oracle.input(rows)
    return oracle


def answers(database, group):
    """Rows of each case, or why there are none."""
    try:
        oracle = loaded(database, group)
    except Exception as error:
        return [error] * len(group.cases)
    out = []
    for case in group.cases:
        try:
            out.append(["|".join(map(text, row)) for row in oracle.run(oracle.query(case.sql)).fetchall()])
        except Exception as error:
            out.append(error)
    return out


def check(paths, postgres, may_be_refused=False):
    """Every case of the files on PostgreSQL, or on DuckDB if only that understands it."""
    databases = [("PostgreSQL", Postgres(postgres)), ("DuckDB", Duck())]
    wrong, counts = [], {"PostgreSQL": 0, "DuckDB": 0, "not checked": 0}
    for path in paths:
        for group in read(path):
            given = {name: answers(database, group) for name, database in databases}
            for at, case in enumerate(group.cases):
                if "unchecked" in case.head.split() or "view-only" in case.head.split():
                    counts["not checked"] += 1
                    continue
                name = "DuckDB" if isinstance(given["PostgreSQL"][at], Exception) or "duckdb" in case.head.split() else "PostgreSQL"
                got = given[name][at]
                if isinstance(got, Exception):
                    if may_be_refused:
                        counts["not checked"] += 1
                    else:
                        wrong.append(f"{case.file}:{case.line} neither runs it:\n  PostgreSQL: {given['PostgreSQL'][at]}\n  DuckDB: {got}")
                    continue
                counts[name] += 1
                missing, more = differences(case.expect, got)
                if missing or more:
                    wrong.append(f"{case.file}:{case.line} {name} gives other rows\n  {case.sql}\n  ours:   {missing[:6]}\n  theirs: {more[:6]}")
    print(f"\n{counts}")
    assert counts["PostgreSQL"] > counts["not checked"]
    assert not wrong, f"{len(wrong)} differ:\n" + "\n".join(wrong)


@pytest.mark.timeout(600)
def test_expected_rows_are_what_other_databases_give(postgres):
    wanted = os.environ.get("SLT", "")
    check([path for path in sorted(CASES.glob("*.slt")) if wanted in path.stem], postgres)


@pytest.mark.timeout(7200)
@pytest.mark.skipif("GENERATED_DIR" not in os.environ, reason="GENERATED_DIR says where the generated queries are")
def test_generated_queries_give_what_other_databases_give(postgres):
    paths = sorted(pathlib.Path(os.environ["GENERATED_DIR"]).glob("*.slt"))
    assert paths
    check(paths, postgres, may_be_refused=True)
