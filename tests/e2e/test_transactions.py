"""Transactions of real clients: what is open or aborted reaches no reader of committed records, no view and no sink."""
import json
import time
import uuid

import pytest
from conftest import eventually
from test_clients import confluent_read

PIPELINE = """
CREATE SOURCE moves (account TEXT, amount BIGINT) WITH (topic = 'moves');
CREATE MATERIALIZED VIEW balances AS SELECT account, count(*) AS n, sum(amount) AS total FROM moves GROUP BY account;
CREATE MATERIALIZED VIEW big AS SELECT account, amount FROM moves WHERE amount >= 1000;
CREATE SINK big_out INTO topic FROM big WITH (topic = 'big-out');
CREATE SINK balances_pg INTO postgres FROM balances WITH (url = '${PG_URL}', table = 'balances', primary_key = 'account');
"""


class Bank:
    """A transactional producer that moves amounts between two accounts."""

    def __init__(self, node, name=None):
        from confluent_kafka import Producer
        self.producer = Producer({"bootstrap.servers": node.bootstrap, "transactional.id": name or uuid.uuid4().hex, "linger.ms": 1,
                                  "transaction.timeout.ms": 60_000, "log_level": 0})
        self.producer.init_transactions(20)

    def move(self, amount, then):
        self.producer.begin_transaction()
        for account, sign in (("a", -1), ("b", 1)):
            self.producer.produce("moves", json.dumps({"account": account, "amount": sign * amount}), account)
        assert self.producer.flush(20) == 0
        if then == "commit":
            self.producer.commit_transaction(20)
        elif then == "abort":
            self.producer.abort_transaction(20)
        return self


def balances(node):
    return {a: (int(n), int(total)) for a, n, total in node.rows("SELECT account, n, total FROM balances")}


def high_watermark(node, topic):
    from confluent_kafka import Consumer, TopicPartition
    consumer = Consumer({"bootstrap.servers": node.bootstrap, "group.id": "watermarks"})
    low, high = consumer.get_watermark_offsets(TopicPartition(topic, 0), 10)
    consumer.close()
    return high


def test_only_what_is_committed_is_seen(make_node, postgres):
    node = make_node(env={"PG_URL": postgres.url}).start()
    node.apply("bank", pipeline=PIPELINE)
    bank = Bank(node)
    for amount, then in ((1000, "commit"), (5000, "abort"), (7, "commit"), (9000, "abort")):
        bank.move(amount, then)
    expected = {"a": (2, -1007), "b": (2, 1007)}
    eventually(lambda: balances(node) == expected, 10, "committed transactions are in the view")
    still_open = Bank(node).move(3000, "stay open")
    bank.move(2000, "commit")
    # The open transaction holds back what was committed behind it, for every reader of committed records alike.
    time.sleep(1)
    assert balances(node) == expected
    read = confluent_read(node, "moves", 4, **{"isolation.level": "read_committed"})
    assert sorted(json.loads(m.value())["amount"] for m in read) == [-1000, -7, 7, 1000]
    assert high_watermark(node, "moves") >= 12, "the records are there, only not committed"
    assert [json.loads(m.value())["amount"] for m in confluent_read(node, "big-out", 1)] == [1000]
    still_open.producer.abort_transaction(20)
    expected = {"a": (3, -3007), "b": (3, 3007)}
    eventually(lambda: balances(node) == expected, 10, "the rest follows once the open one has ended")
    assert [json.loads(m.value())["amount"] for m in confluent_read(node, "big-out", 2)] == [1000, 2000]
    eventually(lambda: {a: (n, int(t)) for a, n, t in postgres.rows("SELECT account, n, total FROM balances")} == expected, 20, "PostgreSQL")
    node.kill9()
    node.start()
    assert balances(node) == expected
    assert len(confluent_read(node, "moves", 6, **{"isolation.level": "read_committed"})) == 6


def test_a_transaction_left_open_is_aborted_after_its_timeout(node):
    from confluent_kafka import Producer
    node.sql("CREATE SOURCE moves (account TEXT, amount BIGINT) WITH (topic = 'moves');"
             "CREATE MATERIALIZED VIEW balances AS SELECT account, count(*) AS n, sum(amount) AS total FROM moves GROUP BY account;")
    left = Producer({"bootstrap.servers": node.bootstrap, "transactional.id": "left", "transaction.timeout.ms": 2000, "log_level": 0})
    left.init_transactions(20)
    left.begin_transaction()
    left.produce("moves", json.dumps({"account": "x", "amount": 1}))
    assert left.flush(20) == 0
    Bank(node).move(5, "commit")
    assert balances(node) == {}
    eventually(lambda: balances(node) == {"a": (1, -5), "b": (1, 5)}, 30, "the broker has aborted what was left open")


@pytest.mark.parametrize("kill", [False, True])
def test_a_successor_fences_and_ends_what_was_open(make_node, kill):
    """A producer with the same transactional id takes over: what its predecessor left open is aborted, also across a crash of the node."""
    from confluent_kafka import KafkaException
    node = make_node().start()
    first = Bank(node, "teller").move(10, "commit").move(20, "stay open")
    if kill:
        node.kill9()
        node.start()
    Bank(node, "teller").move(30, "commit")
    with pytest.raises(KafkaException) as refused:
        first.producer.commit_transaction(20)
    assert refused.value.args[0].fatal() or refused.value.args[0].txn_requires_abort()
    read = confluent_read(node, "moves", 4, **{"isolation.level": "read_committed"})
    assert sorted(json.loads(m.value())["amount"] for m in read) == [-30, -10, 10, 30]
