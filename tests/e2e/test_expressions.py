"""The answers that crates/sql/tests/postgres holds, asked again of a real PostgreSQL (they were given by version 15)."""
import psycopg

from conftest import ROOT

FILES = sorted((ROOT / "crates/sql/tests/postgres").glob("*.txt"))


def cases(path):
    """The expressions of a file with the answers it holds: `expression  =>  answer` a line."""
    return [line.split("  =>  ", 1) for line in path.read_text().splitlines() if "  =>  " in line]


def asked(connection, expression):
    """PostgreSQL's answer in the words of the files."""
    try:
        # As one statement without parameters: a % and a ? stand for themselves.
        value = psycopg.ClientCursor(connection).execute(f"SELECT ({expression})::text").fetchone()[0]
    except psycopg.Error as error:
        return f"ERROR {error.diag.message_primary}"
    return "NULL" if value is None else value.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t")


def test_postgresql_gives_the_answers_that_the_files_hold(postgres):
    held = [case for path in FILES for case in cases(path)]
    assert len(held) > 500
    with psycopg.connect(postgres.url, autocommit=True, options="-c timezone=UTC -c datestyle=ISO") as connection:
        answers = [(expression, answer, asked(connection, expression)) for expression, answer in held]
    wrong = [f"{expression}\n   the file: {answer}\n PostgreSQL: {real}"
             for expression, answer, real in answers if answer != real]
    assert not wrong, "\n" + "\n".join(wrong)
