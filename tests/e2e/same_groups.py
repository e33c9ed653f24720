"""Scenarios of groups and committed offsets, classic and of the consumer protocol."""
from conftest import eventually

NOT_AVAILABLE = 15
RANGE = [{"Name": "range", "Metadata": b"m"}, {"Name": "roundrobin", "Metadata": b"r"}]


def coordinators(run):
    for v in run.versions("FindCoordinator"):
        for label, key, kind in [("group", "g", 0), ("transaction", "t", 1), ("share", "s", 2), ("kind 9", "x", 9), ("no key", "", 0)]:
            body = {"CoordinatorKeys": [key]} if v >= 4 else {"Key": key}
            if v == 0 and kind:
                continue
            body.update({"KeyType": kind} if v >= 1 else {})
            eventually(lambda: not being_made(run.peer.tell("FindCoordinator", v, body)), what="the coordinator's topic is there")
            run.ask(label, "FindCoordinator", v, body)
        if v >= 4:
            run.ask("two", "FindCoordinator", v, {"CoordinatorKeys": ["a", "b"], "KeyType": 0})
            run.ask("none", "FindCoordinator", v, {"CoordinatorKeys": [], "KeyType": 0})


def being_made(answer):
    """Kafka makes the topic of a coordinator when it is first asked for."""
    return not isinstance(answer, str) and NOT_AVAILABLE in [told["ErrorCode"] for told in answer.get("Coordinators") or [answer]]


def join(group, version, member="", session=10_000, rebalance=10_000, kind="consumer", protocols=RANGE, instance=None):
    body = {"GroupId": group, "SessionTimeoutMs": session, "MemberId": member, "ProtocolType": kind, "Protocols": protocols}
    if version >= 1:
        body["RebalanceTimeoutMs"] = rebalance
    if version >= 5:
        body["GroupInstanceId"] = instance
    return body


def joins(run):
    for v in run.versions("JoinGroup"):
        for label, given in {
            "no group": dict(group=""), "short session": dict(session=1), "long session": dict(session=100_000_000), "unknown member": dict(member="who"),
            "no protocols": dict(protocols=[]), "no kind": dict(kind=""), "both none": dict(kind="", protocols=[]),
        }.items():
            run.ask(label, "JoinGroup", v, join(**{"group": f"join-{v}", "version": v, **given}))
        group = f"joined-{v}"
        first = run.ask("first", "JoinGroup", v, join(group, v))
        member = first["MemberId"]
        if first["ErrorCode"] == 79:
            run.ask("with its id", "JoinGroup", v, join(group, v, member))
        run.ask("other kind", "JoinGroup", v, join(group, v, kind="connect"))
        run.ask("other protocols", "JoinGroup", v, join(group, v, protocols=[{"Name": "else", "Metadata": b""}]))
        if v >= 5:
            run.ask("static", "JoinGroup", v, join(f"static-{v}", v, instance="one"))
            run.ask("static, wrong id", "JoinGroup", v, join(f"static-{v}", v, member="wrong", instance="one"))


def generation(run, group, instance=None):
    """A group of one stable member: (member, generation)."""
    answer = run.peer.call("JoinGroup", 7, join(group, 7, instance=instance))
    if answer["ErrorCode"] == 79:
        answer = run.peer.call("JoinGroup", 7, join(group, 7, answer["MemberId"]))
    member, number = answer["MemberId"], answer["GenerationId"]
    assert answer["ErrorCode"] == 0, answer
    sync = {"GroupId": group, "GenerationId": number, "MemberId": member, "GroupInstanceId": instance, "ProtocolType": "consumer", "ProtocolName": "range",
            "Assignments": [{"MemberId": member, "Assignment": b"mine"}]}
    assert run.peer.call("SyncGroup", 5, sync)["ErrorCode"] == 0
    return member, number


def members(run):
    for api in ["SyncGroup", "Heartbeat", "LeaveGroup"]:
        for v in run.versions(api):
            group = f"{api}-{v}"
            member, number = generation(run, group)
            asked = {"unknown group": ("none", member, number), "unknown member": (group, "who", number), "no member": (group, "", number),
                     "old generation": (group, member, number - 1), "later generation": (group, member, number + 1), "no group": ("", member, number),
                     "good": (group, member, number), "good again": (group, member, number)}
            for label, (name, who, at) in asked.items():
                body = {"GroupId": name}
                if api == "LeaveGroup" and v >= 3:
                    body["Members"] = [{"MemberId": who, "GroupInstanceId": None}]
                else:
                    body["MemberId"] = who
                if api != "LeaveGroup":
                    body["GenerationId"] = at
                if api == "SyncGroup" and v >= 5:
                    body |= {"ProtocolType": "consumer", "ProtocolName": "range"}
                run.ask(label, api, v, body)
    for v in [v for v in run.versions("LeaveGroup") if v >= 3]:
        group = f"static-leave-{v}"
        generation(run, group, instance="one")
        for label, who, instance in [("wrong id", "wrong", "one"), ("unknown instance", "", "two"), ("by instance", "", "one")]:
            run.ask(label, "LeaveGroup", v, {"GroupId": group, "Members": [{"MemberId": who, "GroupInstanceId": instance}]})
        run.ask("nobody", "LeaveGroup", v, {"GroupId": group, "Members": []})


def groups(run):
    generation(run, "stable")
    gone, _ = generation(run, "empty")
    run.peer.call("LeaveGroup", 3, {"GroupId": "empty", "Members": [{"MemberId": gone, "GroupInstanceId": None}]})
    for v in run.versions("DescribeGroups"):
        for ops in [False, True] if v >= 3 else [None]:
            body = {"Groups": ["stable", "empty", "none", ""], **({"IncludeAuthorizedOperations": ops} if ops is not None else {})}
            run.ask(f"all, operations {ops}", "DescribeGroups", v, body, keep=named_hosts)
        run.ask("nothing", "DescribeGroups", v, {"Groups": []})
    for v in run.versions("ListGroups"):
        filters = [{}] + ([{"StatesFilter": [s]} for s in ["Stable", "stable", "Empty", "Dead", "Nonsense"]] if v >= 4 else [])
        filters += [{"TypesFilter": [t]} for t in ["classic", "Consumer", "nonsense"]] if v >= 5 else []
        for given in filters:
            run.ask(str(given), "ListGroups", v, given, keep=only_ours)
    for v in run.versions("DeleteGroups"):
        run.ask("all", "DeleteGroups", v, {"GroupsNames": ["stable", "empty" if v == 0 else "none", "none", ""]}, keep=sorted_results)


def named_hosts(answer):
    for group in answer["Groups"]:
        for member in group["Members"]:
            member["ClientHost"] = member["ClientHost"].strip("/")
    return answer


def only_ours(answer):
    answer["Groups"] = sorted((g for g in answer["Groups"] if g["GroupId"] in ("stable", "empty")), key=lambda g: g["GroupId"])
    return answer


def sorted_results(answer):
    answer["Results"].sort(key=lambda result: result["GroupId"])
    return answer


def commit(run, version, group, topic, offset=5, member="", number=-1, partition=0, **more):
    named = {"TopicId": run.ids.get(topic)} if version >= 10 else {"Name": topic}
    part = {"PartitionIndex": partition, "CommittedOffset": offset, "CommittedMetadata": "note", **more}
    return {"GroupId": group, "GenerationIdOrMemberEpoch": number, "MemberId": member, "Topics": [{**named, "Partitions": [part]}]}


def commits(run):
    topic = run.topic("commits", 2)
    for v in run.versions("OffsetCommit"):
        group = f"commits-{v}"
        member, number = generation(run, group)
        for label, given in {
            "simple": dict(group=f"simple-{v}"), "simple into a live group": dict(group=group), "member": dict(group=group, member=member, number=number),
            "old generation": dict(group=group, member=member, number=0), "unknown member": dict(group=group, member="who", number=number),
            "group unknown": dict(group=f"none-{v}", member="who", number=3), "no group": dict(group=""), "unknown topic": dict(group=f"simple-{v}", topic="not there"),
            "partition 9": dict(group=f"simple-{v}", partition=9), "negative": dict(group=f"simple-{v}", offset=-1), "null note": dict(group=f"simple-{v}", CommittedMetadata=None),
            "long note": dict(group=f"simple-{v}", CommittedMetadata="x" * 5000), "partition 1": dict(group=f"simple-{v}", partition=1, offset=7),
        }.items():
            run.ask(label, "OffsetCommit", v, commit(run, v, **{"topic": topic, **given}))
        run.ask("nothing", "OffsetCommit", v, {"GroupId": f"simple-{v}", "GenerationIdOrMemberEpoch": -1, "Topics": []})
    for v in run.versions("OffsetFetch"):
        for group in ["simple-8", "none", ""]:
            for label, topics in {"one": [{"Name": topic, "PartitionIndexes": [0, 1, 9]}], "unknown topic": [{"Name": "not there", "PartitionIndexes": [0]}],
                                  "nothing": [], "all": None}.items():
                if topics is None and v < 2:
                    continue
                body = {"GroupId": group, "Topics": topics} if v < 8 else {"Groups": [{"GroupId": group, "Topics": topics}]}
                run.ask(f"{label} of {group}", "OffsetFetch", v, body, keep=in_order)
        if v >= 8:
            run.ask("two groups", "OffsetFetch", v, {"Groups": [{"GroupId": g, "Topics": [{"Name": topic, "PartitionIndexes": [0]}]} for g in ["simple-8", "simple-7"]]})
        if v >= 9:
            run.ask("stale member", "OffsetFetch", v, {"Groups": [{"GroupId": "simple-8", "MemberId": "who", "MemberEpoch": 4, "Topics": [{"Name": topic, "PartitionIndexes": [0]}]}]})
    generation(run, "live")
    for v in run.versions("OffsetDelete"):
        for group in ["simple-8", "none", "", "live"]:
            run.ask(f"of {group}", "OffsetDelete", v, {"GroupId": group, "Topics": [{"Name": topic, "Partitions": [{"PartitionIndex": 0}, {"PartitionIndex": 9}]}]})
    run.ask("after deletion", "OffsetFetch", 7, {"GroupId": "simple-8", "Topics": [{"Name": topic, "PartitionIndexes": [0, 1]}]})


def in_order(answer):
    for holder in [answer, *answer.get("Groups", [])]:
        for topic in sorted(holder.get("Topics", []), key=lambda t: t["Name"]):
            topic["Partitions"].sort(key=lambda p: p["PartitionIndex"])
    return answer


MEMBER = "AAAAAAAAAAAAAAAAAAAAAA"


def beat(group, version, epoch=0, member=None, **more):
    member = (MEMBER if version >= 1 else "") if member is None else member
    opening = {"RebalanceTimeoutMs": 10_000, "SubscribedTopicNames": ["beats"], "TopicPartitions": []} if epoch == 0 else {}
    return {"GroupId": group, "MemberId": member, "MemberEpoch": epoch, **opening, **more}


def consumer_groups(run):
    run.topic("beats", 2)
    for v in run.versions("ConsumerGroupHeartbeat"):
        for label, given in {
            "no group": dict(group=""), "epoch -3": dict(epoch=-3), "no topics": dict(SubscribedTopicNames=None), "no partitions": dict(TopicPartitions=None),
            "no time": dict(RebalanceTimeoutMs=-1), "unknown assignor": dict(ServerAssignor="nonsense"), "unknown member": dict(epoch=4),
            "empty instance": dict(InstanceId=""), "leaves unknown": dict(epoch=-1), "instance leaves without one": dict(epoch=-2),
        }.items():
            run.ask(label, "ConsumerGroupHeartbeat", v, beat(**{"group": f"beats-refused-{v}", "version": v, **given}))
        if v >= 1:
            run.ask("no member", "ConsumerGroupHeartbeat", v, beat(f"beats-refused-{v}", v, member=""))
            run.ask("bad pattern", "ConsumerGroupHeartbeat", v, beat(f"beats-refused-{v}", v, SubscribedTopicNames=None, SubscribedTopicRegex="("))
        group = f"beats-{v}"
        first = run.ask("joins", "ConsumerGroupHeartbeat", v, beat(group, v))
        member, epoch = first["MemberId"], first["MemberEpoch"]
        owned = [{"TopicId": run.ids["beats"], "Partitions": [0, 1]}]
        run.ask("owns", "ConsumerGroupHeartbeat", v, beat(group, v, epoch, member, TopicPartitions=owned))
        run.ask("idle", "ConsumerGroupHeartbeat", v, beat(group, v, epoch, member))
        run.ask("older epoch", "ConsumerGroupHeartbeat", v, beat(group, v, epoch - 1 or 9, member))
        run.ask("newer epoch", "ConsumerGroupHeartbeat", v, beat(group, v, epoch + 3, member))
        for described in run.versions("ConsumerGroupDescribe"):
            for ops in [False, True]:
                run.ask(f"after v{v}, {ops}", "ConsumerGroupDescribe", described, {"GroupIds": [group, "none", "", "commits-8"], "IncludeAuthorizedOperations": ops}, keep=named_members)
        run.ask("classic join", "JoinGroup", 9 - v, join(group, 9 - v, protocols=[{"Name": "range", "Metadata": b"x"}]))
        run.ask(f"classic describe after v{v}", "DescribeGroups", 6, {"Groups": [group]}, keep=named_hosts)
        run.ask(f"commit of a stale epoch, v{v}", "OffsetCommit", 9, commit(run, 9, group, "beats", member=member, number=epoch + 5))
        run.ask(f"commit of an old client, v{v}", "OffsetCommit", 7, commit(run, 7, group, "beats", member=member, number=epoch))
        run.ask(f"commit, v{v}", "OffsetCommit", 9, commit(run, 9, group, "beats", member=member, number=epoch))
        run.ask("leaves", "ConsumerGroupHeartbeat", v, beat(group, v, -1, member))
        member = run.ask("joins again", "ConsumerGroupHeartbeat", v, beat(group, v))["MemberId"]
        removed = [{"MemberId": who, "GroupInstanceId": None} for who in ("stranger", member)]
        run.ask(f"is removed by an administrator, v{v}", "LeaveGroup", 5, {"GroupId": group, "Members": removed})
        run.ask(f"deletes after v{v}", "DeleteGroups", 2, {"GroupsNames": [group]})


def named_members(answer):
    for group in answer["Groups"]:
        for member in group["Members"]:
            member["ClientHost"] = member["ClientHost"].strip("/")
    return answer


SCENARIOS = [coordinators, joins, members, groups, commits, consumer_groups]
