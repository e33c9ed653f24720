"""Apache Kafka's own tools against Apache Kafka and against Headwater: they have to print the same, but for ids, times and addresses.

`LIGHT_NODE` may name the broker of the examples, to run this without the whole of Headwater.
"""
import json
import os
import re
import subprocess

import pytest
from conftest import Node
from reference import LIB, Kafka

TOOLS = "org.apache.kafka.tools"
ADMIN = "kafka.admin"
TOPIC, CONFIG, ACL = f"{TOOLS}.TopicCommand", f"{ADMIN}.ConfigCommand", f"{ADMIN}.AclCommand"

# In their order: each finds what the former ones have left. A name in braces is a file of the test.
RUNS = [
    (TOPIC, "--create --topic tools --partitions 2 --config retention.ms=100000"),
    (TOPIC, "--alter --topic tools --partitions 3"),
    (TOPIC, "--create --topic tools"),
    (TOPIC, "--describe --topic tools"),
    (CONFIG, "--alter --entity-type topics --entity-name tools --add-config cleanup.policy=[compact,delete],max.message.bytes=2000"),
    (CONFIG, "--describe --all --entity-type topics --entity-name tools"),
    (CONFIG, "--alter --entity-type topics --entity-name tools --add-config retention.ms=soon"),
    (CONFIG, "--alter --entity-type brokers --entity-default --add-config log.retention.ms=100000"),
    (CONFIG, "--describe --entity-type brokers --entity-default"),
    (CONFIG, "--alter --entity-type users --entity-name alice --add-config SCRAM-SHA-256=[iterations=8192,password=pw],producer_byte_rate=1024"),
    (CONFIG, "--describe --entity-type users"),
    (CONFIG, "--alter --entity-type groups --entity-name g --add-config consumer.session.timeout.ms=50000"),
    (CONFIG, "--describe --entity-type groups --entity-name g"),
    (ACL, "--add --allow-principal User:bob --operation Read --topic secret --group sg"),
    (ACL, "--add --deny-principal User:eve --producer --topic pre --resource-pattern-type prefixed"),
    (ACL, "--list --topic prefix --resource-pattern-type match"),
    (ACL, "--remove --force --topic secret --group sg"),
    (ACL, "--list"),
    (f"{TOOLS}.LeaderElectionCommand", "--election-type preferred --topic tools --partition 0"),
    (f"{TOOLS}.reassign.ReassignPartitionsCommand", "--execute --reassignment-json-file {reassign}"),
    (f"{TOOLS}.GetOffsetShell", "--topic tools"),
    (f"{TOOLS}.DeleteRecordsCommand", "--offset-json-file {records}"),
    (TOPIC, "--delete --topic tools"),
    (TOPIC, "--delete --topic tools"),
]

OWN = [
    (r"^\[\d{4}-\d\d-\d\d [\d:,]+\] ", ""),
    (r"TopicId: \S+", "TopicId: ID"),
    (r"127\.0\.0\.1:\d+", "ADDRESS"),
]


class LightNode(Node):
    """The broker of the examples, as a node."""

    def start(self):
        self.log = open(self.data.parent / f"{self.data.name}.log", "ab")
        self.process = subprocess.Popen([os.environ["LIGHT_NODE"], self.data], stdout=subprocess.PIPE, stderr=self.log, text=True)
        self.kafka_port = int(self.process.stdout.readline())
        return self


@pytest.fixture(scope="module")
def brokers(tmp_path_factory):
    """Addresses of Kafka and of Headwater."""
    folder = tmp_path_factory.mktemp("tools")
    kafka, node = Kafka(folder / "kafka"), (LightNode if "LIGHT_NODE" in os.environ else Node)(folder / "data")
    try:
        yield f"127.0.0.1:{kafka.start().port}", node.start().bootstrap
    finally:
        kafka.stop()
        node.stop()


def run(tool, args, bootstrap, files):
    args = [files.get(arg.strip("{}"), arg) if arg.startswith("{") else arg for arg in args.split()]
    command = ["java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", f"{LIB}/*", tool, "--bootstrap-server", bootstrap, *args]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    lines = done.stdout.splitlines()
    for pattern, own in OWN:
        lines = [re.sub(pattern, own, line) for line in lines]
    # Stack traces are the tools' own, and sets have no order.
    return done.returncode, sorted(line for line in lines if not line.startswith(("\tat ", "Caused by")))


def test_tools_print_the_same(brokers, tmp_path):
    files = {"reassign": tmp_path / "reassign.json", "records": tmp_path / "records.json"}
    files["reassign"].write_text(json.dumps({"version": 1, "partitions": [{"topic": "tools", "partition": 0, "replicas": [1]}]}))
    files["records"].write_text(json.dumps({"version": 1, "partitions": [{"topic": "tools", "partition": 0, "offset": 0}]}))
    different = []
    for tool, args in RUNS:
        kafka, headwater = (run(tool, args, bootstrap, files) for bootstrap in brokers)
        if kafka != headwater:
            different.append(f"{tool} {args}\nKafka:     {kafka}\nHeadwater: {headwater}")
    assert not different, "\n".join(different)
