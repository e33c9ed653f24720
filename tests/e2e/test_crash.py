"""kill -9 under load: everything acked is read back, once, in order; pipelines come back exact."""
import json
import os
import threading
import time

import pytest
from conftest import eventually
from test_clients import confluent_read, confluent_write

SECONDS = float(os.environ.get("CRASH_SECONDS", "20"))
KILL_EVERY_S = 3.0


class Writer(threading.Thread):
    """An idempotent producer that notes what was acked, in order."""

    def __init__(self, node, topic, number):
        super().__init__(daemon=True)
        self.node, self.topic, self.number = node, topic, number
        self.acked, self.failed, self.stop = [], [], threading.Event()

    def run(self):
        from confluent_kafka import Producer
        producer = Producer({"bootstrap.servers": self.node.bootstrap, "enable.idempotence": True, "linger.ms": 2,
                             "message.timeout.ms": 120_000, "reconnect.backoff.max.ms": 500, "log_level": 0})
        sequence = 0
        while not self.stop.is_set():
            self.send(producer, sequence)
            sequence += 1
            producer.poll(0)
            if sequence % 50 == 0:
                time.sleep(0.005)
        self.left = producer.flush(60)

    def send(self, producer, sequence):
        value = json.dumps({"writer": self.number, "n": sequence, "amount": sequence % 7})
        note = lambda error, _: (self.failed if error else self.acked).append((sequence, error))
        while True:
            try:
                return producer.produce(self.topic, value, f"{self.number}", on_delivery=note)
            except BufferError:
                producer.poll(0.1)


def crash_while(node, writers, seconds):
    for writer in writers:
        writer.start()
    end = time.monotonic() + seconds
    kills = 0
    while time.monotonic() < end:
        time.sleep(KILL_EVERY_S)
        node.kill9()
        kills += 1
        node.start()
    for writer in writers:
        writer.stop.set()
    for writer in writers:
        writer.join(90)
        assert writer.left == 0 and not writer.failed, (writer.left, writer.failed[:3])
    return kills


def read_back(node, topic, writers):
    total = sum(len(w.acked) for w in writers)
    messages = confluent_read(node, topic, total)
    by_writer = {w.number: [] for w in writers}
    for message in messages:
        row = json.loads(message.value())
        by_writer[row["writer"]].append(row["n"])
    return by_writer


def test_nothing_acked_is_lost_or_doubled(make_node):
    node = make_node().start()
    writers = [Writer(node, "load", n) for n in range(3)]
    assert crash_while(node, writers, SECONDS) >= 3
    for number, got in read_back(node, "load", writers).items():
        assert got == [n for n, _ in writers[number].acked], f"writer {number}: {len(got)} read"


PIPELINE = """
CREATE SOURCE load (writer INT, n BIGINT, amount BIGINT) WITH (topic = 'load');
CREATE MATERIALIZED VIEW totals AS SELECT writer, count(*) AS n, sum(amount) AS amount, max(n) AS newest FROM load GROUP BY writer;
CREATE MATERIALIZED VIEW rounds AS SELECT n / 100 AS round, writer, count(*) AS c FROM load GROUP BY n / 100, writer;
CREATE MATERIALIZED VIEW shrinking AS SELECT writer, c, count(*) AS rounds FROM rounds GROUP BY writer, c;
CREATE MATERIALIZED VIEW sixes AS SELECT writer, n FROM load WHERE amount = 6;
CREATE SINK totals_out INTO topic FROM totals WITH (topic = 'totals-out');
CREATE SINK sixes_out INTO topic FROM sixes WITH (topic = 'sixes-out');
"""

PG_SINKS = """
CREATE SINK totals_pg INTO postgres FROM totals WITH (url = '${PG_URL}', table = 'totals', primary_key = 'writer');
CREATE SINK shrinking_pg INTO postgres FROM shrinking WITH (url = '${PG_URL}', table = 'shrinking', primary_key = 'writer,c');
CREATE SINK sixes_pg INTO postgres FROM sixes WITH (url = '${PG_URL}', table = 'sixes');
"""


def read_sixes(node, counts, slice_rows=500_000):
    """The whole view, in slices that one answer can hold."""
    for writer, count in counts.items():
        for start in range(0, count, slice_rows):
            where = f"writer = {writer} AND n >= {start} AND n < {start + slice_rows}"
            yield from (tuple(row) for row in node.rows(f"SELECT writer, n FROM sixes WHERE {where}"))


def test_pipeline_is_exact_after_crashes(make_node, postgres):
    node = make_node(env={"PG_URL": postgres.url}).start()
    node.apply("load", pipeline=PIPELINE, sinks=PG_SINKS)
    writers = [Writer(node, "load", n) for n in range(3)]
    crash_while(node, writers, SECONDS)
    counts = {w.number: len(w.acked) for w in writers}
    query = "SELECT writer, n, amount, newest FROM totals ORDER BY writer"
    eventually(lambda: node.sql(query)[-1]["behind"] == 0, 60, "the pipeline caught up")
    rows = node.rows(query)
    expected = [[w, c, sum(n % 7 for n in range(c)), c - 1] for w, c in sorted(counts.items())]
    assert [[int(v) for v in row] for row in rows] == expected
    sixes = sorted((w, n) for w, c in counts.items() for n in range(c) if n % 7 == 6)
    assert sorted(read_sixes(node, counts)) == sixes
    sink = [json.loads(m.value()) for m in confluent_read(node, "sixes-out", len(sixes))]
    assert sorted((r["writer"], r["n"]) for r in sink) == sixes, "the sink topic holds each row once"
    shrinking = {(int(a), int(b)): int(c) for a, b, c in node.rows("SELECT writer, c, rounds FROM shrinking")}
    eventually(lambda: dict(((a, b), c) for a, b, c in postgres.rows("SELECT writer, c, rounds FROM shrinking")) == shrinking, 60, "shrinking in PostgreSQL")
    eventually(lambda: [[int(v) for v in r] for r in postgres.rows("SELECT writer, n, amount, newest FROM totals ORDER BY writer")] == expected, 60, "totals in PostgreSQL")
    eventually(lambda: sorted(postgres.rows("SELECT writer, n FROM sixes")) == sixes, 60, "sixes in PostgreSQL")


def test_postgres_outage_holds_up_only_its_sink(make_node, postgres):
    node = make_node(env={"PG_URL": postgres.url}).start()
    node.apply("load", pipeline=PIPELINE, sinks=PG_SINKS)
    postgres.kill9()
    confluent_write(node, "load", [json.dumps({"writer": 1, "n": n, "amount": 6}).encode() for n in range(500)])
    eventually(lambda: node.rows("SELECT n FROM totals") == [[500]], 20, "the view goes on")
    lagging = lambda: [s for p in node.get("/api/pipelines") for s in p["sinks"] if s["connector"] == "postgres" and s["error"] and s["lag_records"] > 0]
    assert eventually(lagging, 20, "the sink's lag shows")
    assert all("secret" not in s["error"] for s in lagging())
    postgres.start()
    eventually(lambda: postgres.count("sixes") == 500, 60, "the sink caught up")


def test_a_paused_old_process_cannot_write(make_node, postgres, tmp_path):
    import shutil
    import signal
    old = make_node(env={"PG_URL": postgres.url}).start()
    old.apply("load", pipeline=PIPELINE, sinks=PG_SINKS)
    confluent_write(old, "load", [json.dumps({"writer": 1, "n": n, "amount": 6}).encode() for n in range(100)])
    eventually(lambda: postgres.count("sixes") == 100, 30, "rows in PostgreSQL")
    old.process.send_signal(signal.SIGSTOP)
    shutil.copytree(old.data, tmp_path / "copy")
    new = make_node(name="copy", env={"PG_URL": postgres.url}).start()
    confluent_write(new, "load", [json.dumps({"writer": 1, "n": n, "amount": 6}).encode() for n in range(100, 150)])
    eventually(lambda: postgres.count("sixes") == 150, 30, "the new process writes")
    old.process.send_signal(signal.SIGCONT)
    confluent_write(old, "load", [json.dumps({"writer": 9, "n": n, "amount": 6}).encode() for n in range(100)])
    fenced = lambda: [s for p in old.get("/api/pipelines") for s in p["sinks"] if s["connector"] == "postgres" and "fenced" in (s["error"] or "")]
    assert eventually(fenced, 30, "the old process is fenced")
    assert postgres.rows("SELECT count(*) FROM sixes WHERE writer = 9") == [(0,)]
    assert postgres.count("sixes") == 150


def test_a_folder_in_use_is_refused(make_node):
    node = make_node().start()
    second = node.cli("up", "--data", str(node.data), "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", check=False)
    assert second.returncode != 0 and "in use" in second.stderr, second.stderr
