"""Scenarios of records and offsets: produce, fetch, list offsets, epochs, delete records."""
from kafka_messages import NOW_MS, crc32c, record_batch

NOWHERE = "00000000-0000-4000-8000-00000000beef"


def produce(run, version, topic, records, partition=0, acks=-1, transactional=None):
    named = {"TopicId": run.ids.get(topic, NOWHERE)} if version >= 13 else {"Name": topic}
    data = {**named, "PartitionData": [{"Index": partition, "Records": records}]}
    return {"TransactionalId": transactional, "Acks": acks, "TimeoutMs": 5000, "TopicData": [data]}


def fetch(run, version, topic, offset=0, partition=0, at_most=1 << 20, of_partition=1 << 20, wait=0, **more):
    named = {"TopicId": run.ids.get(topic, NOWHERE)} if version >= 13 else {"Topic": topic}
    inner = {key: more.pop(key) for key in ["CurrentLeaderEpoch", "LastFetchedEpoch"] if key in more}
    part = {"Partition": partition, "FetchOffset": offset, "PartitionMaxBytes": of_partition, **inner}
    replica = {} if version >= 15 else {"ReplicaId": -1}
    return {**replica, "MaxWaitMs": wait, "MinBytes": 1, "MaxBytes": at_most, "Topics": [{**named, "Partitions": [part]}], **more}


def good_batches(run):
    for v in run.versions("Produce"):
        topic = run.topic(f"produce-{v}", 2)
        run.ask("all", "Produce", v, produce(run, v, topic, record_batch([b"a", b"b"])))
        run.ask("leader only", "Produce", v, produce(run, v, topic, record_batch([b"c"]), acks=1))
        run.ask("with a base offset", "Produce", v, produce(run, v, topic, record_batch([b"d"], base=77)))
        run.ask(f"after v{v}", "Fetch", 12, fetch(run, 12, topic))


def refused_batches(run):
    whole = record_batch([b"a"])
    bad = {
        "acks 5": dict(records=whole, acks=5),
        "acks -2": dict(records=whole, acks=-2),
        "partition 9": dict(records=whole, partition=9),
        "partition -1": dict(records=whole, partition=-1),
        "no records": dict(records=b""),
        "short": dict(records=whole[:40]),
        "cut": dict(records=whole[:-1]),
        "crc": dict(records=whole[:-1] + b"\xff"),
        "magic 1": dict(records=whole[:16] + b"\x01" + whole[17:]),
        "magic 0": dict(records=whole[:16] + b"\x00" + whole[17:]),
        "magic 3": dict(records=whole[:16] + b"\x03" + whole[17:]),
        "two batches": dict(records=whole + whole),
        "count": dict(records=miscounted()),
        "control": dict(records=record_batch([b"a"], attributes=0x20)),
        "transactional": dict(records=record_batch([b"a"], attributes=0x10)),
        "producer without epoch": dict(records=record_batch([b"a"], producer=(5, -1, 0))),
        "sequence -1": dict(records=record_batch([b"a"], producer=(5, 0, -1))),
        "starts at sequence 3": dict(records=record_batch([b"a"], producer=(6, 0, 3))),
        "timestamp -1": dict(records=record_batch([b"a"], timestamp=-1)),
        "timestamp -9": dict(records=record_batch([b"a"], timestamp=-9)),
        "far future": dict(records=record_batch([b"a"], timestamp=9_000_000_000_000)),
    }
    for v in run.versions("Produce"):
        topic = run.topic(f"refused-{v}")
        for label, given in bad.items():
            run.ask(label, "Produce", v, produce(run, v, topic, **given))
        compacted = run.topic(f"refused-compact-{v}", cleanup_policy="compact")
        run.ask("keyless", "Produce", v, produce(run, v, compacted, whole))
        small = run.topic(f"refused-small-{v}", max_message_bytes=100)
        run.ask("too large", "Produce", v, produce(run, v, small, record_batch([b"x" * 100])))
        append = run.topic(f"append-time-{v}", message_timestamp_type="LogAppendTime")
        run.ask("append time", "Produce", v, produce(run, v, append, whole), keep=append_time)
        run.ask("unknown topic", "Produce", v, produce(run, v, "a b", whole))
        run.ask("nothing", "Produce", v, {"Acks": -1, "TimeoutMs": 100, "TopicData": []})


def miscounted():
    batch = bytearray(record_batch([b"a"]))
    batch[23:27] = (3).to_bytes(4, "big")
    batch[57:61] = (4).to_bytes(4, "big")
    batch[17:21] = crc32c(bytes(batch[21:])).to_bytes(4, "big")
    return bytes(batch)


def append_time(answer):
    part = answer["Responses"][0]["PartitionResponses"][0]
    part["LogAppendTimeMs"] = part["LogAppendTimeMs"] > 1_600_000_000_000
    return answer


def sequences(run):
    topic = run.topic("sequences")
    pid = run.peer.call("InitProducerId", 4, {"TransactionTimeoutMs": 1000})["ProducerId"]
    steps = [("first", 0, 0), ("again", 0, 0), ("next", 0, 2), ("gap", 0, 9), ("before", 0, 1), ("bumped not at 0", 1, 5), ("bumped", 1, 0), ("old epoch", 0, 4)]
    for label, epoch, sequence in steps:
        run.ask(label, "Produce", 9, produce(run, 9, topic, record_batch([b"a", b"b"], producer=(pid, epoch, sequence))))
    run.ask("of producers", "DescribeProducers", 0, {"Topics": [{"Name": topic, "PartitionIndexes": [0, 7]}, {"Name": "none", "PartitionIndexes": [0]}]},
            keep=without_times)


def without_times(answer):
    for topic in answer["Topics"]:
        for partition in topic["Partitions"]:
            for producer in partition["ActiveProducers"]:
                producer["LastTimestamp"] = producer["LastTimestamp"] > 0
    return answer


def fetches(run):
    for v in run.versions("Fetch"):
        topic = run.topic(f"fetch-{v}", 2)
        for values in ([b"a", b"b"], [b"c" * 3000], [b"d"]):
            run.peer.call("Produce", 9, produce(run, 9, topic, record_batch(values)))
        asked = {
            "all": {}, "second batch": dict(offset=2), "inside a batch": dict(offset=1), "end": dict(offset=4),
            "beyond": dict(offset=5), "offset -1": dict(offset=-1), "offset -2": dict(offset=-2), "partition 9": dict(partition=9),
            "tiny limit": dict(at_most=1), "tiny partition limit": dict(of_partition=1), "no bytes": dict(at_most=0, of_partition=0),
            "two batches fit": dict(offset=0, of_partition=200), "empty partition": dict(partition=1),
            "committed": dict(IsolationLevel=1),
            "unknown topic": dict(topic="not there"),
        }
        if v >= 9:
            asked |= {"newer epoch": dict(CurrentLeaderEpoch=5), "current epoch": dict(CurrentLeaderEpoch=0)}
        if v >= 12:
            asked |= {"fetched epoch": dict(LastFetchedEpoch=0), "later fetched epoch": dict(LastFetchedEpoch=3)}
        for label, given in asked.items():
            run.ask(label, "Fetch", v, fetch(run, v, **{"topic": topic, **given}))
        run.ask("nothing", "Fetch", v, {"MaxWaitMs": 0, "MinBytes": 1, "MaxBytes": 100, "Topics": []})


def fetch_sessions(run):
    for v in [v for v in run.versions("Fetch") if v >= 7]:
        topic = run.topic(f"session-{v}", 2)
        full = run.ask("opens", "Fetch", v, fetch(run, v, topic, SessionEpoch=0))
        session = full["SessionId"]
        run.peer.call("Produce", 9, produce(run, 9, topic, record_batch([b"a"])))
        empty = {"MaxWaitMs": 0, "MinBytes": 1, "MaxBytes": 1 << 20, "Topics": []}
        run.ask("what is new", "Fetch", v, {**empty, "SessionId": session, "SessionEpoch": 1})
        run.ask("moved on", "Fetch", v, fetch(run, v, topic, offset=1, SessionId=session, SessionEpoch=2))
        run.ask("nothing new", "Fetch", v, {**empty, "SessionId": session, "SessionEpoch": 3})
        run.ask("wrong epoch", "Fetch", v, {**empty, "SessionId": session, "SessionEpoch": 9})
        run.ask("unknown session", "Fetch", v, {**empty, "SessionId": 12345, "SessionEpoch": 1})
        named = {"TopicId": run.ids[topic]} if v >= 13 else {"Topic": topic}
        run.ask("forgets", "Fetch", v, {**empty, "SessionId": session, "SessionEpoch": 4, "ForgottenTopicsData": [{**named, "Partitions": [0]}]})
        run.ask("closes", "Fetch", v, {**empty, "SessionId": session, "SessionEpoch": -1})


def offsets(run):
    for v in run.versions("ListOffsets"):
        topic = run.topic(f"offsets-{v}")
        for n in range(3):
            run.peer.call("Produce", 9, produce(run, 9, topic, record_batch([b"a", b"b"], timestamp=NOW_MS + n * 1000)))
        times = {str(time): time for time in range(-7, 1)} | {"second": NOW_MS + 1000, "after second": NOW_MS + 1001, "later": NOW_MS + 9000}
        for label, time in times.items():
            run.ask(f"at {label}", "ListOffsets", v, list_offsets(v, topic, time))
            run.ask(f"committed at {label}", "ListOffsets", v, {**list_offsets(v, topic, time), **({"IsolationLevel": 1} if v >= 2 else {})})
        run.ask("unknown topic", "ListOffsets", v, list_offsets(v, "not there", -1))
        run.ask("unknown partition", "ListOffsets", v, list_offsets(v, topic, -1, partition=9))
        run.ask("partition twice", "ListOffsets", v, list_offsets(v, topic, -1, partition=[0, 0]))
        if v >= 4:
            run.ask("newer epoch", "ListOffsets", v, list_offsets(v, topic, -1, CurrentLeaderEpoch=4))
            run.ask("current epoch", "ListOffsets", v, list_offsets(v, topic, -1, CurrentLeaderEpoch=0))


def list_offsets(version, topic, time, partition=0, **more):
    parts = [{"PartitionIndex": p, "Timestamp": time, **more} for p in (partition if isinstance(partition, list) else [partition])]
    return {"ReplicaId": -1, "Topics": [{"Name": topic, "Partitions": parts}]}


def epochs(run):
    topic = run.topic("epochs")
    run.peer.call("Produce", 9, produce(run, 9, topic, record_batch([b"a", b"b"])))
    for v in run.versions("OffsetForLeaderEpoch"):
        replica = {"ReplicaId": -1} if v >= 3 else {}
        for label, partition in {
            "epoch 0": dict(LeaderEpoch=0), "epoch 5": dict(LeaderEpoch=5), "epoch -1": dict(LeaderEpoch=-1), "newer": dict(LeaderEpoch=0, CurrentLeaderEpoch=3),
            "current": dict(LeaderEpoch=0, CurrentLeaderEpoch=0), "partition 9": dict(Partition=9, LeaderEpoch=0),
        }.items():
            run.ask(label, "OffsetForLeaderEpoch", v, {**replica, "Topics": [{"Topic": topic, "Partitions": [{"Partition": 0, **partition}]}]})
        run.ask("unknown", "OffsetForLeaderEpoch", v, {**replica, "Topics": [{"Topic": "not there", "Partitions": [{"Partition": 0, "LeaderEpoch": 0}]}]})


def deleted_records(run):
    for v in run.versions("DeleteRecords"):
        topic = run.topic(f"deleted-{v}")
        run.peer.call("Produce", 9, produce(run, 9, topic, record_batch([b"a", b"b", b"c"])))
        for label, partition, offset in [("first", 0, 1), ("backwards", 0, 0), ("all", 0, -1), ("beyond", 0, 9), ("offset -2", 0, -2), ("partition 9", 9, 0)]:
            body = {"Topics": [{"Name": topic, "Partitions": [{"PartitionIndex": partition, "Offset": offset}]}], "TimeoutMs": 5000}
            run.ask(label, "DeleteRecords", v, body)
        run.ask("unknown", "DeleteRecords", v, {"Topics": [{"Name": "not there", "Partitions": [{"PartitionIndex": 0, "Offset": 0}]}], "TimeoutMs": 5000})
        run.ask("below the start", "Fetch", 12, fetch(run, 12, topic, offset=1)) if v == 0 else None
        run.ask(f"start after v{v}", "ListOffsets", 5, list_offsets(5, topic, -2))


SCENARIOS = [good_batches, refused_batches, sequences, fetches, fetch_sessions, offsets, epochs, deleted_records]
