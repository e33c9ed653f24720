"""Clients as processes of their own: `clients.py KIND NAME BOOTSTRAP FILE SEED`. They work until SIGTERM and write down what they do
and see, one JSON line an event (crates/sim/src/history/event.rs says which). Times are microseconds of the machine's monotonic clock."""
import json
import os
import random
import signal
import sys
import threading
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

TOPICS = {"plain": 3, "txn": 2, "other": 2, "in": 2, "out": 2}
# After so long without a word from its producer a transaction is aborted.
TXN_TIMEOUT_MS = 8_000
# How a client ends whose library does not come back from a call: librdkafka's send_offsets_to_transaction may wait for ever for a
# coordinator after a connection was lost, whatever its timeout (librdkafka issues 5456 and 5511, seen with 2.16.0).
STUCK, CALL_S, STUCK_S = 42, 10, 40
REFUSALS = {KafkaError.ILLEGAL_GENERATION, KafkaError.UNKNOWN_MEMBER_ID, KafkaError.REBALANCE_IN_PROGRESS,
            KafkaError.FENCED_INSTANCE_ID, KafkaError.STALE_MEMBER_EPOCH, KafkaError.FENCED_MEMBER_EPOCH}


def now():
    return time.monotonic_ns() // 1000


def places(*topics):
    return [(topic, index) for topic in topics for index in range(TOPICS[topic])]


class NotCommitted(Exception):
    """The transaction was aborted in the end: what went into it is to be read again."""


class Client:
    def __init__(self, name, bootstrap, path, seed):
        self.name, self.bootstrap, self.rng = name, bootstrap, random.Random(f"{name}/{seed}")
        # A client that was killed comes back under its name: its writers' names tell its lives apart.
        self.stem = f"{name}.{os.environ.get('CLIENT_LIFE', 0)}"
        self.file = open(path, "a", buffering=1)
        self.ended = False
        signal.signal(signal.SIGTERM, lambda *_: setattr(self, "ended", True))

    def note(self, kind, **fields):
        self.file.write(json.dumps({"t": now(), "e": {kind: fields}}) + "\n")

    def pause(self, most_s):
        time.sleep(self.rng.uniform(0.001, most_s))

    def config(self, **more):
        if self.name in os.environ.get("HISTORY_DEBUG_CLIENTS", "").split():
            more["debug"] = "eos,protocol,broker"
        return {"bootstrap.servers": self.bootstrap, "log_level": 7 if "debug" in more else 0, "reconnect.backoff.max.ms": 500, "socket.timeout.ms": 6_000,
                **{name.replace("_", "."): value for name, value in more.items()}}


class Writer:
    """One incarnation: an idempotent producer, perhaps transactional, and its numbers."""

    def __init__(self, client, name, transactional_id=None):
        self.client, self.name, self.n, self.txn = client, name, 0, 0
        more = {"transactional_id": transactional_id, "transaction_timeout_ms": TXN_TIMEOUT_MS} if transactional_id else {"message_timeout_ms": 300_000}
        self.producer = Producer(client.config(enable_idempotence=True, linger_ms=2, **more))

    def send(self, place, txn=None, source=None):
        n, (topic, index) = self.n, place
        self.n += 1
        self.client.note("Send", writer=self.name, n=n, at=place, txn=txn, source=source)

        def acked(error, message):
            if not error:
                offset = message.offset()
                self.client.note("Ack", writer=self.name, n=n, offset=offset if offset is not None and offset >= 0 else None)

        while True:
            try:
                return self.producer.produce(topic, f"{self.name}/{n}/{'x' * self.client.rng.randrange(200)}", partition=index, on_delivery=acked)
            except BufferError:
                self.producer.poll(0.1)

    def end(self, commit):
        """Commits or aborts, and gives whether it was committed; an exception leaves the outcome open."""
        if not commit:
            self.client.note("Abort", writer=self.name, txn=self.txn)
            self.insist(lambda: self.producer.abort_transaction(10))
            return False
        self.client.note("Commit", writer=self.name, txn=self.txn)
        try:
            self.insist(lambda: self.producer.commit_transaction(10))
            self.client.note("Committed", writer=self.name, txn=self.txn)
            return True
        except KafkaException as failed:
            if not failed.args[0].txn_requires_abort():
                raise
            self.insist(lambda: self.producer.abort_transaction(10))
            return False

    def insist(self, act):
        while True:
            try:
                return act()
            except KafkaException as failed:
                if not failed.args[0].retriable():
                    raise

    def begin(self):
        self.txn += 1
        self.producer.begin_transaction()


def producer(client):
    life = 0
    while not client.ended:
        writer, all_places = Writer(client, f"{client.stem}.{life}"), places("plain", "in")
        life += 1
        try:
            while not client.ended:
                writer.send(client.rng.choice(all_places))
                writer.producer.poll(0)
                client.pause(0.03)
        except KafkaException:
            continue
        writer.producer.flush(60)


def transactions(client):
    """Lives one after the other under one transactional id, which a second process shares: they fence each other."""
    life = 0
    while not client.ended:
        name, life = f"{client.stem}.{life}", life + 1
        transactional_id = client.name.rstrip("ab")
        writer = Writer(client, name, transactional_id)
        try:
            since = now()
            writer.insist(lambda: writer.producer.init_transactions(10))
            client.note("Init", writer=name, transactional_id=transactional_id, since=since)
            while not client.ended:
                transaction(client, writer)
                client.pause(0.1)
                if client.rng.random() < 0.02:
                    break
        except KafkaException:
            client.pause(3)


def transaction(client, writer):
    writer.begin()
    try:
        for _ in range(client.rng.randrange(1, 8)):
            writer.send(client.rng.choice(places("txn", "other")), txn=writer.txn)
            if client.rng.random() < 0.1:
                client.pause(0.3)
        writer.producer.flush(20)
        writer.end(client.rng.random() < 0.8)
    except KafkaException as failed:
        if not failed.args[0].txn_requires_abort():
            raise
        writer.end(False)


class Positions:
    """Where a consumer stands, as it was assigned: what it is given is noted as reads from there."""

    def __init__(self, client, isolation):
        self.client, self.isolation, self.next, self.since = client, isolation, {}, now()

    def begin(self, position):
        self.next, self.since = dict(position), now()

    def read(self, messages):
        by_place = {}
        for message in messages:
            if not message.error():
                by_place.setdefault((message.topic(), message.partition()), []).append(message)
        for place, some in by_place.items():
            records = []
            for message in some:
                writer, n, _ = message.value().decode().split("/")
                records.append((message.offset(), writer, int(n)))
            last = some[-1].offset() + 1
            first = self.next.get(place)
            self.client.note("Read", reader=self.client.name, since=self.since, isolation=self.isolation, at=place,
                             **{"from": some[0].offset() if first is None else first}, next=last, records=records)
            self.next[place] = last
        return by_place


def reader(client, isolation):
    consumer = Consumer(client.config(group_id=f"own-{client.name}", enable_auto_commit=False, auto_offset_reset="earliest",
                                      isolation_level=f"read_{isolation.lower()}", fetch_wait_max_ms=100))
    seen, all_places = Positions(client, isolation), places(*TOPICS)
    while not client.ended:
        start = {place: client.rng.choice([0, seen.next.get(place, 0)]) for place in all_places}
        consumer.assign([TopicPartition(*place, offset) for place, offset in start.items()])
        seen.begin(start)
        until = time.monotonic() + client.rng.uniform(5, 30)
        while not client.ended and time.monotonic() < until:
            seen.read(consumer.consume(500, 0.2))
            marks(client, consumer, client.rng.choice(all_places))
    consumer.close()


def marks(client, consumer, place):
    since = now()
    try:
        low, high = consumer.get_watermark_offsets(TopicPartition(*place), timeout=5)
    except KafkaException:
        return
    client.note("Marks", reader=client.name, since=since, at=place, start=low, high=high, stable=high)


class Member:
    """A member of a group, in either protocol."""

    def __init__(self, client, group, topics, protocol):
        self.client, self.group, self.seen = client, group, Positions(client, "Committed")
        self.incremental = protocol == "consumer"
        more = {"group_protocol": "consumer"} if protocol == "consumer" else {"session_timeout_ms": 6_000, "heartbeat_interval_ms": 1_000}
        self.consumer = Consumer(client.config(group_id=group, enable_auto_commit=False, auto_offset_reset="earliest",
                                               isolation_level="read_committed", fetch_wait_max_ms=100, **more))
        self.consumer.subscribe(topics, on_assign=self.assigned, on_revoke=self.revoked)

    def assigned(self, consumer, partitions):
        since = now()
        while partitions:
            try:
                committed = consumer.committed(partitions, timeout=10)
                break
            except KafkaException:
                if self.client.ended:
                    return
        else:
            committed = []
        # What was fetched for the last assignment may come with this one: reads are noted from the first record on.
        start = {}
        for one in committed:
            offset = max(one.offset, -1)
            self.client.note("Position", group=self.group, since=since, at=(one.topic, one.partition), offset=offset)
            start[one.topic, one.partition] = one.offset = max(offset, 0)
        if self.incremental:
            for place in start:
                self.seen.next.pop(place, None)
            consumer.incremental_assign(committed)
        else:
            self.seen.begin({})
            consumer.assign(committed)

    def revoked(self, consumer, partitions):
        for one in partitions:
            self.seen.next.pop((one.topic, one.partition), None)
        consumer.incremental_unassign(partitions) if self.incremental else consumer.unassign()

    def commit(self, place):
        offset = self.seen.next[place]
        fields = {"group": self.group, "at": place, "offset": offset}
        self.client.note("Offer", **fields)
        try:
            done = self.consumer.commit(offsets=[TopicPartition(*place, offset)], asynchronous=False)
            error = done[0].error
        except KafkaException as failed:
            error = failed.args[0]
        if not error:
            self.client.note("Offered", **fields)
        elif error.code() in REFUSALS:
            self.client.note("OfferRefused", **fields)


def group(client, protocol):
    member = Member(client, f"readers-{protocol}", ["plain"], protocol)
    while not client.ended:
        for place in member.seen.read(member.consumer.consume(200, 0.3)):
            if place in member.seen.next and client.rng.random() < 0.5:
                member.commit(place)
    member.consumer.close()


def copier(client, protocol):
    """Consume-transform-produce: the position travels in the transaction."""
    group, life = f"copiers-{protocol}", 0
    while not client.ended:
        name, life = f"{client.stem}.{life}", life + 1
        writer, member = Writer(client, name, client.name), Member(client, group, ["in"], protocol)
        try:
            since = now()
            writer.insist(lambda: writer.producer.init_transactions(10))
            client.note("Init", writer=name, transactional_id=client.name, since=since)
            while not client.ended:
                by_place = member.seen.read(member.consumer.consume(50, 0.2))
                if by_place:
                    copy(client, writer, member, group, by_place)
        except (KafkaException, NotCommitted):
            client.pause(1)
        finally:
            member.consumer.close()


def copy(client, writer, member, group, by_place):
    writer.begin()
    try:
        for place, messages in by_place.items():
            target = client.rng.choice(places("out"))
            for message in messages:
                writer.send(target, writer.txn, {"group": group, "at": place, "offset": message.offset()})
        offsets = [TopicPartition(*place, member.seen.next[place]) for place in by_place]
        writer.insist(lambda: send_offsets(writer, member, offsets))
        writer.producer.flush(20)
        if not writer.end(True):
            raise NotCommitted
    except KafkaException as failed:
        if failed.args[0].txn_requires_abort():
            writer.end(False)
        # What was read is read again, from where the group stands.
        raise


def send_offsets(writer, member, offsets):
    """A refusal is an exception; a call that does not come back ends the process, which the test then starts again."""
    watch = threading.Timer(STUCK_S, os._exit, (STUCK,))
    watch.start()
    try:
        writer.producer.send_offsets_to_transaction(offsets, member.consumer.consumer_group_metadata(), CALL_S)
    finally:
        watch.cancel()


KINDS = {
    "producer": producer,
    "transactions": transactions,
    "committed": lambda client: reader(client, "Committed"),
    "uncommitted": lambda client: reader(client, "Uncommitted"),
    "group-classic": lambda client: group(client, "classic"),
    "group-consumer": lambda client: group(client, "consumer"),
    "copier-classic": lambda client: copier(client, "classic"),
    "copier-consumer": lambda client: copier(client, "consumer"),
}

if __name__ == "__main__":
    kind, name, bootstrap, path, seed = sys.argv[1:]
    KINDS[kind](Client(name, bootstrap, path, seed))
