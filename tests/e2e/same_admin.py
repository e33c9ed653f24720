"""Scenarios of topics, configs, rights, users, quotas and of the cluster itself."""
import struct

from conftest import eventually
from kafka_messages import NO_UUID
from reference import Closed

NOWHERE = "00000000-0000-4000-8000-00000000beef"
TOPIC, GROUP, BROKER, CLUSTER = 2, 32, 4, 4
# What Headwater does not serve: see docs/compatibility.md.
ELSEWHERE = {76, 77, 78, 79, 83, 84, 85, 86, 87, 90, 91, 92}


def api_versions(run):
    for v in run.versions("ApiVersions"):
        run.ask("all", "ApiVersions", v, {"ClientSoftwareName": "a", "ClientSoftwareVersion": "1"} if v >= 3 else {}, keep=by_key)
        if v >= 3:
            for label, name, version in [("empty", "", ""), ("bad name", "a b", "1"), ("bad version", "a", "-1")]:
                run.ask(label, "ApiVersions", v, {"ClientSoftwareName": name, "ClientSoftwareVersion": version}, keep=by_key)


def by_key(answer):
    """Versions by API, features by name; what is served elsewhere is left out."""
    answer["ApiKeys"] = {f"api {k['ApiKey']}": f"{k['MinVersion']}-{k['MaxVersion']}" for k in answer["ApiKeys"] if k["ApiKey"] not in ELSEWHERE}
    for features in ("SupportedFeatures", "FinalizedFeatures"):
        if features in answer:
            answer[features] = {f["Name"]: f for f in answer[features]}
    return answer


def metadata(run):
    topic = run.topic("metadata", 2)
    for v in run.versions("Metadata"):
        off = {"AllowAutoTopicCreation": False} if v >= 4 else {}
        run.ask("one", "Metadata", v, {"Topics": [{"Name": topic}], **off})
        run.ask("twice", "Metadata", v, {"Topics": [{"Name": topic}, {"Name": topic}], **off})
        run.ask("none", "Metadata", v, {"Topics": [], **off}, keep=without_topics if v == 0 else None)
        run.ask("bad name", "Metadata", v, {"Topics": [{"Name": "a b"}], **off})
        run.ask("empty name", "Metadata", v, {"Topics": [{"Name": ""}], **off})
        if v >= 1:
            run.ask("all", "Metadata", v, {"Topics": None, **off}, keep=only_metadata)
        if v >= 4:
            run.ask("unknown", "Metadata", v, {"Topics": [{"Name": "not there"}, {"Name": "nor-here"}], **off})
            made = f"auto-{v}"
            ask = {"Topics": [{"Name": made}], "AllowAutoTopicCreation": True}
            run.ask("first use", "Metadata", v, ask)
            eventually(lambda: run.peer.call("Metadata", v, ask)["Topics"][0]["ErrorCode"] == 0, what=f"{made} is made")
            run.ask("made when first used", "Metadata", v, ask)
        if 8 <= v <= 10:
            run.ask("rights", "Metadata", v, {"Topics": [{"Name": topic}], **off, "IncludeClusterAuthorizedOperations": True, "IncludeTopicAuthorizedOperations": True})
        if v >= 12:
            run.ask("by id", "Metadata", v, {"Topics": [{"TopicId": run.ids[topic], "Name": None}], **off})
            run.ask("unknown id", "Metadata", v, {"Topics": [{"TopicId": NOWHERE, "Name": None}], **off})
            run.ask("id and name", "Metadata", v, {"Topics": [{"TopicId": run.ids[topic], "Name": topic}], **off})
            run.ask("id and empty name", "Metadata", v, {"Topics": [{"TopicId": run.ids[topic], "Name": ""}], **off})
            run.ask("unknown id and a name", "Metadata", v, {"Topics": [{"TopicId": NOWHERE, "Name": topic}], **off})
            run.ask("id beside a name", "Metadata", v, {"Topics": [{"TopicId": run.ids[topic], "Name": None}, {"Name": "not there"}], **off})
            run.ask("neither", "Metadata", v, {"Topics": [{"Name": None}], **off})
            run.ask("topic rights", "Metadata", v, {"Topics": [{"Name": topic}], **off, "IncludeTopicAuthorizedOperations": True})


def without_topics(answer):
    return {**answer, "Topics": []}


def only_metadata(answer):
    answer["Topics"] = [t for t in answer["Topics"] if t["Name"] == "metadata"]
    return answer


def described_topics(run):
    topic = run.topic("described", 3)
    asked = {"one": dict(Topics=[{"Name": topic}]), "limit": dict(Topics=[{"Name": topic}], ResponsePartitionLimit=2), "limit 0": dict(Topics=[{"Name": topic}], ResponsePartitionLimit=0),
             "unknown": dict(Topics=[{"Name": "not there"}]), "bad name": dict(Topics=[{"Name": "a b"}]),
             "from": dict(Topics=[{"Name": topic}], Cursor={"TopicName": topic, "PartitionIndex": 1}), "from -1": dict(Topics=[{"Name": topic}], Cursor={"TopicName": topic, "PartitionIndex": -1}),
             "from later": dict(Topics=[{"Name": topic}], Cursor={"TopicName": "zzz", "PartitionIndex": 0})}
    for label, body in asked.items():
        run.ask(label, "DescribeTopicPartitions", 0, body)


def created_topics(run):
    def one(name, partitions=1, replication=1, assignments=(), configs=()):
        return {"Name": name, "NumPartitions": partitions, "ReplicationFactor": replication,
                "Assignments": [{"PartitionIndex": i, "BrokerIds": b} for i, b in assignments], "Configs": [{"Name": k, "Value": x} for k, x in configs]}
    run.topic("taken.name")
    for v in run.versions("CreateTopics"):
        new = f"created-{v}"
        asked = {
            "good": one(new), "exists": one(new), "bad name": one("a b"), "empty": one(""), "dot": one("."), "dots": one(".."), "long": one("x" * 250),
            "collides": one("taken_name"), "no partitions": one(new + "n", 0), "-1": one(new + "d", -1, -1), "-2": one(new + "m", -2), "replication 2": one(new + "r", 1, 2), "replication 0": one(new + "z", 1, 0),
            "assigned": one(new + "a", -1, -1, [(0, [1]), (1, [1])]), "assigned elsewhere": one(new + "e", -1, -1, [(0, [7])]), "assigned with a gap": one(new + "g", -1, -1, [(0, [1]), (2, [1])]),
            "assigned twice": one(new + "w", -1, -1, [(0, [1]), (0, [1])]), "assigned to none": one(new + "o", -1, -1, [(0, [])]), "assigned to one twice": one(new + "t", -1, -1, [(0, [1, 1])]),
            "assigned and counted": one(new + "c", 2, 1, [(0, [1])]), "unknown config": one(new + "u", configs=[("nonsense", "1")]), "bad config": one(new + "b", configs=[("retention.ms", "soon")]),
            "config below": one(new + "l", configs=[("segment.bytes", "1")]), "null config": one(new + "k", configs=[("retention.ms", None)]), "policy": one(new + "p", configs=[("cleanup.policy", "compact,delete")]),
            "bad policy": one(new + "q", configs=[("cleanup.policy", "burn")]), "compression": one(new + "s", configs=[("compression.type", "zip")]),
        }
        for label, topic in asked.items():
            run.ask(label, "CreateTopics", v, {"Topics": [topic], "TimeoutMs": 5000}, keep=configs_by_name)
        run.ask("only validated", "CreateTopics", v, {"Topics": [one(new + "v")], "TimeoutMs": 5000, "ValidateOnly": True}, keep=configs_by_name)
        run.ask("only validated, exists", "CreateTopics", v, {"Topics": [one(new)], "TimeoutMs": 5000, "ValidateOnly": True})
        run.ask("twice in one", "CreateTopics", v, {"Topics": [one(new + "2"), one(new + "2")], "TimeoutMs": 5000})
        run.ask("nothing", "CreateTopics", v, {"Topics": [], "TimeoutMs": 5000})


def configs_by_name(answer):
    for topic in answer["Topics"]:
        if topic.get("Configs") is not None:
            topic["Configs"] = {c["Name"]: c for c in topic["Configs"]}
    return answer


def deleted_topics(run):
    for v in run.versions("DeleteTopics"):
        topic, second = run.topic(f"gone-{v}"), run.topic(f"gone-too-{v}")
        named = (lambda *names: {"Topics": [{"Name": n} for n in names]}) if v >= 6 else (lambda *names: {"TopicNames": list(names)})
        for label, body in {"unknown": named("not-there"), "twice": named(second, second), "good": named(topic), "nothing": named()}.items():
            run.ask(label, "DeleteTopics", v, {**body, "TimeoutMs": 5000})
        if v >= 6:
            for label, topic in {"unknown id": dict(TopicId=NOWHERE, Name=None), "neither": dict(Name=None, TopicId=NO_UUID), "both": dict(Name=second, TopicId=run.ids[second])}.items():
                run.ask(label, "DeleteTopics", v, {"Topics": [topic], "TimeoutMs": 5000})
            run.ask("by id", "DeleteTopics", v, {"Topics": [{"Name": None, "TopicId": run.ids[run.topic("gone-by-id")]}], "TimeoutMs": 5000})


def more_partitions(run):
    for v in run.versions("CreatePartitions"):
        topic = run.topic(f"grows-{v}", 2)
        for label, (name, count, assignments) in {
            "same": (topic, 2, None), "fewer": (topic, 1, None), "none": (topic, 0, None), "unknown": ("not-there", 3, None), "assigned": (topic, 3, [[1]]), "assigned elsewhere": (topic, 4, [[9]]),
            "assigned too few": (topic, 6, [[1]]), "assigned to none": (topic, 4, [[]]), "more": (topic, 5, None),
        }.items():
            assigned = None if assignments is None else [{"BrokerIds": b} for b in assignments]
            run.ask(label, "CreatePartitions", v, {"Topics": [{"Name": name, "Count": count, "Assignments": assigned}], "TimeoutMs": 5000, "ValidateOnly": False})
        one = {"Name": topic, "Count": 9, "Assignments": None}
        run.ask("only validated", "CreatePartitions", v, {"Topics": [one], "TimeoutMs": 5000, "ValidateOnly": True})
        run.ask("twice", "CreatePartitions", v, {"Topics": [one, one], "TimeoutMs": 5000, "ValidateOnly": False})


def configs(run):
    run.topic("configured", cleanup_policy="compact", retention_ms=12345)
    for v in run.versions("DescribeConfigs"):
        for label, resource in {"topic": (TOPIC, "configured", None), "two names": (TOPIC, "configured", ["retention.ms", "nonsense"]), "no names": (TOPIC, "configured", []),
                                "unknown": (TOPIC, "not-there", None), "bad name": (TOPIC, "a b", None), "empty name": (TOPIC, "", None), "broker 9": (BROKER, "9", None), "broker x": (BROKER, "x", None),
                                "group": (GROUP, "g", None), "empty group": (GROUP, "", None), "client metrics": (16, "m", None), "kind 77": (77, "x", None)}.items():
            kind, name, keys = resource
            body = {"Resources": [{"ResourceType": kind, "ResourceName": name, "ConfigurationKeys": keys}], "IncludeSynonyms": True}
            run.ask(label, "DescribeConfigs", v, body, keep=results_by_name)
        run.ask("without synonyms", "DescribeConfigs", v, {"Resources": [{"ResourceType": TOPIC, "ResourceName": "configured", "ConfigurationKeys": ["retention.ms"]}]}, keep=results_by_name)
        run.ask("nothing", "DescribeConfigs", v, {"Resources": []})


def results_by_name(answer):
    for result in answer["Results"]:
        result["Configs"] = {c["Name"]: {k: x for k, x in c.items() if k != "Documentation"} for c in result["Configs"] or []}
    return answer


def altered_configs(run):
    topic = run.topic("altered")
    for v in run.versions("AlterConfigs"):
        for label, (kind, name, values) in {
            "good": (TOPIC, topic, [("retention.ms", "5000")]), "unknown config": (TOPIC, topic, [("nonsense", "5")]), "bad value": (TOPIC, topic, [("retention.ms", "x")]), "null": (TOPIC, topic, [("retention.ms", None)]),
            "unknown topic": (TOPIC, "not-there", [("retention.ms", "1")]), "twice": (TOPIC, topic, [("retention.ms", "1"), ("retention.ms", "2")]), "nothing": (TOPIC, topic, []), "kind 77": (77, "x", []),
            "broker 9": (BROKER, "9", [("log.retention.ms", "1")]),
        }.items():
            body = {"Resources": [{"ResourceType": kind, "ResourceName": name, "Configs": [{"Name": k, "Value": x} for k, x in values]}], "ValidateOnly": False}
            run.ask(label, "AlterConfigs", v, body)
    set_, delete, append, subtract = range(4)
    for v in run.versions("IncrementalAlterConfigs"):
        for label, (kind, name, changes) in {
            "set": (TOPIC, topic, [("retention.ms", set_, "7000")]), "delete": (TOPIC, topic, [("retention.ms", delete, None)]), "append": (TOPIC, topic, [("cleanup.policy", append, "compact")]),
            "subtract": (TOPIC, topic, [("cleanup.policy", subtract, "compact")]), "append to a number": (TOPIC, topic, [("retention.ms", append, "1")]), "set null": (TOPIC, topic, [("retention.ms", set_, None)]),
            "twice": (TOPIC, topic, [("retention.ms", set_, "1"), ("retention.ms", delete, None)]), "operation 9": (TOPIC, topic, [("retention.ms", 9, "1")]), "unknown config": (TOPIC, topic, [("nonsense", set_, "1")]),
            "unknown topic": (TOPIC, "not-there", [("retention.ms", set_, "1")]), "bad value": (TOPIC, topic, [("segment.bytes", set_, "-5")]), "group": (GROUP, "g", [("consumer.session.timeout.ms", set_, "50000")]),
            "group, too long": (GROUP, "g", [("consumer.session.timeout.ms", set_, "5000000")]), "group, unknown": (GROUP, "g", [("nonsense", set_, "1")]), "no group": (GROUP, "", [("consumer.session.timeout.ms", set_, "50000")]),
            "kind 77": (77, "x", []), "broker 9": (BROKER, "9", [("log.retention.ms", set_, "1")]), "client metrics": (16, "m", [("interval.ms", set_, "1000")]), "client metrics, bad": (16, "m", [("nonsense", set_, "1000")]),
        }.items():
            body = {"Resources": [{"ResourceType": kind, "ResourceName": name, "Configs": [{"Name": k, "ConfigOperation": o, "Value": x} for k, o, x in changes]}], "ValidateOnly": False}
            run.ask(label, "IncrementalAlterConfigs", v, body)
    for v in run.versions("ListConfigResources"):
        run.ask("all", "ListConfigResources", v, {"ResourceTypes": []} if v else {}, keep=known_resources)
        for kind in [TOPIC, GROUP, 16, 8, 77] if v else []:
            run.ask(f"kind {kind}", "ListConfigResources", v, {"ResourceTypes": [kind]}, keep=known_resources)


def known_resources(answer):
    answer["ConfigResources"] = sorted(([r["ResourceName"], r.get("ResourceType")] for r in answer["ConfigResources"] if r["ResourceName"] in ("altered", "g", "m", "1")), key=str)
    return answer


def acls(run):
    def acl(kind=2, name="guarded", pattern=3, principal="User:a", host="*", operation=3, permission=3):
        return {"ResourceType": kind, "ResourceName": name, "ResourcePatternType": pattern, "Principal": principal, "Host": host, "Operation": operation, "PermissionType": permission}

    def wanted(kind=2, name="guarded", pattern=3, principal=None, host=None, operation=1, permission=1):
        return {"ResourceTypeFilter": kind, "ResourceNameFilter": name, "PatternTypeFilter": pattern, "PrincipalFilter": principal, "HostFilter": host, "Operation": operation, "PermissionType": permission}
    for v in run.versions("CreateAcls"):
        for label, given in {"good": {}, "again": {}, "prefixed": dict(name="guard", pattern=4), "wildcard": dict(name="*", principal="User:nobody", operation=4, permission=2), "pattern any": dict(pattern=1), "pattern match": dict(pattern=2), "kind any": dict(kind=1),
                             "kind 0": dict(kind=0), "operation any": dict(operation=1), "permission any": dict(permission=1), "principal": dict(principal="nobody"), "no name": dict(name=""), "cluster named": dict(kind=4, name="x", operation=12),
                             "odd operation": dict(kind=3, name="g", operation=12), "no host": dict(host="")}.items():
            run.ask(label, "CreateAcls", v, {"Creations": [acl(**given)]})
        run.ask("nothing", "CreateAcls", v, {"Creations": []})
    for v in run.versions("DescribeAcls"):
        for label, given in {"literal": {}, "any pattern": dict(pattern=1), "matching": dict(pattern=2), "all": dict(kind=1, name=None, pattern=1), "of none": dict(principal="User:zz"), "operation": dict(operation=3), "kind 0": dict(kind=0), "pattern 0": dict(pattern=0), "operation 0": dict(operation=0)}.items():
            run.ask(label, "DescribeAcls", v, wanted(**given), keep=acls_in_order)
    for v in run.versions("DeleteAcls"):
        for label, given in {"none": dict(name="zz"), "literal": {}, "matching": dict(pattern=2)}.items():
            run.ask(label, "DeleteAcls", v, {"Filters": [wanted(**given)]}, keep=filters_in_order)
        run.ask("nothing", "DeleteAcls", v, {"Filters": []})
    run.peer.call("DeleteAcls", 3, {"Filters": [wanted(kind=1, name=None, pattern=1)]})


def acls_in_order(answer):
    answer["Resources"].sort(key=str)
    for resource in answer["Resources"]:
        resource["Acls"].sort(key=str)
    return answer


def filters_in_order(answer):
    for result in answer["FilterResults"]:
        result["MatchingAcls"].sort(key=str)
    return answer


def users(run):
    up = {"Mechanism": 1, "Iterations": 4096, "Salt": b"salt", "SaltedPassword": b"p" * 32}
    for label, body in {
        "good": {"Upsertions": [{"Name": "ada", **up}]}, "few iterations": {"Upsertions": [{"Name": "ada", **up, "Iterations": 10}]}, "many iterations": {"Upsertions": [{"Name": "ada", **up, "Iterations": 100_000}]},
        "unknown way": {"Upsertions": [{"Name": "ada", **up, "Mechanism": 9}]}, "no name": {"Upsertions": [{"Name": "", **up}]}, "twice": {"Upsertions": [{"Name": "bob", **up}, {"Name": "bob", **up}]},
        "deletes unknown": {"Deletions": [{"Name": "nobody", "Mechanism": 1}]}, "deletes other way": {"Deletions": [{"Name": "ada", "Mechanism": 2}]}, "nothing": {},
    }.items():
        run.ask(label, "AlterUserScramCredentials", 0, {"Deletions": [], "Upsertions": [], **body})
    for label, named in {"one": ["ada"], "unknown": ["nobody"], "twice": ["ada", "ada"], "none": []}.items():
        run.ask(label, "DescribeUserScramCredentials", 0, {"Users": [{"Name": n} for n in named]})
    nobody = [{"Name": "nobody", "Mechanism": m} for m in (1, 2)]
    run.ask("deletes nobody twice", "AlterUserScramCredentials", 0, {"Deletions": nobody, "Upsertions": []})
    run.ask("deletes", "AlterUserScramCredentials", 0, {"Deletions": [{"Name": "ada", "Mechanism": 1}], "Upsertions": []})


def quotas(run):
    def change(kind="user", name="ada", key="producer_byte_rate", value=1000.0, remove=False):
        return {"Entity": [{"EntityType": kind, "EntityName": name}], "Ops": [{"Key": key, "Value": value, "Remove": remove}]}
    for v in run.versions("AlterClientQuotas"):
        for label, entry in {"good": change(), "default": change(name=None, value=5.0), "client": change("client-id", "c", "request_percentage", 10.0), "unknown key": change(key="nonsense"), "unknown kind": change("planet"), "ip": change("ip", "127.0.0.1", "connection_creation_rate", 5.0),
                             "ip named": change("ip", "nowhere.invalid.", "connection_creation_rate", 5.0), "wrong key": change("ip", "127.0.0.1"), "negative": change(value=-1.0), "fraction": change(value=1.5), "removes none": change(name="zz", remove=True), "empty name": change(name="")}.items():
            run.ask(label, "AlterClientQuotas", v, {"Entries": [entry], "ValidateOnly": False})
    for v in run.versions("DescribeClientQuotas"):
        for label, components in {"all": [], "exact": [("user", 0, "ada")], "default": [("user", 1, None)], "any": [("user", 2, None)], "none": [("user", 0, "zz")], "unknown kind": [("planet", 0, "x")], "twice": [("user", 2, None), ("user", 2, None)],
                                  "match 9": [("user", 9, None)], "exact, no name": [("user", 0, None)]}.items():
            for strict in [False, True]:
                body = {"Components": [{"EntityType": k, "MatchType": m, "Match": x} for k, m, x in components], "Strict": strict}
                run.ask(f"{label}, strict {strict}", "DescribeClientQuotas", v, body, keep=quotas_in_order)


def quotas_in_order(answer):
    if answer["Entries"]:
        answer["Entries"].sort(key=str)
    return answer


def cluster(run):
    topic = run.topic("cluster")
    for v in run.versions("DescribeCluster"):
        run.ask("plain", "DescribeCluster", v, {})
        run.ask("rights", "DescribeCluster", v, {"IncludeClusterAuthorizedOperations": True})
        if v >= 1:
            for kind in [1, 2, 9]:
                run.ask(f"endpoints {kind}", "DescribeCluster", v, {"EndpointType": kind}, keep=lambda a: {**a, "Brokers": len(a["Brokers"])})
    for v in run.versions("ElectLeaders"):
        for label, parts in {"good": [{"Topic": topic, "Partitions": [0]}], "unknown": [{"Topic": "not-there", "Partitions": [0]}], "partition 9": [{"Topic": topic, "Partitions": [9]}], "none": []}.items():
            for kind in [0, 1] if v >= 1 else [None]:
                run.ask(f"{label} {kind}", "ElectLeaders", v, {"TopicPartitions": parts, "TimeoutMs": 5000, **({"ElectionType": kind} if kind is not None else {})})
    for v in run.versions("AlterPartitionReassignments"):
        for label, (name, partition, replicas) in {"same": (topic, 0, [1]), "elsewhere": (topic, 0, [9]), "cancel": (topic, 0, None), "none": (topic, 0, []), "twice": (topic, 0, [1, 1]), "unknown": ("not-there", 0, [1]), "partition 9": (topic, 9, [1])}.items():
            run.ask(label, "AlterPartitionReassignments", v, {"Topics": [{"Name": name, "Partitions": [{"PartitionIndex": partition, "Replicas": replicas}]}], "TimeoutMs": 5000})
    for label, topics in {"all": None, "one": [{"Name": topic, "PartitionIndexes": [0]}], "unknown": [{"Name": "not-there", "PartitionIndexes": [0]}], "none": []}.items():
        run.ask(label, "ListPartitionReassignments", 0, {"Topics": topics, "TimeoutMs": 5000})
    for v in run.versions("DescribeLogDirs"):
        for label, topics in {"one": [{"Topic": topic, "Partitions": [0]}], "unknown": [{"Topic": "not-there", "Partitions": [0]}], "partition 9": [{"Topic": topic, "Partitions": [9]}]}.items():
            run.ask(label, "DescribeLogDirs", v, {"Topics": topics}, keep=log_dirs)
    for v in run.versions("DescribeQuorum"):
        for label, (name, partition) in {"metadata": ("__cluster_metadata", 0), "partition 1": ("__cluster_metadata", 1), "other": (topic, 0)}.items():
            run.ask(label, "DescribeQuorum", v, {"Topics": [{"TopicName": name, "Partitions": [{"PartitionIndex": partition}]}]}, keep=quorum)
    for api in ["DescribeDelegationToken", "ExpireDelegationToken", "RenewDelegationToken", "CreateDelegationToken"]:
        for v in run.versions(api):
            run.ask("any", api, v, {"Owners": None} if api.startswith("Describe") else {"Hmac": b"x"} if api[0] in "ER" else {"Renewers": [], "MaxLifetimeMs": -1}, keep=no_times)
    for v in run.versions("SaslHandshake"):
        run.ask("PLAIN", "SaslHandshake", v, {"Mechanism": "PLAIN"})
        run.peer.close()
    for v in run.versions("UpdateFeatures"):
        for label, (name, level) in {"unknown": ("nonsense", 1), "too new": ("group.version", 99), "same": ("group.version", 1)}.items():
            body = {"FeatureUpdates": [{"Feature": name, "MaxVersionLevel": level}], **({"ValidateOnly": True} if v >= 1 else {})}
            if v >= 1:
                run.ask(label, "UpdateFeatures", v, body)
    for v in run.versions("AlterReplicaLogDirs"):
        run.ask("unknown", "AlterReplicaLogDirs", v, {"Dirs": [{"Path": "/nowhere", "Topics": [{"Name": topic, "Partitions": [0]}]}]})


def log_dirs(answer):
    for result in answer["Results"]:
        result["LogDir"] = bool(result["LogDir"])
        for size in ("TotalBytes", "UsableBytes"):
            if size in result:
                result[size] = result[size] > 0
    return answer


def quorum(answer):
    for node in answer.get("Nodes", []):
        node["Listeners"] = [] if node["Listeners"] is None else [bool(listener["Name"]) for listener in node["Listeners"]]
    for topic in answer["Topics"]:
        for part in topic["Partitions"]:
            for key in ("HighWatermark", "LeaderEpoch"):
                part[key] = part[key] >= 0
            for replica in part["CurrentVoters"] + part["Observers"]:
                for key in ("LogEndOffset", "LastFetchTimestamp", "LastCaughtUpTimestamp"):
                    replica[key] = replica.get(key, -1) >= 0
                replica.pop("ReplicaDirectoryId", None)
    return answer


def no_times(answer):
    return {key: value for key, value in answer.items() if not key.endswith("Ms")}


def strangers(run):
    """Requests that no broker answers as asked."""
    for label, key, version in [("unknown API", 999, 0), ("negative API", -1, 0), ("version beyond", 3, 99), ("negative version", 3, -1), ("old produce", 0, 2), ("old fetch", 1, 3), ("inner API", 4, 0), ("ApiVersions beyond", 18, 99)]:
        try:
            run.answers[label] = run.peer.raw(struct.pack(">hhihb", key, version, 7, -1, 0))[:6]
        except Closed:
            run.answers[label] = "closed"
        run.peer.close()


SCENARIOS = [api_versions, metadata, described_topics, created_topics, deleted_topics, more_partitions, configs, altered_configs, acls, users, quotas, cluster, strangers]
