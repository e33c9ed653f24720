"""The demo: every view against its batch answer, whenever the tables come; sinks, figures, recovery."""
import json
import subprocess
from decimal import Decimal

import pytest
from conftest import BINARY, Node, eventually
from oracle import VIEWS, batch_answers, canonical

FLIGHTS = 336_776


@pytest.fixture(scope="module")
def answers():
    return batch_answers()


def run_demo(data, *args):
    command = [BINARY, "demo", "flights", "--fast", "--output", "json", "--data", data, *args]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("tables", ["before", "during", "after"])
def test_every_view_is_its_batch_answer(tmp_path, answers, tables):
    data = tmp_path / "data"
    report = run_demo(data, "--tables", tables)
    assert report["flights_in"] == FLIGHTS and report["events_in"] == FLIGHTS + 26_115 + 3_322 + 16 + 1_458
    node = Node(data)
    try:
        node.start()
        for name in VIEWS:
            expected = answers[name]
            assert report["views"][name] == len(expected), name
            page = canonical(read_all(node, name))
            assert page == expected, f"{name}: {first_difference(page, expected)}"
    finally:
        node.stop()


def read_all(node, view):
    """All rows; month by month where they are more than one answer may hold."""
    queries = [f"SELECT * FROM {view}"]
    if view == "flights_enriched":
        queries = [f"SELECT * FROM {view} WHERE date_part('month', ts) = {month}" for month in range(1, 13)]
    return [row for query in queries for row in ask(node, query)]


def ask(node, query):
    """The whole answer; a node that has just started may say that it is still catching up."""
    def whole():
        done = node.cli("sql", "--http", node.http, "--output", "json", "-c", query)
        return None if "not in this answer yet" in done.stderr else done
    done = eventually(whole, 60, "the answer is whole")
    assert "left out" not in done.stderr, done.stderr
    return [tuple(row.values()) for row in json.loads(done.stdout, parse_float=Decimal)]


def first_difference(left, right):
    only_left, only_right = sorted(set(left) - set(right), key=repr), sorted(set(right) - set(left), key=repr)
    return f"{len(only_left)} only here {only_left[:2]}, {len(only_right)} only in the batch answer {only_right[:2]}"


def test_sink_topics_hold_the_views(tmp_path, answers):
    data = tmp_path / "data"
    report = run_demo(data)
    assert report["alerts_fired"] > 0
    node = Node(data)
    try:
        node.start()
        latest = {}
        for record in consume(node, "airport-hourly"):
            latest[record["key"]] = record["value"]
        assert len(latest) == len(answers["airport_hourly"])
        rows = [tuple((json.loads(v) if isinstance(v, str) else v).values()) for v in latest.values() if v is not None]
        assert canonical(rows) == answers["airport_hourly"]
        rows = [tuple((json.loads(r["value"]) if isinstance(r["value"], str) else r["value"]).values()) for r in consume(node, "incidents")]
        assert canonical(rows) == answers["incidents"]
    finally:
        node.stop()


def consume(node, topic):
    end = sum(p["end"] for p in node.get(f"/api/topics/{topic}")["partitions"])
    done = node.cli("consume", topic, "--bootstrap", node.bootstrap, "--from", "beginning", "--max", str(end), "--format", "json")
    return [json.loads(line) for line in done.stdout.splitlines()]
