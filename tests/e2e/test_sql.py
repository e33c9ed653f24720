"""Streaming SQL from outside: definitions, pipelines, errors, dead letters, late rows, alerts, secrets."""
import http.server
import json
import threading

import pytest
from conftest import SqlError, eventually
from test_clients import confluent_read, confluent_write

PAYMENTS = """
CREATE SOURCE payments (card TEXT, amount BIGINT, place STRUCT<city TEXT, zip BIGINT>, ts TIMESTAMPTZ,
  WATERMARK FOR ts AS ts - INTERVAL '5 seconds') WITH (topic = 'payments', idle_timeout = '1 hour');
"""
SPEND = """
CREATE MATERIALIZED VIEW spend AS SELECT card, window_start, window_end, count(*) AS n, sum(amount) AS total
  FROM TUMBLE(payments, ts, INTERVAL '1 minute') GROUP BY card, window_start, window_end;
"""


def pay(node, *rows):
    confluent_write(node, "payments", [json.dumps(r).encode() if isinstance(r, dict) else r for r in rows])


def payment(card, amount, second, **more):
    return {"card": card, "amount": amount, "ts": f"2026-01-01T10:{second // 60:02}:{second % 60:02}Z", **more}


def test_a_select_sees_what_was_acked(node):
    node.sql(PAYMENTS + SPEND)
    for n in range(1, 30):
        pay(node, payment("a", 10, 1))
        assert node.rows("SELECT n, total FROM spend") == [[n, n * 10]]


def test_nested_fields_and_plain_selects(node):
    node.sql(PAYMENTS)
    pay(node, payment("a", 1, 1, place={"city": "Köln", "zip": 50667}), payment("b", 2, 2))
    assert node.rows("SELECT card, payments.place.city, place['zip'] FROM payments ORDER BY card") == [["a", "Köln", 50667], ["b", None, None]]
    assert node.rows("SELECT count(*) FROM payments p JOIN (VALUES ('a')) v(c) ON p.card = v.c") == [[1]]


def test_a_topic_without_a_definition_can_be_read(node):
    confluent_write(node, "raw-topic", [b"one", b"two"])
    rows = node.rows('SELECT partition, "offset", key, value FROM "raw-topic" ORDER BY 2')
    assert rows == [[0, 0, "k0", "one"], [0, 1, "k1", "two"]]


def test_window_close_emits_once_and_counts_late_rows(node):
    node.sql(PAYMENTS + SPEND.replace("spend", "closed").replace(";", " EMIT ON WINDOW CLOSE;"))
    pay(node, payment("a", 1, 10), payment("a", 2, 50))
    assert node.rows("SELECT * FROM closed") == []
    pay(node, payment("b", 5, 70))
    eventually(lambda: node.rows("SELECT card, n, total FROM closed") == [["a", 2, 3]], 10, "the first minute is closed")
    pay(node, payment("a", 100, 20))
    eventually(lambda: len(node.rows("SELECT * FROM headwater_late_rows")) == 1, 10, "the late row is listed")
    assert node.rows("SELECT card, n, total FROM closed") == [["a", 2, 3]]


def test_bad_records_become_dead_letters_once(node):
    node.sql(PAYMENTS + SPEND)
    pay(node, b"not json", payment("a", 1, 1), {**payment("a", 1, 1), "amount": "many"}, b"[1]", payment("a", 2, 2))
    assert node.rows("SELECT n, total FROM spend") == [[2, 3]]
    letters = [json.loads(m.value()) for m in confluent_read(node, "headwater-dead-letters", 3)]
    assert sorted(l["offset"] for l in letters) == [0, 2, 3] and all(l["topic"] == "payments" for l in letters)
    assert len(node.rows("SELECT * FROM headwater_dead_letters")) == 3
    assert node.get("/api/dead-letters")["total"] == 3


def test_an_overflow_is_one_rows_error(node):
    node.sql(PAYMENTS + "CREATE MATERIALIZED VIEW doubled AS SELECT card, amount * 2 AS twice FROM payments;")
    pay(node, payment("a", 1, 1), payment("b", 2**63 - 1, 1), payment("c", 3, 1))
    assert sorted(node.rows("SELECT card, twice FROM doubled")) == [["a", 2], ["c", 6]]
    assert len(node.rows("SELECT * FROM headwater_dead_letters")) == 1


def test_sums_do_not_wrap(node):
    node.sql(PAYMENTS + SPEND)
    pay(node, *[payment("a", 2**63 - 1, 1)] * 3)
    assert int(node.rows("SELECT total FROM spend")[0][0]) == 3 * (2**63 - 1)


@pytest.mark.parametrize("order", ["before", "after"])
def test_a_join_corrects_itself(node, order):
    node.sql(PAYMENTS + """CREATE TABLE cards (card TEXT PRIMARY KEY, owner TEXT) WITH (topic = 'cards');
      CREATE MATERIALIZED VIEW owned AS SELECT p.card, p.amount, c.owner FROM payments p LEFT JOIN cards c ON p.card = c.card;
      CREATE MATERIALIZED VIEW per_owner AS SELECT owner, count(*) AS n, sum(amount) AS total FROM owned GROUP BY owner;""")
    cards = lambda *kv: send_keyed(node, "cards", kv)
    if order == "before":
        cards(("a", {"owner": "Ada"}), ("b", {"owner": "Bob"}))
    pay(node, payment("a", 1, 1), payment("b", 2, 1), payment("z", 4, 1))
    if order == "after":
        cards(("a", {"owner": "Ada"}), ("b", {"owner": "Bob"}))
    assert sorted(node.rows("SELECT owner, n, total FROM per_owner"), key=str) == [["Ada", 1, 1], ["Bob", 1, 2], [None, 1, 4]]
    cards(("a", {"owner": "Bob"}), ("b", None))
    assert sorted(node.rows("SELECT owner, n, total FROM per_owner"), key=str) == [["Bob", 1, 1], [None, 2, 6]]


def send_keyed(node, topic, pairs):
    from confluent_kafka import Producer
    producer = Producer({"bootstrap.servers": node.bootstrap})
    for key, value in pairs:
        producer.produce(topic, None if value is None else json.dumps(value), key)
    assert producer.flush(10) == 0


def test_keyed_sink_writes_keys_and_tombstones(node):
    node.sql(PAYMENTS + """CREATE MATERIALIZED VIEW by_card AS SELECT card, sum(amount) AS total FROM payments GROUP BY card;
      CREATE MATERIALIZED VIEW small AS SELECT card, total FROM by_card WHERE total < 10;
      CREATE SINK small_out INTO topic FROM small WITH (topic = 'small-out');""")
    pay(node, payment("a", 1, 1))
    assert node.rows("SELECT * FROM small") == [["a", 1]]
    pay(node, payment("a", 100, 1))
    assert node.rows("SELECT * FROM small") == []
    messages = confluent_read(node, "small-out", 2)
    assert json.loads(messages[0].key()) == {"card": "a"} and json.loads(messages[0].value()) == {"card": "a", "total": 1}
    assert messages[1].key() == messages[0].key() and messages[1].value() is None


def test_a_sink_writes_csv_with_text_keys_headers_and_times(node):
    node.sql(PAYMENTS + """CREATE MATERIALIZED VIEW paid AS SELECT card, amount, ts, amount / 4.0 AS quarter FROM payments;
      CREATE SINK lines_out INTO topic FROM paid WITH (topic = 'lines', format = 'csv', csv.delimiter = ';', key = 'card', key_format = 'text',
        value = 'amount, quarter', headers."X-Amount" = 'amount', timestamp = 'ts');""")
    pay(node, payment("a;b", 1, 1), {**payment("c", None, 2)})
    assert node.rows("SELECT count(*) FROM paid") == [[2]]
    first, second = sorted(confluent_read(node, "lines", 2), key=lambda m: m.key())
    assert first.key() == b"a;b" and first.headers() == [("X-Amount", b"1")] and first.timestamp()[1] == 1767261601000
    assert first.value().startswith(b"1;0.25") and second.value() == b";" and not second.headers()
    node.sql("""CREATE SOURCE again (card TEXT KEY, amount BIGINT, quarter DOUBLE, n TEXT METADATA FROM 'headers.X-Amount')
      WITH (topic = 'lines', format = 'csv', csv.delimiter = ';')""")
    assert sorted(node.rows("SELECT * FROM again"), key=str) == [["a;b", 1, 0.25, "1"], ["c", None, None, None]]
    with pytest.raises(SqlError) as refused:
        node.sql("CREATE SINK bad INTO topic FROM paid WITH (format = 'text')")
    assert refused.value.error["column"] == 53 and "value" in str(refused.value)


def test_a_table_of_csv_with_a_text_key_and_metadata(node):
    from confluent_kafka import Producer
    node.sql("""CREATE TABLE stock (item BIGINT PRIMARY KEY, pieces INT, place TEXT, nr BIGINT METADATA FROM 'offset', who TEXT METADATA FROM 'headers.who')
      WITH (topic = 'stock', format = 'csv', csv.delimiter = 'tab', key_format = 'text')""")
    producer = Producer({"bootstrap.servers": node.bootstrap})
    for key, value, who in [("1", "5\there", "ann"), ("2", "6\t", "bob"), ("1", "7\tthere", None), ("x", "1\t", None), ("2", None, None)]:
        producer.produce("stock", value, key, partition=0, headers={"who": who} if who else None)
    assert producer.flush(10) == 0
    assert node.rows("SELECT * FROM stock") == [[1, 7, "there", 2, None]]
    assert node.rows("SELECT pieces FROM stock WHERE item = 1") == [[7]]
    assert len(node.rows("SELECT * FROM headwater_dead_letters")) == 1


def test_apply_is_all_or_nothing_and_harmless_again(node):
    with pytest.raises(SqlError) as error:
        node.apply("p", a=SPEND, b=PAYMENTS, c="CREATE MATERIALIZED VIEW broken AS SELECT nope FROM spend;")
    assert error.value.error["file"] == "c.sql" and error.value.error["line"] == 1 and "nope" in str(error.value)
    assert node.rows("SHOW VIEWS") == []
    node.apply("p", a=SPEND, b=PAYMENTS)
    again = node.apply("p", a=SPEND, b=PAYMENTS)
    assert {c["action"] for c in again["changes"]} == {"unchanged"}
    changed = SPEND.replace("count(*) AS n", "count(card) AS n")
    with pytest.raises(SqlError, match="count"):
        node.apply("p", a=changed, b=PAYMENTS)
    node.apply("p", replace=True, a=changed, b=PAYMENTS)


@pytest.mark.parametrize("sql, line, column, says", [
    ("SELEC 1", 1, 1, ""),
    ("SELECT amout FROM payments", 1, 8, "amount"),
    ("SELECT *\nFROM paymnts", 2, 6, "payments"),
    ("CREATE MATERIALIZED VIEW v AS SELECT card, lenght(card) FROM payments", 1, 44, "length"),
    ("CREATE MATERIALIZED VIEW v AS SELECT * FROM payments ORDER BY card", 1, None, "ORDER BY"),
    ("CREATE SOURCE s (a TEX) WITH (topic = 't')", 1, 20, "TEXT"),
    ("CREATE SOURCE s (a TEXT) WITH (tpic = 't')", 1, 32, "topic"),
])
def test_errors_say_where_and_what_to_do(node, sql, line, column, says):
    node.sql(PAYMENTS)
    with pytest.raises(SqlError) as refused:
        node.sql(sql)
    error = refused.value.error
    assert error["line"] == line and (column is None or error["column"] == column), error
    assert says in str(refused.value) and "^" in (error.get("rendered") or ""), error


def test_a_missing_watermark_is_written_out(node):
    node.sql("CREATE SOURCE readings (id BIGINT, sent_at TIMESTAMPTZ METADATA FROM 'timestamp') WITH (topic = 'readings')")
    view = """CREATE MATERIALIZED VIEW minutes AS SELECT window_end, count(*) AS n FROM TUMBLE(readings, sent_at, INTERVAL '1 minute')
      GROUP BY window_end EMIT ON WINDOW CLOSE"""
    with pytest.raises(SqlError) as refused:
        node.sql(view)
    written = "WATERMARK FOR sent_at AS sent_at - INTERVAL '5 seconds'"
    assert f"CREATE SOURCE readings: {written}" in str(refused.value)
    node.sql(f"CREATE OR REPLACE SOURCE readings (id BIGINT, sent_at TIMESTAMPTZ METADATA FROM 'timestamp', {written}) WITH (topic = 'readings')")
    node.sql(view)


class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.posts.append((self.headers["idempotency-key"], json.loads(body)))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *args):
        pass


@pytest.fixture
def hook():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    server.posts, server.status = [], 200
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.url = f"http://127.0.0.1:{server.server_port}/token-of-the-test"
    yield server
    server.shutdown()


ALERT = """CREATE ALERT rich AS SELECT card, window_start, window_end, total FROM spend WHERE total > 100
  WITH (notify = 'webhook:${ALERT_URL}', severity = 'page', key = 'card');"""


def test_alerts_fire_once_resolve_and_survive(make_node, hook):
    node = make_node(env={"ALERT_URL": hook.url}).start()
    node.sql(PAYMENTS + SPEND + ALERT)
    pay(node, payment("a", 500, 1), payment("b", 5, 1))
    eventually(lambda: len(hook.posts) == 1, 15, "the webhook is called")
    assert [f["key"] for f in node.get("/api/alerts")["firing"]] == ["a"]
    node.kill9()
    node.start()
    pay(node, payment("a", 1, 70))
    eventually(lambda: not node.get("/api/alerts")["firing"], 15, "the end of its window resolves it")
    eventually(lambda: len(hook.posts) >= 2, 15, "resolution is posted")
    keys = [key for key, _ in hook.posts]
    assert len(set(keys)) == 2 and len(hook.posts) == 2 and all(keys), keys


def test_an_alert_is_delivered_again_until_taken(make_node, hook):
    hook.status = 503
    node = make_node(env={"ALERT_URL": hook.url}).start()
    node.sql(PAYMENTS + SPEND + ALERT)
    pay(node, payment("a", 500, 1))
    eventually(lambda: len(hook.posts) >= 2, 30, "tried again")
    hook.status = 200
    tried = len(hook.posts)
    eventually(lambda: len(hook.posts) > tried, 30, "delivered")
    assert len({key for key, _ in hook.posts}) == 1, "one event, one key"


def test_secrets_are_never_shown(make_node, hook):
    node = make_node(env={"ALERT_URL": hook.url}).start()
    node.sql(PAYMENTS + SPEND + ALERT)
    pay(node, payment("a", 500, 1))
    eventually(lambda: hook.posts, 15, "the alert is sent")
    shown = json.dumps([node.sql("SHOW ALERTS; SHOW CREATE rich; DESCRIBE rich; EXPLAIN rich"), node.get("/api/alerts"),
                        node.get("/api/pipelines")], default=str) + node.log_tail()
    assert "token-of-the-test" not in shown and "${ALERT_URL}" in shown
    with pytest.raises(SqlError, match="NOT_SET"):
        node.sql(ALERT.replace("ALERT_URL", "NOT_SET").replace("rich", "poor"))


def test_statements_about_what_is_there(node):
    node.sql(PAYMENTS + SPEND)
    assert "spend" in str(node.rows("SHOW VIEWS")) and "payments" in str(node.rows("SHOW SOURCES"))
    assert any(row[0] == "total" for row in node.rows("DESCRIBE spend"))
    assert "aggregate" in str(node.rows("EXPLAIN spend")).lower()
    with pytest.raises(SqlError, match="spend"):
        node.sql("DROP SOURCE payments")
    node.sql("DROP SOURCE payments CASCADE")
    assert node.rows("SHOW VIEWS") == []
