// Consumer groups: who reads, and how far behind.

import { type Component, Show, createMemo } from "solid-js";
import * as format from "../data/format";
import { overview } from "../data/live";
import { createPoll } from "../data/poll";
import type { Group } from "../data/types";
import { Empty, Loaded } from "../parts/empty";
import { Badge, Card, Facts, PageHead } from "../parts/page";
import { Table, type TableColumn } from "../parts/table";

const COLUMNS: TableColumn<Group>[] = [
  { title: "Name", by: (group) => group.name, wide: true, cell: (group) => <a href={`/groups/${encodeURIComponent(group.name)}`}>{group.name}</a> },
  { title: "State", by: (group) => group.state, cell: (group) => <Badge text={group.state} /> },
  { title: "Members", by: (group) => group.members.length, cell: (group) => group.members.length, number: true },
  { title: "Partitions", by: (group) => group.partitions.length, cell: (group) => group.partitions.length, number: true, minor: true },
  { title: "Lag", by: (group) => group.lag_total, cell: (group) => <span title={format.whole(group.lag_total)}>{format.count(group.lag_total)}</span>, number: true },
];

type Member = Group["members"][number];
type Partition = Group["partitions"][number];

const MEMBER_COLUMNS: TableColumn<Member>[] = [
  { title: "Client", by: (member) => member.client_id, cell: (member) => <span title={member.id}>{member.client_id || member.id}</span> },
  { title: "Host", by: (member) => member.host, cell: (member) => member.host },
  { title: "Assigned", cell: (member) => <span class="quiet">{member.assigned.join(", ") || "nothing"}</span>, wide: true },
];

const PARTITION_COLUMNS: TableColumn<Partition>[] = [
  { title: "Topic", by: (p) => p.topic, cell: (p) => <a href={`/topics/${encodeURIComponent(p.topic)}`}>{p.topic}</a> },
  { title: "Partition", by: (p) => p.partition, cell: (p) => p.partition, number: true },
  { title: "Committed", by: (p) => p.committed, cell: (p) => (p.committed === null ? <span class="null">none</span> : format.whole(p.committed)), number: true },
  { title: "End", by: (p) => p.end, cell: (p) => format.whole(p.end), number: true, minor: true },
  { title: "Lag", by: (p) => p.lag, cell: (p) => format.count(p.lag), number: true },
  { title: "Member", cell: (p) => <span class="quiet clip" title={p.member ?? ""}>{p.member ?? "none"}</span>, minor: true, wide: true },
];

export const GroupsPage: Component<{ name: string | undefined }> = (props) => {
  const groups = createPoll<Group[]>(() => "/api/groups");
  return (
    <Show
      when={props.name}
      fallback={
        <>
          <PageHead title="Groups" sub={<Show when={groups.data()}>{(all) => format.count(all().length)}</Show>} />
          <Loaded from={groups}>{(all) => <All groups={all()} />}</Loaded>
        </>
      }
    >
      {(name) => (
        <>
          <PageHead title={name()} under={{ href: "/groups", text: "Groups" }} />
          <Loaded from={groups}>{(all) => <One groups={all()} name={name()} />}</Loaded>
        </>
      )}
    </Show>
  );
};

const All: Component<{ groups: Group[] }> = (props) => (
  <Show
    when={props.groups.length > 0}
    fallback={
      <Empty
        title="No consumer groups yet"
        text="Start a consumer with a group.id, and its members and lag appear here."
        code={`headwater consume flights --group my-service   # at ${overview()?.node.kafka ?? "this node"}`}
      />
    }
  >
    <Card>
      <Table label="Groups" rows={props.groups} columns={COLUMNS} sort="Name" />
    </Card>
  </Show>
);

const One: Component<{ groups: Group[]; name: string }> = (props) => {
  const group = createMemo(() => props.groups.find((group) => group.name === props.name));
  return (
    <Show when={group()} fallback={<Empty title="This group is gone" text="It was deleted, or never committed an offset." />}>
      {(group) => (
        <div class="stack">
          <Card>
            <Facts
              facts={[
                { label: "State", value: <Badge text={group().state} /> },
                { label: "Lag", value: format.count(group().lag_total), title: format.whole(group().lag_total) },
                { label: "Members", value: group().members.length },
                { label: "Strategy", value: group().protocol || "none" },
              ]}
            />
          </Card>
          <Card title="Lag per partition">
            <Show when={group().partitions.length > 0} fallback={<p class="card-note">No offsets are committed.</p>}>
              <Table label="Partitions" rows={group().partitions} columns={PARTITION_COLUMNS} sort="Partition" />
            </Show>
          </Card>
          <Card title="Members">
            <Show when={group().members.length > 0} fallback={<p class="card-note">Nobody is connected. Committed offsets stay.</p>}>
              <Table label="Members" rows={group().members} columns={MEMBER_COLUMNS} />
            </Show>
          </Card>
        </div>
      )}
    </Show>
  );
};
