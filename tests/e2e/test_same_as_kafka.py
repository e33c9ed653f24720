"""The same requests to Apache Kafka and to Headwater: the answers may differ only where it is said why.

Every API, every version that Kafka tells, with the cases at the edges: unknown things, empty and null, wrong epochs, limits. What is
compared is the whole answer but for what is each broker's own (see `clean`). `LIGHT_NODE` may name the broker of the examples, to run
this without the whole of Headwater.
"""
import os
import re
import subprocess
import uuid

import pytest
import same_admin
import same_data
import same_groups
import same_txns
from conftest import Node
from kafka_messages import NO_UUID, Definitions
from reference import LIB, Kafka, Peer

SCENARIOS = [*same_data.SCENARIOS, *same_groups.SCENARIOS, *same_admin.SCENARIOS, *same_txns.SCENARIOS]

# Where Headwater answers otherwise on purpose: (what was asked, where in the answer, why). Each has to be met in a run.
DIFFERENCES = [
    (r"Fetch v\d+ two batches fit", r".*\.Records", "Kafka cuts the last batch at the limit, and clients throw its piece away; Headwater gives whole batches"),
    (r"ConsumerGroupDescribe v\d+ after .*", r".*\.SubscribedTopicRegex", "a member of a classic group that was turned: no expression is null, as for every member without one"),
    (r"ApiVersions v\d+ all", r"\.SupportedFeatures\.share\.version", "share groups are not there yet"),
    (r"DescribeConfigs v\d+ group", r".*\.Configs\.(share|streams)\..*", "nor are streams groups"),
    (r"Metadata v\d+ neither", r".*", "a topic with neither name nor id: Kafka fails the whole request with an unknown error"),
    (r"IncrementalAlterConfigs v\d+ operation 9", r".*\.ErrorCode", "Kafka has an unknown error for an operation that does not exist"),
    (r"CreateAcls v\d+ (pattern|kind|operation|permission) .*", r".*", "values that do not exist are an invalid request; Kafka has an unknown error, or hangs up"),
    (r"DescribeAcls v\d+ (pattern|kind|operation) 0", r".*", "the same"),
    (r"CreateDelegationToken v\d+ any", r".*Principal(Type|Name)", "there are no tokens without SASL: nobody is named"),
    (r"UpdateFeatures v\d+ (unknown|too new)", r"\.Results", "what is wrong is said for each feature, too"),
]

# Fields whose value is each broker's own. A value that says "none" is compared, any other stands for itself.
OWN = {"TopicId": NO_UUID, "MemberId": "", "Leader": "", "ProducerId": -1, "SessionId": 0, "ClusterId": None, "FinalizedFeaturesEpoch": -1}
DROPPED = {"ThrottleTimeMs", "Host", "Port", "ErrorMessage", "BatchIndexErrorMessage"}


class Run:
    """One broker being asked; what it says is kept by what was asked."""

    def __init__(self, definitions, port, advertised=None):
        self.peer, self.answers, self.ids = Peer(definitions, port), {}, {}
        told = self.peer.call("ApiVersions", 4, {"ClientSoftwareName": "same", "ClientSoftwareVersion": "1"})["ApiKeys"]
        self.told = {key["ApiKey"]: (key["MinVersion"], key["MaxVersion"]) for key in told}
        self.advertised = advertised or self.told

    def versions(self, api):
        """What Kafka tells, for both."""
        low, high = self.advertised[self.peer.definitions.key(api)]
        return range(max(low, self.peer.definitions.versions(api)[0]), high + 1)

    def ask(self, label, api, version, body=None, keep=None):
        """Asks, notes the answer under the label, and gives it back. `keep` may take out or reorder what need not be equal."""
        label = f"{api} v{version} {label}"
        assert label not in self.answers, f"{label} is asked twice"
        answer = self.peer.tell(api, version, body)
        self.answers[label] = clean(keep(answer) if keep and answer != "closed" else answer)
        return answer

    def topic(self, name, partitions=1, **configs):
        """Makes a topic and waits until it can be used."""
        configs = [{"Name": key.replace("_", "."), "Value": str(value)} for key, value in configs.items()]
        body = {"Topics": [{"Name": name, "NumPartitions": partitions, "ReplicationFactor": 1, "Configs": configs}], "TimeoutMs": 10_000}
        made = self.peer.call("CreateTopics", 7, body)["Topics"][0]
        assert made["ErrorCode"] == 0, made
        self.ids[name] = made["TopicId"]
        asked = [{"PartitionIndex": partition, "Timestamp": -1} for partition in range(partitions)]
        for _ in range(1000):
            (metadata,) = self.peer.call("Metadata", 12, {"Topics": [{"Name": name}], "AllowAutoTopicCreation": False})["Topics"]
            (offsets,) = self.peer.call("ListOffsets", 5, {"ReplicaId": -1, "Topics": [{"Name": name, "Partitions": asked}]})["Topics"]
            codes = [metadata["ErrorCode"], *(p["ErrorCode"] for p in metadata["Partitions"] + offsets["Partitions"])]
            if not any(codes) and len(metadata["Partitions"]) == partitions:
                return name
        raise AssertionError(f"{name} has no leaders: {codes}")


def clean(value, name=""):
    """An answer without what is each broker's own."""
    if isinstance(value, dict):
        return {key: clean(inner, key) for key, inner in value.items() if key not in DROPPED}
    if isinstance(value, list):
        return sorted((clean(item, name) for item in value), key=place)
    if name in OWN and value != OWN[name] and isinstance(value, type(OWN[name]) if OWN[name] is not None else str):
        return f"<{name}>"
    return value


def place(item):
    """Where an item of a list stands when the order means nothing."""
    return [str(item.get(key)) for key in ("Name", "Topic", "GroupId", "PartitionIndex", "Partition", "ErrorCode")] if isinstance(item, dict) else []


def differing(kafka, ours, path=""):
    """(path, Kafka's, ours) wherever the two differ."""
    if isinstance(kafka, dict) and isinstance(ours, dict):
        for key in kafka.keys() | ours.keys():
            yield from differing(kafka.get(key, "absent"), ours.get(key, "absent"), f"{path}.{key}")
    elif isinstance(kafka, list) and isinstance(ours, list) and len(kafka) == len(ours):
        for index, pair in enumerate(zip(kafka, ours)):
            yield from differing(*pair, f"{path}[{index}]")
    elif kafka != ours:
        yield path, kafka, ours


@pytest.fixture(scope="module")
def definitions():
    return Definitions(LIB)


@pytest.fixture(scope="module")
def kafka(tmp_path_factory):
    broker = Kafka(tmp_path_factory.mktemp("kafka"))
    try:
        yield broker.start()
    finally:
        broker.stop()


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    """Of Headwater."""
    data = tmp_path_factory.mktemp("same") / "data"
    if "LIGHT_NODE" in os.environ:
        with subprocess.Popen([os.environ["LIGHT_NODE"], data], stdout=subprocess.PIPE, text=True) as light:
            yield int(light.stdout.readline())
            light.kill()
        return
    node = Node(data).start()
    yield node.kafka_port
    assert node.stop() == 0


@pytest.fixture(scope="module")
def met():
    """Which of the DIFFERENCES were met, and in which scenarios it was looked."""
    return set()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_same_answers(definitions, kafka, port, met, scenario):
    reference = Run(definitions, kafka.port)
    scenario(reference)
    ours = Run(definitions, port, reference.told)
    scenario(ours)
    assert reference.answers.keys() == ours.answers.keys()
    assert reference.answers, "nothing was asked"
    met.add(scenario)
    found = []
    for label, answer in reference.answers.items():
        other = [one for one in differing(answer, ours.answers[label]) if not explained(label, one[0], met)]
        if other:
            found.append(label + "".join(f"\n    {path or 'answer'}: Kafka {theirs!r}, Headwater {mine!r}" for path, theirs, mine in other[:4]))
    assert not found, f"{len(found)} of {len(reference.answers)} answers differ:\n" + "\n".join(found)


def explained(label, path, met):
    why = [d for d in DIFFERENCES if re.fullmatch(d[0], label) and re.fullmatch(d[1], path)]
    met.update(why)
    return why


def test_every_difference_is_one(met):
    if not met.issuperset(SCENARIOS):
        pytest.skip("not every scenario was compared")
    stale = [d for d in DIFFERENCES if d not in met]
    assert not stale, f"no longer different: {stale}"
