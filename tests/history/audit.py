"""The end of a history: everything that the log holds, in both isolations, and where the groups stand."""
import json
import time

from clients import TOPICS, now, places
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

PATIENCE_S = 120


def audit(bootstrap, path, groups):
    """Gives what could not be read to its end."""
    stuck = []
    with open(path, "w") as file:
        for isolation in ("Committed", "Uncommitted"):
            stuck += [place for place in places(*TOPICS) if not whole(bootstrap, file, isolation, place)]
        for group, topic in groups:
            consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "isolation.level": "read_committed"})
            since = now()
            for one in consumer.committed([TopicPartition(*place) for place in places(topic)], timeout=30):
                note(file, "Position", group=group, since=since, at=(one.topic, one.partition), offset=max(one.offset, -1))
            consumer.close()
    return stuck


def note(file, kind, **fields):
    file.write(json.dumps({"t": now(), "e": {kind: fields}}) + "\n")


def end_of(bootstrap, isolation, place):
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "audit", "isolation.level": f"read_{isolation.lower()}"})
    try:
        return consumer.get_watermark_offsets(TopicPartition(*place), timeout=20)
    finally:
        consumer.close()


def whole(bootstrap, file, isolation, place):
    """Reads a partition to its high watermark; whether that was possible. Open transactions run out of time meanwhile."""
    until = time.monotonic() + PATIENCE_S
    start, high = end_of(bootstrap, "Uncommitted", place)
    while end_of(bootstrap, isolation, place)[1] < high:
        if time.monotonic() > until:
            return False
        time.sleep(0.5)
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "audit", "isolation.level": f"read_{isolation.lower()}",
                         "enable.auto.commit": False, "enable.partition.eof": True, "auto.offset.reset": "error"})
    consumer.assign([TopicPartition(*place, start)])
    records, since, at_end = [], now(), start == high
    while not at_end and time.monotonic() < until:
        for message in consumer.consume(2_000, 1):
            if message.error():
                at_end |= message.error().code() == KafkaError._PARTITION_EOF
            else:
                writer, n, _ = message.value().decode().split("/")
                records.append((message.offset(), writer, int(n)))
    consumer.close()
    note(file, "Read", reader="audit", since=since, isolation=isolation, at=place, **{"from": start}, next=high, records=records)
    return at_end
