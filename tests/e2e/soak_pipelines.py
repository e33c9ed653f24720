"""Ten pipelines into topics and PostgreSQL under kill -9, outages of PostgreSQL and malformed input: in the end what arrived outside is what DuckDB
says over the rows that went in; every bad record is a dead letter of each of its pipelines once, and counts once it is mended and replayed.

PIPELINES_SECONDS (120) is how long; kill -9 comes each KILL_SECONDS (a minute, 20 s when it runs for less than ten minutes)."""
import json
import os
import random
import tempfile
import threading
import time
from collections import Counter

import duckdb
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from conftest import Node, eventually

SECONDS = int(os.environ.get("PIPELINES_SECONDS", "120"))
KILL_S = int(os.environ.get("KILL_SECONDS", "60" if SECONDS >= 600 else "20"))
RATE = int(os.environ.get("PIPELINES_RATE", "400"))
ITEMS, CUSTOMERS = 40, 60
# Seconds that it may take after the last fault, and ids that one query asks for.
PATIENCE_S, PIECE = max(120, SECONDS // 10), 50_000

SOURCES = """
CREATE SOURCE {p}_orders (id BIGINT, customer TEXT, item TEXT, qty INT, cents BIGINT, ts TIMESTAMPTZ, WATERMARK FOR ts AS ts - INTERVAL '5 seconds')
  WITH (topic = 'orders');
CREATE TABLE {p}_customers (customer TEXT PRIMARY KEY, country TEXT, level INT) WITH (topic = 'customers');
"""

# Each pipeline's query, and the same for DuckDB where it is written otherwise.
QUERIES = [
    ("SELECT id, customer, cents FROM {p}_orders WHERE qty > 2", None, ["id", "customer", "cents"]),
    ("SELECT customer, count(*) AS n, sum(cents) AS total FROM {p}_orders GROUP BY customer", None, ["customer", "n", "total"]),
    ("SELECT item, min(cents) AS lo, max(cents) AS hi, count(DISTINCT customer) AS who FROM {p}_orders GROUP BY item", None, ["item", "lo", "hi", "who"]),
    ("SELECT window_start, window_end, count(*) AS n, sum(qty) AS q FROM TUMBLE({p}_orders, ts, INTERVAL '10 seconds') GROUP BY window_start, window_end",
     "SELECT time_bucket(INTERVAL '10 seconds', ts) AS window_start, window_start + INTERVAL '10 seconds' AS window_end, count(*) AS n, sum(qty) AS q "
     "FROM orders GROUP BY 1", ["window_start", "window_end", "n", "q"]),
    ("SELECT o.id, c.country, o.cents FROM {p}_orders o LEFT JOIN {p}_customers c ON o.customer = c.customer", None, None),
    ("SELECT c.country, count(*) AS n, sum(o.cents) AS total FROM {p}_orders o JOIN {p}_customers c ON o.customer = c.customer GROUP BY c.country",
     None, ["country", "n", "total"]),
    ("SELECT n, count(*) AS customers FROM (SELECT customer, count(*) AS n FROM {p}_orders GROUP BY customer) t GROUP BY n", None, ["n", "customers"]),
    ("SELECT customer, item, count(*) AS n FROM {p}_orders WHERE cents % 2 = 0 GROUP BY customer, item HAVING count(*) > 1", None, ["customer", "item", "n"]),
    ("SELECT country, count(*) AS n, max(level) AS top FROM {p}_customers GROUP BY country", None, ["country", "n", "top"]),
    ("SELECT id, item, qty FROM {p}_orders WHERE qty = 1 UNION ALL SELECT id, item, -qty FROM {p}_orders WHERE qty = 2", None, ["id", "item", "qty"]),
]
# Odd ones go into PostgreSQL, even ones into a topic. Number 4 has no key and changes: it is read as a view.
BAD = ['{"id": "none", "qty": 1', '{"id": 1, "qty": "many", "customer": "c1"}', "not json at all", '[1, 2]', '{"id": 9, "cents": 1.5}']


class Load:
    """Orders and customers, some of them broken; what was acked is what counts."""

    def __init__(self, node, seed):
        self.random, self.ended = random.Random(seed), threading.Event()
        self.producer = Producer({"bootstrap.servers": node.bootstrap, "enable.idempotence": True, "message.timeout.ms": 300000, "linger.ms": 5})
        self.orders, self.customers, self.bad, self.bad_customers, self.failed, self.id = [], [], [], [], [], 0
        self.start = int(time.time() * 1000)
        self.thread = threading.Thread(target=self.run)

    def run(self):
        began = time.monotonic()
        while not self.ended.is_set():
            due = int((time.monotonic() - began) * RATE)
            while self.id < due and not self.ended.is_set():
                self.one()
            self.producer.poll(0.02)
        assert self.producer.flush(120) == 0

    def sent(self, kept, what):
        def done(error, message):
            if error:
                self.failed.append(str(error))
            else:
                kept.append((message.partition(), message.offset(), what))
        return done

    def send(self, topic, value, key=None, kept=None, what=None):
        while True:
            try:
                return self.producer.produce(topic, value, key=key, on_delivery=self.sent(kept, what), **({"partition": 0} if key else {}))
            except BufferError:
                self.producer.poll(0.1)

    def one(self):
        self.id += 1
        pick = self.random.random()
        if pick < 0.01:
            value = self.random.choice(BAD)
            return self.send("orders", value, kept=self.bad, what=value)
        if pick < 0.012:
            return self.send("customers", '{"level": "high"}', key='{"customer": "mended"}', kept=self.bad_customers, what=None)
        if pick < 0.062:
            customer = f"c{self.random.randrange(CUSTOMERS)}"
            row = None if self.random.random() < 0.2 else {"country": self.random.choice(["DE", "FR", "IT", None]), "level": self.random.randrange(9)}
            return self.send("customers", json.dumps(row) if row else None, key=json.dumps({"customer": customer}), kept=self.customers, what=(customer, row))
        ts = self.start + self.id * 7 - self.random.randrange(3000)
        row = {"id": self.id, "customer": f"c{self.random.randrange(CUSTOMERS + 5)}", "item": f"i{self.random.randrange(ITEMS)}",
               "qty": self.random.randrange(1, 6), "cents": self.random.randrange(1, 100000), "ts": ts}
        self.send("orders", json.dumps(row), kept=self.orders, what=row)


def expected(load):
    """What DuckDB says to each query over what went in."""
    db = duckdb.connect()
    db.execute("SET TimeZone = 'UTC'")
    db.execute("CREATE TABLE orders (id BIGINT, customer TEXT, item TEXT, qty INT, cents BIGINT, ts TIMESTAMPTZ)")
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.writelines(json.dumps(order) + "\n" for _, _, order in load.orders)
        file.flush()
        db.execute(f"INSERT INTO orders SELECT id, customer, item, qty, cents, to_timestamp(ts / 1000.0) FROM read_ndjson('{file.name}')")
    latest = {customer: row for _, _, (customer, row) in sorted(load.customers, key=lambda c: c[1])}
    db.execute("CREATE TABLE customers (customer TEXT, country TEXT, level INT)")
    for customer, row in latest.items():
        if row:
            db.execute("INSERT INTO customers VALUES (?, ?, ?)", [customer, row["country"], row["level"]])
    out = []
    for query, duck, _ in QUERIES:
        text = (duck or query).replace("{p}_orders", "orders").replace("{p}_customers", "customers")
        out.append(canonical(db.execute(text).fetchall()))
    return out


def cell(value):
    if hasattr(value, "astimezone"):
        return value.timestamp()
    if isinstance(value, str) and len(value) > 18 and value[4] == "-" and value[10] == "T":
        import datetime
        return datetime.datetime.fromisoformat(value.replace("Z", "+00:00")).timestamp()
    if value is None or isinstance(value, str):
        return value
    return float(value)


def canonical(rows):
    return sorted((tuple(cell(value) for value in row) for row in rows), key=repr)


def topic_rows(node, topic, columns):
    """What a sink's topic comes to: rows that are only added, or the last of each key."""
    consumer = Consumer({"bootstrap.servers": node.bootstrap, "group.id": f"check-{topic}-{time.time()}", "isolation.level": "read_committed",
                         "enable.auto.commit": False, "auto.offset.reset": "earliest"})
    partitions = consumer.list_topics(topic, 20).topics[topic].partitions
    parts = [TopicPartition(topic, index, 0) for index in partitions]
    ends = {p.partition: consumer.get_watermark_offsets(p, 20)[1] for p in parts}
    consumer.assign(parts)
    left, appended, at = {}, [], {index: 0 for index in ends}
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and any(consumer_position(consumer, p) < ends[p.partition] for p in parts):
            for message in consumer.consume(5000, 0.5):
                if message.error():
                    continue
                value = json.loads(message.value()) if message.value() else None
                if message.key() is None:
                    appended.append(value)
                elif value is None:
                    left.pop(message.key(), None)
                else:
                    left[message.key()] = value
    finally:
        consumer.close()
    rows = appended + list(left.values())
    return canonical([tuple(row[c] for c in columns) for row in rows])


def consumer_position(consumer, part):
    offset = consumer.position([part])[0].offset
    return max(offset, 0)


def disturb(node, postgres, ended):
    """Kills the node again and again until told to end, each second time while PostgreSQL is away, too."""
    rng, kills, outages = random.Random(5), 0, 0
    while not ended.wait(KILL_S):
        outage = kills % 2 == 0
        if outage:
            postgres.kill9()
            outages += 1
            ended.wait(rng.random() * KILL_S / 2)
        node.kill9()
        node.start()
        if outage:
            ended.wait(1)
            postgres.start()
        kills += 1
    return kills, outages


def deploy(node, postgres):
    for number, (query, _, columns) in enumerate(QUERIES):
        text = SOURCES.replace("{p}", f"p{number}") + f"CREATE MATERIALIZED VIEW v{number} AS {query.replace('{p}', f'p{number}')};\n"
        if columns and number % 2:
            keyed = "GROUP BY" in query
            key = {1: "customer", 3: "window_start,window_end", 5: "country", 7: "customer,item"}.get(number)
            options = f", primary_key = '{key}'" if keyed and key else ""
            text += f"CREATE SINK s{number} INTO postgres FROM v{number} WITH (url = '${{PG_URL}}', table = 'out{number}'{options});\n"
        elif columns:
            text += f"CREATE SINK s{number} INTO topic FROM v{number} WITH (topic = 'out{number}');\n"
        node.apply(f"p{number}", all=text)


def outside(node, postgres, number, columns, last_id):
    if columns is None:
        # In pieces: an answer has 100,000 rows at most.
        pieces = range(0, last_id + 1, PIECE)
        return canonical([row for at in pieces for row in node.rows(f"SELECT * FROM v{number} WHERE id >= {at} AND id < {at + PIECE}")])
    if number % 2:
        return canonical(postgres.rows(f"SELECT {', '.join(columns)} FROM out{number}"))
    return topic_rows(node, f"out{number}", columns)


def settle(node, postgres, load, patience):
    """All pipelines have come to what is expected within `patience` seconds; what the node says of those that have not."""
    want, began, last = expected(load), time.monotonic(), {}
    open_ones = list(range(len(QUERIES)))
    while open_ones and time.monotonic() < began + patience:
        for number in list(open_ones):
            try:
                last[number] = outside(node, postgres, number, QUERIES[number][2], load.id)
            except Exception as error:
                last[number] = [repr(error)]
            if last[number] == want[number]:
                open_ones.remove(number)
        time.sleep(0.5)
    print(f"settled after {time.monotonic() - began:.1f} s, but for {open_ones}")
    for number in open_ones:
        wanted, got = Counter(want[number]), Counter(last[number])
        print(f"p{number}: {len(last[number])} rows for {len(want[number])}; missing {list(wanted - got)[:5]}, too much {list(got - wanted)[:5]}")
    assert not open_ones, f"{open_ones} have not come to their rows: {node.sql('SHOW PIPELINES')[-1]['rows']}; {node.log_tail()}"


@pytest.mark.timeout(SECONDS + 1800)
def test_ten_pipelines_survive(make_node, postgres):
    node = make_node(env={"PG_URL": postgres.url}).start()
    node.cli("topic", "create", "orders", "--partitions", "4", "--bootstrap", node.bootstrap)
    node.cli("topic", "create", "customers", "--partitions", "1", "--bootstrap", node.bootstrap)
    deploy(node, postgres)
    load, ended, told = Load(node, seed=11), threading.Event(), []
    trouble = threading.Thread(target=lambda: told.append(disturb(node, postgres, ended)))
    load.thread.start(), trouble.start()
    time.sleep(SECONDS)
    load.ended.set()
    ended.set()
    load.thread.join(), trouble.join()
    assert told and not load.failed, load.failed[:3]
    if not postgres.answers():
        postgres.start()
    print(f"\n{len(load.orders)} orders, {len(load.customers)} customers, {len(load.bad)} bad records; kills and outages: {told[0]}")
    settle(node, postgres, load, PATIENCE_S)
    of_orders, of_customers = [[(topic, *place) for *place, _ in bad] for topic, bad in (("orders", load.bad), ("customers", load.bad_customers))]
    # Number 8 reads the customers only; a table is kept whether it is asked for or not.
    expected_letters = {number: (of_orders if number != 8 else []) + of_customers for number in range(len(QUERIES))}
    letters = eventually(lambda: dead_letters(node, sum(map(len, expected_letters.values()))), 60, "all dead letters")
    for number, bad in expected_letters.items():
        told = Counter(place for pipeline, place in letters if pipeline == f"p{number}")
        assert told == Counter(bad), f"dead letters of p{number}: not each bad record once"
    # Mended and replayed, each bad record counts once.
    order = {"id": 0, "customer": "mended", "item": "i0", "qty": 3, "cents": 2, "ts": load.start}
    customer = {"country": "DE", "level": 3}
    replay(node, "p0_orders", order, len(load.bad))
    replay(node, "p8_customers", customer, len(load.bad_customers))
    load.orders += [(0, 0, order)] * len(load.bad)
    load.customers.append((0, 1 << 60, ("mended", customer if load.bad_customers else None)))
    settle(node, postgres, load, PATIENCE_S)
    replay(node, "p0_orders", order, 0)


def replay(node, source, mended, count):
    done = node.cli("dead-letters", "replay", "--source", source, "--through", f"cat >/dev/null; printf '%s' '{json.dumps(mended)}'", "--output", "json",
                    "--bootstrap", node.bootstrap, timeout=300 + SECONDS)
    assert json.loads(done.stdout) == {"replayed": count, "left_out": 0, "read_again": 0}


def dead_letters(node, least):
    """Pipeline, and topic, partition and offset of all letters, once there are as many as there have to be."""
    out = node.cli("dead-letters", "list", "--output", "json", "--bootstrap", node.bootstrap).stdout
    rows = [json.loads(line) for line in out.splitlines()]
    rows = [(row["pipeline"], (row["topic"], row["partition"], row["offset"])) for row in rows]
    return rows if len(rows) >= least else None
