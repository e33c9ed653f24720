"""Bad input and faults: errors or closed connections, never a panic, a hang or memory that a claim asks for."""
import os
import pathlib
import random
import re
import socket
import struct
import subprocess
import urllib.error

import pytest
from conftest import Node, SqlError, eventually
from test_clients import confluent_read, confluent_write


def frame(key, version, body=b"", correlation=7, length=None):
    payload = struct.pack(">hhih", key, version, correlation, 1) + b"c" + body
    return struct.pack(">i", len(payload) if length is None else length) + payload


def exchange(node, data, timeout=5):
    """What comes back until the node closes or falls silent."""
    with socket.create_connection(("127.0.0.1", node.kafka_port), timeout) as sock:
        sock.settimeout(timeout)
        try:
            sock.sendall(data)
            head = b""
            while len(head) < 4:
                part = sock.recv(4 - len(head))
                if not part:
                    return None
                head += part
            size, body = struct.unpack(">i", head)[0], b""
            while len(body) < size:
                part = sock.recv(size - len(body))
                if not part:
                    return None
                body += part
            return body
        except (ConnectionError, socket.timeout):
            return None


def alive(node):
    return exchange(node, frame(18, 0)) is not None


HOSTILE = {
    "empty frame": struct.pack(">i", 0),
    "negative length": struct.pack(">i", -5) + b"x" * 10,
    "2 GiB frame": struct.pack(">i", 2**31 - 1) + b"x" * 100,
    "http": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "tls hello": bytes.fromhex("16030100c8010000c40303") + b"\0" * 200,
    "unknown key": frame(999, 0),
    "unknown version": frame(3, 99),
    "metadata, 154 GB of names": frame(3, 1, struct.pack(">i", 2**31 - 1)),
    "metadata, negative array": frame(3, 1, struct.pack(">i", -100)),
    "metadata, huge varint": frame(3, 12, b"\0" + b"\xff\xff\xff\xff\x0f"),
    "produce, cut short": frame(0, 7, b"\xff\xff\xff\xff\x00\x00\x00\x00"),
    "fetch, hostile counts": frame(1, 4, struct.pack(">iiiibi", -1, 1, 1, 1, 0, 2**30)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_frames(node, name):
    before = node.rss_mib()
    for _ in range(20):
        exchange(node, HOSTILE[name], timeout=0.3)
    assert alive(node) and node.rss_mib() < before + 50


def test_garbage(node):
    rng, before = random.Random(7), node.rss_mib()
    for _ in range(300):
        blob = rng.randbytes(rng.randrange(1, 400))
        exchange(node, struct.pack(">i", len(blob)) + blob, timeout=0.05)
    assert alive(node) and node.rss_mib() < before + 50


def test_unknown_version_of_apiversions_says_35(node):
    body = exchange(node, frame(18, 99))
    correlation, error = struct.unpack_from(">ih", body)
    assert (correlation, error) == (7, 35)


def batch(payload=b"v", magic=2, crc=None):
    """A record batch with one record, as KIP-98 lays it out."""
    import binascii
    record = b"\0\0\0\x01" + bytes([len(payload) * 2]) + payload + b"\0"
    record = bytes([len(record) * 2]) + record
    after_crc = struct.pack(">hiqqqhii", 0, 0, 1, 1, -1, -1, -1, 1) + record
    table = crc32c(after_crc) if crc is None else crc
    rest = struct.pack(">ibI", 0, magic, table) + after_crc
    return struct.pack(">qi", 0, len(rest)) + rest


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def produce(node, topic, records):
    body = struct.pack(">hhi", -1, -1, 5000) + struct.pack(">ih", 1, len(topic)) + topic + struct.pack(">iii", 1, 0, len(records)) + records
    answer = exchange(node, frame(0, 7, body))
    # correlation, topics, name, partitions, index, error, base offset
    at = 4 + 4 + 2 + len(topic) + 4 + 4
    return struct.unpack_from(">hq", answer, at)


def test_broken_batches_get_kafkas_errors(node):
    confluent_write(node, "t", [b"first"])
    assert produce(node, b"t", batch()) == (0, 1)
    assert produce(node, b"t", batch(crc=12345))[0] == 2, "corrupt message"
    assert produce(node, b"t", batch(magic=1))[0] in (43, 87, 2), "old format"
    assert produce(node, b"t", batch()[:-3])[0] in (2, 87), "cut short"
    assert len(confluent_read(node, "t", 2)) == 2


@pytest.mark.parametrize("headers", [{"Host": "evil.example"}, {"Origin": "http://evil.example"}])
def test_other_sites_are_kept_out(node, headers):
    with pytest.raises(urllib.error.HTTPError) as refused:
        node.call("POST", "/api/sql", {"sql": "SELECT 1"}, headers)
    assert refused.value.code == 403


def test_a_form_cannot_post(node):
    with pytest.raises(urllib.error.HTTPError) as refused:
        node.call("POST", "/api/sql", {"sql": "SELECT 1"}, {"content-type": "text/plain"})
    assert refused.value.code == 415


def test_a_newer_folder_is_refused(make_node):
    node = make_node().start()
    confluent_write(node, "t", [b"x"])
    node.stop()
    markers = [p for p in node.data.rglob("*") if p.is_file() and ("format" in p.name.lower() or "version" in p.name.lower())]
    assert markers, "the folder says its format"
    markers[0].write_text(re.sub(r"\d+", "99", markers[0].read_text()))
    with pytest.raises(RuntimeError, match="(?i)newer"):
        node.start()


def test_sigterm_ends_it_cleanly(make_node):
    node = make_node().start()
    confluent_write(node, "t", [b"x"])
    assert node.stop() == 0


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300m", "tmpfs", folder], capture_output=True, text=True)
    if mount.returncode:
        pytest.skip(f"cannot mount a small disk here: {mount.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_refuses_writes_and_heals(small_disk):
    node = Node(small_disk / "data")
    try:
        node.start()
        confluent_write(node, "t", [b"before"])
        filler = small_disk / "filler"
        with filler.open("wb") as out:
            try:
                while True:
                    out.write(os.urandom(1 << 20))
            except OSError:
                pass
        write_until_refused(node)
        assert confluent_read(node, "t", 1)[0].value() == b"before", "reads go on"
        filler.unlink()
        eventually(lambda: accepts(node), 30, "writes are taken again")
    finally:
        node.stop()


def accepts(node):
    try:
        confluent_write(node, "t", [b"after"], **{"message.timeout.ms": 3000})
        return True
    except AssertionError:
        return False


def write_until_refused(node):
    from confluent_kafka import Producer
    errors = []
    producer = Producer({"bootstrap.servers": node.bootstrap, "message.timeout.ms": 4000, "linger.ms": 5, "log_level": 0})
    for _ in range(400):
        for _ in range(10):
            producer.produce("big", os.urandom(100_000), on_delivery=lambda e, _: e and errors.append(e))
        producer.poll(0.05)
        producer.flush(1)
        if errors:
            return
    raise AssertionError("the disk never filled up")
