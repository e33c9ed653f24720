"""Scenarios of idempotence and transactions, in the old way and that of KIP-890."""
import struct
import time

from kafka_messages import record_batch
from same_data import fetch, produce
from same_groups import generation

CONCURRENT = 51


def begin(run, name, version=4):
    """A producer of a transactional id: (producer id, epoch)."""
    body = {"TransactionalId": name, "TransactionTimeoutMs": 30_000}
    for _ in range(300):
        answer = run.peer.call("InitProducerId", version, body)
        if answer["ErrorCode"] == 0:
            return answer["ProducerId"], answer["ProducerEpoch"]
        assert answer["ErrorCode"] in (14, 15, 16, CONCURRENT), answer
        time.sleep(0.02)
    raise AssertionError(f"no producer for {name}: {answer}")


def settled(run, label, api, version, body, **more):
    """Asks again while an earlier end is under way, then notes the answer."""
    for _ in range(300):
        answer = run.peer.tell(api, version, body)
        if answer == "closed" or str(CONCURRENT) not in [str(code) for code in codes(answer)]:
            break
        time.sleep(0.02)
    label = f"{api} v{version} {label}"
    assert label not in run.answers, label
    from test_same_as_kafka import clean
    keep = more.get("keep")
    run.answers[label] = clean(keep(answer) if keep and answer != "closed" else answer)
    return answer


def codes(value):
    if isinstance(value, dict):
        return [code for key, inner in value.items() for code in ([inner] if key.endswith("ErrorCode") else codes(inner))]
    return [code for inner in value for code in codes(inner)] if isinstance(value, list) else []


def producers(run):
    for v in run.versions("InitProducerId"):
        begin(run, f"known-{v}")
        for label, given in {
            "no id": dict(TransactionalId=None), "empty id": dict(TransactionalId=""), "id": dict(TransactionalId=f"init-{v}"), "id again": dict(TransactionalId=f"init-{v}"),
            "no time": dict(TransactionalId=f"init-{v}", TransactionTimeoutMs=0), "long": dict(TransactionalId=f"init-{v}", TransactionTimeoutMs=2_000_000_000),
            "negative": dict(TransactionalId=f"init-{v}", TransactionTimeoutMs=-1), "no id, no time": dict(TransactionalId=None, TransactionTimeoutMs=0),
        }.items():
            settled(run, label, "InitProducerId", v, {"TransactionTimeoutMs": 30_000, **given})
        if v >= 3:
            for label, given in {"other producer": dict(ProducerId=999_999, ProducerEpoch=0), "epoch alone": dict(ProducerEpoch=3), "producer alone": dict(ProducerId=4),
                                 "other producer of none": dict(ProducerId=999_999, ProducerEpoch=0, TransactionalId=f"fresh-{v}")}.items():
                settled(run, label, "InitProducerId", v, {"TransactionalId": f"known-{v}", "TransactionTimeoutMs": 30_000, **given})
            pid, epoch = begin(run, f"known-{v}")
            settled(run, "its own", "InitProducerId", v, {"TransactionalId": f"known-{v}", "TransactionTimeoutMs": 30_000, "ProducerId": pid, "ProducerEpoch": epoch})
            settled(run, "its own again", "InitProducerId", v, {"TransactionalId": f"known-{v}", "TransactionTimeoutMs": 30_000, "ProducerId": pid, "ProducerEpoch": epoch})
            settled(run, "fenced", "InitProducerId", v, {"TransactionalId": f"known-{v}", "TransactionTimeoutMs": 30_000, "ProducerId": pid, "ProducerEpoch": max(epoch - 1, 0)})


def refused(run):
    topic = run.topic("txn-refused", 2)
    for api in ["AddPartitionsToTxn", "AddOffsetsToTxn", "EndTxn", "TxnOffsetCommit"]:
        for v in run.versions(api):
            name = f"{api}-{v}"
            pid, epoch = begin(run, name)
            for label, (who, producer, at) in {
                "unknown id": ("none", pid, epoch), "other producer": (name, 999_999, epoch), "older epoch": (name, pid, epoch - 1), "newer epoch": (name, pid, epoch + 1),
                "empty id": ("", pid, epoch),
            }.items():
                settled(run, label, api, v, request(api, v, who, producer, at, topic))
            if api == "EndTxn":
                settled(run, "nothing begun, commit", api, v, request(api, v, name, pid, epoch, topic))
            elif api == "AddPartitionsToTxn":
                settled(run, "unknown topic beside a good one", api, v, request(api, v, name, pid, epoch, topic, "not there"))
                settled(run, "good", api, v, request(api, v, name, pid, epoch, topic))
            else:
                settled(run, "good", api, v, request(api, v, name, pid, epoch, topic))
            run.peer.call("EndTxn", 3, {"TransactionalId": name, "ProducerId": pid, "ProducerEpoch": epoch, "Committed": False})


def request(api, version, name, producer, epoch, topic, *more_topics):
    who = {"TransactionalId": name, "ProducerId": producer, "ProducerEpoch": epoch}
    if api == "EndTxn":
        return {**who, "Committed": True}
    if api == "AddOffsetsToTxn":
        return {**who, "GroupId": "txn-group"}
    if api == "TxnOffsetCommit":
        part = {"PartitionIndex": 0, "CommittedOffset": 3, "CommittedMetadata": ""}
        return {**who, "GroupId": "txn-group", "Topics": [{"Name": topic, "Partitions": [part]}]}
    topics = [{"Name": name, "Partitions": [0]} for name in (topic, *more_topics)]
    if version >= 4:
        return {"Transactions": [{**who, "VerifyOnly": False, "Topics": topics}]}
    prefix = "V3AndBelow"
    return {prefix + key: value for key, value in {**who, "Topics": topics}.items()}


def shape(answer):
    """Batches of a fetch without bytes that hold times: (first offset, last, attributes, records)."""
    for topic in answer["Responses"]:
        for part in topic["Partitions"]:
            data, found = part["Records"] or b"", []
            while len(data) > 61:
                base, length = struct.unpack_from(">qi", data)
                found.append([base, base + struct.unpack_from(">i", data, 23)[0], struct.unpack_from(">h", data, 21)[0], struct.unpack_from(">i", data, 57)[0]])
                data = data[12 + length:]
            part["Records"] = found
            for aborted in part["AbortedTransactions"] or []:
                aborted["ProducerId"] = "its"
    return answer


def stable(run, topic):
    """Waits until no transaction is open at the end."""
    for _ in range(300):
        part = run.peer.call("Fetch", 12, fetch(run, 12, topic))["Responses"][0]["Partitions"][0]
        if part["LastStableOffset"] == part["HighWatermark"] > 0:
            return
        time.sleep(0.02)
    raise AssertionError(f"{topic} stays open: {part}")


def transaction(run, name, topic, new, commit, wrote=b"x"):
    """One transaction of the old way or of KIP-890: the epoch after it."""
    pid, epoch = begin(run, name)
    if not new:
        settled(run, f"{name} adds", "AddPartitionsToTxn", 3, request("AddPartitionsToTxn", 3, name, pid, epoch, topic))
    batch = record_batch([wrote, wrote], producer=(pid, epoch, 0), attributes=0x10)
    settled(run, f"{name} writes", "Produce", 12 if new else 11, produce(run, 12, topic, batch, transactional=name))
    run.ask(f"{name} open", "Fetch", 12, fetch(run, 12, topic, IsolationLevel=1), keep=shape)
    run.ask(f"{name} open", "ListOffsets", 5, {"ReplicaId": -1, "IsolationLevel": 1, "Topics": [{"Name": topic, "Partitions": [{"PartitionIndex": 0, "Timestamp": -1}]}]})
    run.ask(f"{name} open", "DescribeTransactions", 0, {"TransactionalIds": [name]}, keep=without_start)
    end = {"TransactionalId": name, "ProducerId": pid, "ProducerEpoch": epoch, "Committed": commit}
    settled(run, f"{name} ends", "EndTxn", 5 if new else 3, end)
    stable(run, topic)
    run.ask(f"{name} ended", "Fetch", 12, fetch(run, 12, topic, IsolationLevel=1), keep=shape)
    run.ask(f"{name} ended, uncommitted", "Fetch", 12, fetch(run, 12, topic), keep=shape)
    settled(run, f"{name} ends again", "EndTxn", 5 if new else 3, end)
    settled(run, f"{name} ends otherwise", "EndTxn", 5 if new else 3, {**end, "Committed": not commit})
    settled(run, f"{name} writes when ended", "Produce", 11, produce(run, 11, topic, record_batch([b"y"], producer=(pid, epoch, 2), attributes=0x10), transactional=name))
    run.ask(f"{name} after", "DescribeTransactions", 0, {"TransactionalIds": [name, "none"]}, keep=without_start)


def without_start(answer):
    for state in answer["TransactionStates"]:
        state["TransactionStartTimeMs"] = state["TransactionStartTimeMs"] > 0
        if state["TransactionState"] in ("CompleteCommit", "CompleteAbort", "PrepareCommit", "PrepareAbort"):
            state["TransactionState"] = state["TransactionState"].replace("Prepare", "Complete")
            state["Topics"] = []
    return answer


def transactions(run):
    for new in [False, True]:
        for commit in [True, False]:
            name = f"txn-{'new' if new else 'old'}-{'commit' if commit else 'abort'}"
            transaction(run, name, run.topic(name), new, commit)
    for v in run.versions("ListTransactions"):
        for label, given in {"all": {}, "state": {"StateFilters": ["CompleteAbort"]}, "unknown state": {"StateFilters": ["Nonsense"]}, "producer": {"ProducerIdFilters": [999_999]}}.items():
            run.ask(label, "ListTransactions", v, given, keep=listed)


def listed(answer):
    ours = [t for t in answer["TransactionStates"] if t["TransactionalId"].startswith("txn-")]
    answer["TransactionStates"] = sorted(ours, key=lambda t: t["TransactionalId"])
    return answer


def offsets_in_transactions(run):
    topic = run.topic("txn-offsets")
    for new in [False, True]:
        for commit in [True, False]:
            group = name = f"offsets-{new}-{commit}"
            member, number = generation(run, group)
            pid, epoch = begin(run, name)
            if not new:
                settled(run, f"{name} adds", "AddOffsetsToTxn", 3, {"TransactionalId": name, "ProducerId": pid, "ProducerEpoch": epoch, "GroupId": group})
            version = 5 if new else 3
            who = {"TransactionalId": name, "GroupId": group, "ProducerId": pid, "ProducerEpoch": epoch}
            topics = [{"Name": topic, "Partitions": [{"PartitionIndex": 0, "CommittedOffset": 8, "CommittedMetadata": "m"}, {"PartitionIndex": 7, "CommittedOffset": 8, "CommittedMetadata": ""}]}]
            for label, given in {"wrong member": dict(MemberId="who", GenerationId=number), "old generation": dict(MemberId=member, GenerationId=number + 4),
                                 "good": dict(MemberId=member, GenerationId=number), "no member": {}}.items():
                settled(run, f"{name} {label}", "TxnOffsetCommit", version, {**who, **given, "Topics": topics})
            asked = {"GroupId": group, "Topics": [{"Name": topic, "PartitionIndexes": [0]}]}
            run.ask(f"{name} pending", "OffsetFetch", 7, asked)
            run.ask(f"{name} pending, stable", "OffsetFetch", 7, {**asked, "RequireStable": True})
            settled(run, f"{name} ends", "EndTxn", 5 if new else 3, {"TransactionalId": name, "ProducerId": pid, "ProducerEpoch": epoch, "Committed": commit})
            for _ in range(300):
                if run.peer.call("OffsetFetch", 7, {**asked, "RequireStable": True})["Topics"][0]["Partitions"][0]["ErrorCode"] == 0:
                    break
                time.sleep(0.02)
            run.ask(f"{name} ended", "OffsetFetch", 7, asked)


SCENARIOS = [producers, refused, transactions, offsets_in_transactions]
