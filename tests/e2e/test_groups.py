"""Consumer groups of real clients, of either protocol: shared evenly, moved from one protocol to the other, undisturbed by kill -9."""
import time
import uuid

import pytest

PROTOCOLS = ("classic", "consumer")


class Member:
    """A consumer of librdkafka that remembers every rebalance it was told of."""

    def __init__(self, bootstrap, group, topics, protocol="consumer", **config):
        from confluent_kafka import Consumer
        settings = {"bootstrap.servers": bootstrap, "group.id": group, "group.protocol": protocol, "auto.offset.reset": "earliest",
                    "enable.auto.commit": False, "log_level": 0, "reconnect.backoff.max.ms": 500, **config}
        if protocol == "classic":
            settings["partition.assignment.strategy"] = "cooperative-sticky"
        self.consumer, self.rebalances, self.read = Consumer(settings), [], []
        told = [lambda _, places, what=what: self.rebalances.append((what, len(places))) for what in ("assigned", "revoked", "lost")]
        self.consumer.subscribe(topics, on_assign=told[0], on_revoke=told[1], on_lost=told[2])

    def poll(self, seconds=0.05):
        message = self.consumer.poll(seconds)
        if message and not message.error():
            self.read.append(message.value())

    @property
    def places(self):
        return sorted((place.topic, place.partition) for place in self.consumer.assignment())

    def close(self):
        self.consumer.close()


def until(members, condition, seconds=60):
    """Polls all members until the condition holds."""
    end = time.time() + seconds
    while not condition():
        assert time.time() < end, [(member.places, member.rebalances) for member in members]
        for member in members:
            member.poll()


def shared(members, *counts):
    """Everybody has this many partitions, and nobody another's."""
    places = [member.places for member in members]
    return [len(mine) for mine in places] == list(counts) and len({place for mine in places for place in mine}) == sum(counts)


def topic(bootstrap, partitions, name=None):
    from confluent_kafka.admin import AdminClient, NewTopic
    name = name or "t" + uuid.uuid4().hex[:8]
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(name, partitions, 1)])[name].result(20)
    return name


def write(bootstrap, name, partitions, numbers):
    from confluent_kafka import Producer
    producer = Producer({"bootstrap.servers": bootstrap, "log_level": 0})
    for number in numbers:
        producer.produce(name, str(number), partition=number % partitions)
    assert producer.flush(30) == 0


def test_members_share_evenly_and_follow_what_changes(make_node):
    from confluent_kafka.admin import AdminClient, NewPartitions
    node = make_node().start()
    name, group = topic(node.bootstrap, 6), uuid.uuid4().hex
    members = []
    for counts in ((6,), (3, 3), (2, 2, 2)):
        members.append(Member(node.bootstrap, group, [name]))
        until(members, lambda: shared(members, *counts))
    write(node.bootstrap, name, 6, range(60))
    until(members, lambda: sum(len(member.read) for member in members) >= 60)
    assert sorted(int(value) for member in members for value in member.read) == list(range(60))
    members.pop().close()
    until(members, lambda: shared(members, 3, 3))
    admin = AdminClient({"bootstrap.servers": node.bootstrap})
    admin.create_partitions([NewPartitions(name, 10)])[name].result(20)
    until(members, lambda: shared(members, 5, 5))
    [member.close() for member in members]


def test_an_expression_finds_topics_that_are_made_later(make_node):
    node = make_node().start()
    prefix = uuid.uuid4().hex[:6]
    topic(node.bootstrap, 2, f"{prefix}-a")
    member = Member(node.bootstrap, uuid.uuid4().hex, [f"^{prefix}-.*"])
    until([member], lambda: shared([member], 2))
    topic(node.bootstrap, 3, f"{prefix}-b")
    topic(node.bootstrap, 3, f"other-{prefix}")
    until([member], lambda: shared([member], 5))
    member.close()


def test_a_static_member_comes_back_to_what_it_had(make_node):
    node = make_node().start()
    name, group = topic(node.bootstrap, 4), uuid.uuid4().hex
    members = [Member(node.bootstrap, group, [name], **{"group.instance.id": f"i{n}"}) for n in range(2)]
    until(members, lambda: shared(members, 2, 2))
    had, other = members[0].places, len(members[1].rebalances)
    members[0].close()
    members[0] = Member(node.bootstrap, group, [name], **{"group.instance.id": "i0"})
    until(members, lambda: members[0].places == had)
    assert len(members[1].rebalances) == other, "the other one noticed"
    [member.close() for member in members]


def test_a_group_moves_to_the_new_protocol_and_back_while_it_reads(make_node):
    node = make_node().start()
    name, group = topic(node.bootstrap, 6), uuid.uuid4().hex
    old = [Member(node.bootstrap, group, [name], "classic") for _ in range(2)]
    until(old, lambda: shared(old, 3, 3))
    new = Member(node.bootstrap, group, [name])
    until([*old, new], lambda: shared([*old, new], 2, 2, 2))
    new.close()
    until(old, lambda: shared(old, 3, 3))
    new = Member(node.bootstrap, group, [name])
    until([*old, new], lambda: shared([*old, new], 2, 2, 2))
    [member.close() for member in old]
    until([new], lambda: shared([new], 6))
    new.close()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_members_go_on_after_kill_9_without_a_rebalance(make_node, protocol):
    node = make_node().start()
    name, group = topic(node.bootstrap, 4), uuid.uuid4().hex
    members = [Member(node.bootstrap, group, [name], protocol) for _ in range(2)]
    until(members, lambda: shared(members, 2, 2))
    write(node.bootstrap, name, 4, range(20))
    until(members, lambda: sum(len(member.read) for member in members) >= 20)
    places, told = [member.places for member in members], [len(member.rebalances) for member in members]
    node.kill9()
    node.start()
    write(node.bootstrap, name, 4, range(20, 40))
    until(members, lambda: sum(len(member.read) for member in members) >= 40)
    # Long enough for a heartbeat of each.
    end = time.time() + 8
    until(members, lambda: time.time() > end)
    assert [member.places for member in members] == places
    assert [len(member.rebalances) for member in members] == told
    assert sorted(int(value) for member in members for value in member.read) == list(range(40))
    [member.close() for member in members]
