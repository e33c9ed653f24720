"""Retention, compaction and DeleteRecords as real clients see them, across kill -9."""
import time

import pytest
from conftest import eventually


def admin(node):
    from confluent_kafka.admin import AdminClient
    return AdminClient({"bootstrap.servers": node.bootstrap})


def make_topic(node, name, **config):
    from confluent_kafka.admin import NewTopic
    config = {key.replace("_", "."): str(value) for key, value in config.items()}
    client = admin(node)
    for future in client.create_topics([NewTopic(name, 1, 1, config=config)]).values():
        future.result(20)


def write(node, topic, pairs, **config):
    from confluent_kafka import Producer
    producer, errors = Producer({"bootstrap.servers": node.bootstrap, "enable.idempotence": True, "linger.ms": 1, **config}), []
    for key, value in pairs:
        producer.produce(topic, value, key, on_delivery=lambda e, _: e and errors.append(e))
    assert producer.flush(20) == 0 and not errors, errors


def extent(node, topic):
    """Log start offset and high watermark."""
    from confluent_kafka import Consumer, TopicPartition
    consumer = Consumer({"bootstrap.servers": node.bootstrap, "group.id": "extent"})
    try:
        return consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=20)
    finally:
        consumer.close()


def read_all(node, topic):
    """(offset, key, value) of everything from the start to the high watermark, with an unmodified consumer."""
    from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
    end = extent(node, topic)[1]
    consumer = Consumer({"bootstrap.servers": node.bootstrap, "group.id": "all", "enable.auto.commit": False, "enable.partition.eof": True,
                         "check.crcs": True})
    consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
    found, deadline = [], time.monotonic() + 30
    while time.monotonic() < deadline:
        message = consumer.poll(0.5)
        if message is None:
            continue
        if message.error():
            assert message.error().name() == "_PARTITION_EOF", message.error()
            assert message.offset() == end
            consumer.close()
            return found
        found.append((message.offset(), message.key(), message.value()))
    raise AssertionError(f"no end of {topic} after {len(found)} records")


def test_retention_deletes_what_is_old_and_a_crash_brings_nothing_back(make_node):
    node = make_node().start()
    make_topic(node, "short", retention_ms=1000)
    make_topic(node, "small", retention_ms=-1, retention_bytes=20_000)
    make_topic(node, "long")
    for topic in ("short", "small", "long"):
        for n in range(20):
            write(node, topic, [(b"k", bytes([n]) * 5_000)])
    eventually(lambda: extent(node, "short") == (20, 20), 30, "everything in the topic has expired")
    low, high = eventually(lambda: (found := extent(node, "small"))[0] > 0 and found, 30, "the topic is cut to its size")
    assert high == 20 and 20_000 <= (high - low) * 5_000 <= 30_000
    assert extent(node, "long") == (0, 20)
    node.kill9()
    node.start()
    assert extent(node, "short") == (20, 20)
    assert extent(node, "small") == (low, 20)
    write(node, "short", [(b"k", b"new")])
    assert (20, b"k", b"new") in read_all(node, "short")


@pytest.mark.parametrize("codec", ["none", "zstd"])
def test_a_compacted_topic_keeps_the_last_value_of_every_key_across_a_crash(make_node, codec):
    node = make_node().start()
    make_topic(node, "state", cleanup_policy="compact", segment_ms=100, min_cleanable_dirty_ratio=0.01, delete_retention_ms=100)
    rounds, keys = 30, 20
    for n in range(rounds):
        write(node, "state", [(b"k%d" % k, b"%d-%d" % (k, n) + b"x" * 200) for k in range(keys)], **{"compression.type": codec})
    write(node, "state", [(b"k0", None), (b"k1", None)])
    time.sleep(0.3)
    write(node, "state", [(b"last", b"one")])
    before = extent(node, "state")
    expected = {b"k%d" % k: b"%d-%d" % (k, rounds - 1) + b"x" * 200 for k in range(2, keys)} | {b"last": b"one"}

    def compacted():
        found = read_all(node, "state")
        offsets = [offset for offset, _, _ in found]
        assert offsets == sorted(set(offsets))
        latest = {key: value for _, key, value in found}
        assert {key: value for key, value in latest.items() if value is not None} == expected
        return len(found) == len(expected) and found

    found = eventually(compacted, 60, "one record a key is left, and no tombstone")
    assert extent(node, "state") == before == (0, rounds * keys + 3)
    node.kill9()
    node.start()
    assert read_all(node, "state") == found
    assert extent(node, "state") == before
    write(node, "state", [(b"k2", b"newer")])
    time.sleep(0.3)
    write(node, "state", [(b"last", b"two")])
    expected |= {b"k2": b"newer", b"last": b"two"}
    eventually(lambda: {key: value for _, key, value in read_all(node, "state")} == expected and len(read_all(node, "state")) <= len(expected) + 1,
               30, "compaction goes on after the crash")


def test_aborted_records_vanish_from_a_compacted_topic_and_committed_ones_stay(make_node):
    from confluent_kafka import Producer
    node = make_node().start()
    make_topic(node, "txn", cleanup_policy="compact", segment_ms=100, min_cleanable_dirty_ratio=0.01, delete_retention_ms=100)
    producer = Producer({"bootstrap.servers": node.bootstrap, "transactional.id": "t"})
    producer.init_transactions(20)
    for n in range(10):
        producer.begin_transaction()
        producer.produce("txn", b"%d" % n, b"key")
        producer.flush(20)
        producer.commit_transaction(20) if n % 2 == 0 else producer.abort_transaction(20)
    time.sleep(0.3)
    write(node, "txn", [(b"last", b"one")])
    end = extent(node, "txn")[1]
    eventually(lambda: [(key, value) for _, key, value in read_all(node, "txn")] == [(b"key", b"8"), (b"last", b"one")], 60, "compacted")
    node.kill9()
    node.start()
    assert [(key, value) for _, key, value in read_all(node, "txn")] == [(b"key", b"8"), (b"last", b"one")]
    assert extent(node, "txn")[1] == end
    producer = Producer({"bootstrap.servers": node.bootstrap, "transactional.id": "t"})
    producer.init_transactions(20)
    producer.begin_transaction()
    producer.produce("txn", b"after", b"key")
    producer.commit_transaction(20)
    assert read_all(node, "txn")[-1][1:] == (b"key", b"after")


def test_delete_records_and_its_refusals(make_node):
    from confluent_kafka import TopicPartition
    node = make_node().start()
    make_topic(node, "plain")
    make_topic(node, "compacted", cleanup_policy="compact")
    for topic in ("plain", "compacted"):
        write(node, topic, [(b"k", b"%d" % n) for n in range(10)])

    def delete(topic, offset):
        client = admin(node)
        (future,) = client.delete_records([TopicPartition(topic, 0, offset)]).values()
        try:
            return future.result(20).low_watermark
        except Exception as refusal:
            return refusal.args[0].name()

    assert delete("plain", 4) == 4
    assert delete("plain", 2) == 4
    assert delete("plain", 11) == "OFFSET_OUT_OF_RANGE"
    assert delete("compacted", 4) == "POLICY_VIOLATION"
    assert [offset for offset, _, _ in read_all(node, "plain")] == [4, 5, 6, 7, 8, 9]
    node.kill9()
    node.start()
    assert extent(node, "plain") == (4, 10)
    assert delete("plain", -1) == 10
    assert read_all(node, "plain") == []


def test_records_are_stored_in_the_compression_of_the_topic(make_node):
    node = make_node().start()
    sizes = {}
    for name in ("producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"):
        make_topic(node, f"c-{name}", compression_type=name)
        for sent in ("none", "gzip", "lz4"):
            write(node, f"c-{name}", [(b"k%d" % n, b"value " * 200) for n in range(20)], **{"compression.type": sent, "linger.ms": 50})
        assert [value for _, _, value in read_all(node, f"c-{name}")] == [b"value " * 200] * 60
        sizes[name] = partition_bytes(node, f"c-{name}")
    assert all(sizes[name] < sizes["producer"] < sizes["uncompressed"] for name in ("gzip", "snappy", "lz4", "zstd")), sizes


def partition_bytes(node, topic):
    """What DescribeLogDirs says that a topic's only partition takes."""
    from kafka import KafkaAdminClient
    client = KafkaAdminClient(bootstrap_servers=node.bootstrap)
    try:
        described = client.describe_log_dirs()
    finally:
        client.close()
    text = described.to_dict() if hasattr(described, "to_dict") else described
    found = []

    def walk(part):
        if isinstance(part, dict):
            if part.get("name", part.get("topic")) == topic:
                found.extend(one.get("partition_size", one.get("size")) for one in part["partitions"])
            for value in part.values():
                walk(value)
        elif isinstance(part, (list, tuple)):
            for value in part:
                walk(value)

    walk(text)
    assert len(found) == 1, described
    return found[0]
