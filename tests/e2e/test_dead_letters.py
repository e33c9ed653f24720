"""`headwater dead-letters`: what is listed, and that each record counts once after the cause is mended, in the records or in the source."""
import json

from conftest import eventually
from test_clients import confluent_write

ORDERS = "CREATE {replace} SOURCE orders (id BIGINT, qty {type}, item TEXT) WITH (topic = 'orders', format = '{format}');"
TOTALS = "CREATE MATERIALIZED VIEW totals AS SELECT item, count(*) AS n, sum(qty) AS q FROM orders GROUP BY item;"
ROWS = [{"id": 1, "qty": 2, "item": "pen"}, {"id": 2, "qty": 2.5, "item": "ink"}, {"id": 3, "qty": "many", "item": "pen"}, {"id": 4, "qty": 1, "item": "ink"}]


def source(type="BIGINT", format="json", replace=""):
    return ORDERS.format(type=type, format=format, replace=replace)


def write(node, rows):
    confluent_write(node, "orders", [row.encode() if isinstance(row, str) else json.dumps(row).encode() for row in rows])


def listed(node, *args):
    out = node.cli("dead-letters", "list", *args, "--output", "json", "--bootstrap", node.bootstrap).stdout
    return [json.loads(line) for line in out.splitlines()]


def replay(node, *args):
    """Replayed, left out, read again by a rebuild."""
    out = node.cli("dead-letters", "replay", *args, "--output", "json", "--bootstrap", node.bootstrap).stdout
    return tuple(json.loads(out)[name] for name in ("replayed", "left_out", "read_again"))


def totals(node):
    return sorted((item, n, float(q)) for item, n, q in node.rows("SELECT item, n, q FROM totals"))


def test_a_mended_record_counts_once(node):
    node.sql(source() + TOTALS)
    write(node, ROWS)
    assert totals(node) == [("ink", 1, 1.0), ("pen", 1, 2.0)]
    letters = listed(node)
    assert [(letter["source"], letter["topic"], json.loads(letter["value_text"])["id"]) for letter in letters] == [("orders", "orders", 2), ("orders", "orders", 3)]
    assert [letter["offset"] for letter in listed(node, "--error", "many")] == [letters[1]["offset"]]
    # A command that fails leaves its record out, and nothing is remembered of it.
    assert replay(node, "--through", "false") == (0, 2, 0)
    assert replay(node, "--error", "many", "--through", "sed 's/\"many\"/7/'") == (1, 0, 0)
    assert totals(node) == [("ink", 1, 1.0), ("pen", 2, 9.0)]
    # Whatever is asked for then, what was replayed is not replayed again.
    assert replay(node, "--through", "sed 's/2.5/3/'") == (1, 0, 0)
    assert replay(node) == (0, 0, 0)
    assert replay(node, "--pipeline", letters[0]["pipeline"]) == (0, 0, 0)
    assert totals(node) == [("ink", 2, 4.0), ("pen", 2, 9.0)]
    assert node.rows("SELECT count(*) FROM orders") == [[4]]
    assert len(listed(node)) == 2


def test_a_record_that_is_still_bad_is_a_dead_letter_of_its_own(node):
    node.sql(source() + TOTALS)
    write(node, ROWS)
    assert totals(node)
    assert replay(node, "--error", "many") == (1, 0, 0)
    letters = eventually(lambda: len(found := listed(node, "--error", "many")) == 2 and found, 20, "the second letter")
    assert letters[0]["offset"] != letters[1]["offset"]
    assert replay(node, "--error", "many", "--through", "sed 's/\"many\"/1/'") == (1, 0, 0)
    assert totals(node) == [("ink", 1, 1.0), ("pen", 2, 3.0)]


def test_what_a_mended_source_reads_is_not_replayed(node):
    node.sql(source() + TOTALS)
    write(node, ROWS)
    assert totals(node) == [("ink", 1, 1.0), ("pen", 1, 2.0)]
    node.sql(source(type="DOUBLE", replace="OR REPLACE"))
    mended = [("ink", 2, 3.5), ("pen", 1, 2.0)]
    eventually(lambda: totals(node) == mended, 20, "the view is rebuilt")
    # The other one is still bad: it has a letter of the source as it is now.
    assert [json.loads(letter["value_text"])["id"] for letter in listed(node)] == [3]
    assert len(listed(node, "--all")) == 3
    node.kill9()
    node.start()
    assert replay(node, "--through", "sed 's/\"many\"/7/'") == (1, 0, 2)
    assert replay(node) == (0, 0, 2)
    assert totals(node) == [("ink", 2, 3.5), ("pen", 2, 9.0)]


def test_another_format_reads_them_all(node):
    node.sql(source() + TOTALS)
    write(node, ["1,2,pen", "2,3,ink", "3,4,pen"])
    eventually(lambda: len(listed(node)) == 3, 20, "three letters")
    node.sql("ALTER SOURCE orders SET (format = 'csv')")
    eventually(lambda: totals(node) == [("ink", 1, 3.0), ("pen", 2, 6.0)], 20, "the view is rebuilt")
    assert listed(node) == []
    assert replay(node) == (0, 0, 3)
    assert totals(node) == [("ink", 1, 3.0), ("pen", 2, 6.0)]


def test_a_source_that_takes_less_makes_letters_of_what_is_there(node):
    node.sql(source(type="DOUBLE") + TOTALS)
    write(node, ROWS)
    assert totals(node) == [("ink", 2, 3.5), ("pen", 1, 2.0)]
    node.sql(source(type="BIGINT", replace="OR REPLACE"))
    eventually(lambda: totals(node) == [("ink", 1, 1.0), ("pen", 1, 2.0)], 20, "the view is rebuilt")
    assert sorted(json.loads(letter["value_text"])["id"] for letter in listed(node)) == [2, 3]


def test_a_pipeline_made_anew_does_not_count_twice(node):
    node.sql(source() + TOTALS)
    write(node, ROWS)
    assert totals(node)
    node.sql("DROP MATERIALIZED VIEW totals")
    node.sql(TOTALS)
    assert totals(node) == [("ink", 1, 1.0), ("pen", 1, 2.0)]
    eventually(lambda: len(listed(node)) == 2, 20, "two letters, not four")
    assert replay(node, "--through", "sed 's/\"many\"/7/; s/2.5/3/'")[0] == 2
    assert totals(node) == [("ink", 2, 4.0), ("pen", 2, 9.0)]


def test_into_another_topic_and_what_is_refused(node):
    node.sql(source() + TOTALS)
    write(node, ROWS)
    assert totals(node)
    missing = node.cli("dead-letters", "replay", "--to", "nowhere", "--bootstrap", node.bootstrap, check=False)
    assert missing.returncode != 0 and '"nowhere"' in missing.stderr, missing.stderr
    node.cli("topic", "create", "bad-orders", "--partitions", "1", "--bootstrap", node.bootstrap)
    assert replay(node, "--to", "bad-orders") == (2, 0, 0)
    assert replay(node, "--to", "bad-orders") == (0, 0, 0)
    assert node.rows('SELECT count(*) FROM "bad-orders"') == [[2]]
    # Under another name it is a replay of its own.
    assert replay(node, "--to", "bad-orders", "--memory", "again") == (2, 0, 0)
    table = node.cli("dead-letters", "list", "--bootstrap", node.bootstrap).stdout
    assert all(name in table for name in ("pipeline", "source", "place", "error", "value", "many")), table
    assert totals(node) == [("ink", 1, 1.0), ("pen", 1, 2.0)]
