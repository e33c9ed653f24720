"""`headwater bench` against the real node: what its reports say is what the log holds."""
import json
import subprocess
import threading
import time

import pytest
from confluent_kafka import Consumer, TopicPartition
from conftest import BINARY, Node, fill

DISK_MB = 400


def bench(node, what, *args, timeout_s=240):
    command = [BINARY, "bench", what, "--bootstrap", node.bootstrap, "--output", "json", *args]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def stored(node, topic, partitions):
    consumer = Consumer({"bootstrap.servers": node.bootstrap, "group.id": "count"})
    try:
        return sum(consumer.get_watermark_offsets(TopicPartition(topic, index), timeout=20)[1] for index in range(partitions))
    finally:
        consumer.close()


def check_times(times):
    assert 0 < times["p50"] <= times["p90"] <= times["p99"] <= times["p99_9"] <= times["max"], times
    assert 0 < times["mean"] <= times["max"]


@pytest.fixture
def node(make_node):
    return make_node().start()


def test_produced_records_are_in_the_topic_and_consumed_from_it(node):
    node.cli("topic", "create", "t", "--partitions", "3", "--bootstrap", node.bootstrap)
    report = bench(node, "produce", "--topic", "t", "--records", "30000", "--record-size", "100", "--warm-up", "0s", "--batch-size", "16384", "--connections", "2")
    assert (report["records"], report["bytes"], report["errors"], report["resent"]) == (30_000, 3_000_000, 0, 0)
    assert stored(node, "t", 3) == 30_000
    assert report["records_per_s"] > 0 and report["settings"]["idempotent"] is True
    check_times(report["ack_ms"])
    report = bench(node, "consume", "--topic", "t", "--connections", "2")
    assert (report["records"], report["bytes"], report["errors"]) == (30_000, 3_000_000, 0)
    check_times(report["fetch_ms"])


def test_a_rate_is_kept_to_and_own_topics_go(node):
    report = bench(node, "produce", "--rate", "200", "--linger", "50ms", "--duration", "3s", "--warm-up", "500ms")
    assert report["errors"] == 0 and 300 <= report["records"] <= 650, report
    report = bench(node, "consume", "--records", "20000", "--record-size", "50")
    assert (report["records"], report["errors"]) == (20_000, 0)
    listed = node.cli("topic", "list", "--bootstrap", node.bootstrap).stdout
    assert "headwater-bench" not in listed


def test_latency_is_measured_from_end_to_end(node):
    for more in [[], ["--rate", "200", "--partitions", "2"]]:
        report = bench(node, "latency", "--duration", "2s", "--warm-up", "200ms", "--record-size", "64", *more)
        assert report["errors"] == 0 and report["records"] > 20, report
        check_times(report["end_to_end_ms"])
        check_times(report["ack_ms"])
        assert report["end_to_end_ms"]["max"] < 30_000


@pytest.fixture
def small_disk(tmp_path):
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", place], capture_output=True).returncode:
        pytest.skip("needs the right to mount a small disk")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_what_a_full_disk_refuses_is_sent_again_and_counted_once(small_disk):
    node = Node(small_disk / "data").start()
    try:
        node.cli("topic", "create", "t", "--partitions", "2", "--bootstrap", node.bootstrap)
        filler = small_disk / "filler"
        fill(filler, DISK_MB)
        freed = threading.Thread(target=free_when_refused, args=(node, filler))
        freed.start()
        report = bench(node, "produce", "--topic", "t", "--records", "200000", "--warm-up", "0s")
        freed.join()
        assert report["records"] == 200_000 and report["resent"] > 0 and report["errors"] > 0, report
        assert stored(node, "t", 2) == 200_000
    finally:
        node.stop()


def free_when_refused(node, filler):
    """Makes room again when nothing has been taken for a second: the node's own messages find no room on that disk either."""
    before, end = -1, 0
    while before != end or end == 0:
        before, end = end, stored(node, "t", 2)
        time.sleep(1)
    filler.unlink()
