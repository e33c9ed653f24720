"""Unmodified Kafka clients against a node: librdkafka, kcat, kafka-python, aiokafka, kafkajs, Java."""
import asyncio
import json
import os
import pathlib
import subprocess
import time
import uuid

import pytest
from conftest import ROOT, eventually, free_port

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
TOOLS = ROOT / ".test-env/kafka/lib"


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    from conftest import Node
    running = Node(tmp_path_factory.mktemp("clients") / "data").start()
    yield running
    assert running.stop() == 0


def fresh(prefix="t"):
    return f"{prefix}-{uuid.uuid4().hex[:10]}"


def confluent_read(node, topic, count, group=None, **config):
    from confluent_kafka import Consumer
    consumer = Consumer({"bootstrap.servers": node.bootstrap, "group.id": group or fresh("g"), "auto.offset.reset": "earliest",
                         "enable.auto.commit": False, **config})
    consumer.subscribe([topic])
    found, end = [], time.monotonic() + 60
    while len(found) < count:
        message = consumer.poll(0.2)
        if message is not None:
            assert message.error() is None, message.error()
            found.append(message)
        assert time.monotonic() < end, f"only {len(found)} of {count} records of {topic}"
    if group:
        consumer.commit(asynchronous=False)
    consumer.close()
    return found


def confluent_write(node, topic, values, **config):
    from confluent_kafka import Producer
    producer, errors = Producer({"bootstrap.servers": node.bootstrap, **config}), []
    for number, value in enumerate(values):
        producer.produce(topic, value, f"k{number}", headers=[("n", str(number).encode())], on_delivery=lambda e, _: e and errors.append(e))
    assert producer.flush(20) == 0 and not errors, errors


@pytest.mark.parametrize("codec", CODECS)
def test_librdkafka_every_codec(node, codec):
    topic, values = fresh(codec), [f"value {n} ".encode() * 20 for n in range(300)]
    confluent_write(node, topic, values, **{"compression.type": codec, "linger.ms": 20, "enable.idempotence": True})
    messages = confluent_read(node, topic, 300)
    assert [m.value() for m in messages] == values
    assert [m.offset() for m in messages] == list(range(300)) and messages[7].headers() == [("n", b"7")]


def test_librdkafka_group_goes_on_where_it_was(node):
    topic, group = fresh(), fresh("g")
    confluent_write(node, topic, [b"1", b"2", b"3"])
    assert len(confluent_read(node, topic, 3, group)) == 3
    confluent_write(node, topic, [b"4"])
    assert [m.value() for m in confluent_read(node, topic, 1, group)] == [b"4"]


def test_librdkafka_admin(node):
    from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic
    admin, topic = AdminClient({"bootstrap.servers": node.bootstrap}), fresh()
    admin.create_topics([NewTopic(topic, 2, 1, config={"max.message.bytes": "20000"})])[topic].result(10)
    with pytest.raises(Exception, match="TOPIC_ALREADY_EXISTS"):
        admin.create_topics([NewTopic(topic, 2, 1)])[topic].result(10)
    admin.create_partitions([NewPartitions(topic, 5)])[topic].result(10)
    assert len(admin.list_topics(timeout=10).topics[topic].partitions) == 5
    with pytest.raises(AssertionError, match="MSG_SIZE_TOO_LARGE"):
        confluent_write(node, topic, [os.urandom(50_000)], **{"message.max.bytes": 1_000_000})
    admin.delete_topics([topic])[topic].result(10)
    assert topic not in admin.list_topics(timeout=10).topics


def test_librdkafka_offsets_by_time(node):
    from confluent_kafka import Consumer, Producer, TopicPartition
    topic, producer = fresh(), Producer({"bootstrap.servers": node.bootstrap})
    for n in range(10):
        producer.produce(topic, b"x", timestamp=1_700_000_000_000 + n * 1000)
    assert producer.flush(10) == 0
    consumer = Consumer({"bootstrap.servers": node.bootstrap, "group.id": fresh("g")})
    found = consumer.offsets_for_times([TopicPartition(topic, 0, 1_700_000_004_500)], timeout=10)[0].offset
    consumer.close()
    assert found == 5


def test_offsets_survive_a_restart(make_node):
    node = make_node().start()
    confluent_write(node, "t", [b"1", b"2", b"3"])
    assert len(confluent_read(node, "t", 3, "g")) == 3
    node.kill9()
    node.start()
    confluent_write(node, "t", [b"4"])
    assert [m.value() for m in confluent_read(node, "t", 1, "g")] == [b"4"]


def test_kcat(node):
    topic = fresh()
    subprocess.run(["kcat", "-b", node.bootstrap, "-t", topic, "-P", "-K:"], input=b"a:1\nb:2\n", check=True, timeout=30)
    out = subprocess.run(["kcat", "-b", node.bootstrap, "-t", topic, "-C", "-e", "-q", "-f", "%k=%s,"], capture_output=True, check=True, timeout=30).stdout
    assert sorted(out.decode().strip(",").split(",")) == ["a=1", "b=2"]
    listing = json.loads(subprocess.run(["kcat", "-b", node.bootstrap, "-L", "-J"], capture_output=True, check=True, timeout=30).stdout)
    assert topic in [t["topic"] for t in listing["topics"]]


@pytest.mark.parametrize("codec", [None, "gzip", "snappy", "lz4"])
def test_kafka_python(node, codec):
    from kafka import KafkaConsumer, KafkaProducer
    topic, group = fresh(), fresh("g")
    producer = KafkaProducer(bootstrap_servers=node.bootstrap, compression_type=codec, acks="all", linger_ms=5)
    sent = [producer.send(topic, value=b"v%d" % n, key=b"k", headers=[("h", b"x")]) for n in range(50)]
    assert [f.get(20).offset for f in sent] == list(range(50))
    producer.close()
    consumer = KafkaConsumer(topic, bootstrap_servers=node.bootstrap, group_id=group, auto_offset_reset="earliest", consumer_timeout_ms=15_000)
    got = [next(consumer) for _ in range(50)]
    assert [r.value for r in got] == [b"v%d" % n for n in range(50)] and got[0].headers == [("h", b"x")]
    consumer.commit()
    consumer.close()


def test_aiokafka(node):
    async def work():
        from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
        topic = fresh()
        producer = AIOKafkaProducer(bootstrap_servers=node.bootstrap, enable_idempotence=True)
        await producer.start()
        for n in range(50):
            await producer.send_and_wait(topic, b"v%d" % n)
        await producer.stop()
        consumer = AIOKafkaConsumer(topic, bootstrap_servers=node.bootstrap, group_id=fresh("g"), auto_offset_reset="earliest")
        await consumer.start()
        got = [(await asyncio.wait_for(consumer.getone(), 20)).value for _ in range(50)]
        await consumer.commit()
        await consumer.stop()
        return got

    assert asyncio.run(work()) == [b"v%d" % n for n in range(50)]


def test_kafkajs(node):
    env = {**os.environ, "NODE_PATH": str(ROOT / "tests/clients/node_modules"), "KAFKAJS_NO_PARTITIONER_WARNING": "1"}
    done = subprocess.run(["node", ROOT / "tests/clients/kafkajs.js", node.bootstrap], capture_output=True, text=True, env=env, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def java(tool, *args, timeout=120):
    return subprocess.run(["java", "-Xmx256m", "-cp", f"{TOOLS}/*", f"org.apache.kafka.tools.{tool}", *args], capture_output=True, text=True, timeout=timeout)


def test_java_verifiable_producer_and_consumer(node):
    topic = fresh()
    done = java("VerifiableProducer", "--bootstrap-server", node.bootstrap, "--topic", topic, "--max-messages", "2000", "--acks", "-1")
    events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert sum(e["name"] == "producer_send_success" for e in events) == 2000, done.stdout[-500:] + done.stderr[-500:]
    done = java("VerifiableConsumer", "--bootstrap-server", node.bootstrap, "--topic", topic, "--group-id", fresh("g"),
                "--max-messages", "2000", "--reset-policy", "earliest")
    events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert sum(e["count"] for e in events if e["name"] == "records_consumed") == 2000, done.stdout[-500:] + done.stderr[-500:]
    assert [e for e in events if e["name"] == "offsets_committed" and e.get("success")]


def test_two_members_share_partitions(node):
    from confluent_kafka import Consumer
    from confluent_kafka.admin import AdminClient, NewTopic
    topic, group = fresh(), fresh("g")
    admin = AdminClient({"bootstrap.servers": node.bootstrap})
    admin.create_topics([NewTopic(topic, 4, 1)])[topic].result(10)
    members = [Consumer({"bootstrap.servers": node.bootstrap, "group.id": group, "auto.offset.reset": "earliest"}) for _ in range(2)]
    for member in members:
        member.subscribe([topic])

    def shared():
        for member in members:
            member.poll(0.1)
        parts = [{p.partition for p in member.assignment()} for member in members]
        return all(parts) and not parts[0] & parts[1] and parts[0] | parts[1] == {0, 1, 2, 3}

    eventually(shared, 30, "all partitions assigned once")
    for member in members:
        member.close()
