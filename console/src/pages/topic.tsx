// One topic: what it holds, and its newest records as they arrive.

import { type Component, For, Show, createMemo, createSignal } from "solid-js";
import { part } from "../data/api";
import * as format from "../data/format";
import { createPoll } from "../data/poll";
import type { TopicDetail } from "../data/types";
import { Loaded } from "../parts/empty";
import { Card, Facts, PageHead, PauseButton } from "../parts/page";
import { Table, type TableColumn } from "../parts/table";
import { Records } from "./records";

type Partition = TopicDetail["partitions"][number];

const PARTITION_COLUMNS: TableColumn<Partition>[] = [
  { title: "Partition", by: (p) => p.partition, cell: (p) => p.partition },
  { title: "Start", by: (p) => p.start, cell: (p) => format.whole(p.start), number: true },
  { title: "End", by: (p) => p.end, cell: (p) => format.whole(p.end), number: true },
  { title: "Records", by: (p) => p.end - p.start, cell: (p) => format.count(p.end - p.start), number: true },
  { title: "Size", by: (p) => p.bytes, cell: (p) => format.bytes(p.bytes), number: true, minor: true },
];

export const TopicPage: Component<{ name: string }> = (props) => {
  const detail = createPoll<TopicDetail>(() => `/api/topics/${part(props.name)}`, { key: "partition" });
  const [paused, setPaused] = createSignal(false);
  const [partition, setPartition] = createSignal("");
  const partitions = createMemo(() => detail.data()?.partitions.length ?? 0);
  return (
    <>
      <PageHead title={props.name} under={{ href: "/topics", text: "Topics" }}>
        <select class="input" aria-label="Partition" value={partition()} onChange={(event) => setPartition(event.currentTarget.value)}>
          <option value="">All partitions</option>
          <For each={[...Array(partitions()).keys()]}>{(n) => <option value={n}>Partition {n}</option>}</For>
        </select>
        <PauseButton paused={paused()} toggle={() => setPaused(!paused())} />
      </PageHead>
      <Loaded from={detail}>
        {(data) => (
          <div class="stack">
            <TopicFacts of={data()} />
            <Records topic={props.name} partition={partition()} paused={paused()} pause={() => setPaused(true)} />
            <div class="split">
              <Card title="Partitions">
                <Table label="Partitions" rows={data().partitions} columns={PARTITION_COLUMNS} sort="Partition" />
              </Card>
              <Config of={data()} />
            </div>
          </div>
        )}
      </Loaded>
    </>
  );
};

const TopicFacts: Component<{ of: TopicDetail }> = (props) => (
  <Card>
    <Facts
      facts={[
        { label: "Records", value: format.count(props.of.topic.records), title: format.whole(props.of.topic.records) },
        { label: "Size", value: format.bytes(props.of.topic.bytes) },
        { label: "Records in", value: format.rate(props.of.topic.records_in_per_s) },
        { label: "Bytes in", value: format.byteRate(props.of.topic.bytes_in_per_s) },
        { label: "Partitions", value: format.whole(props.of.topic.partitions) },
        { label: "Read by", value: props.of.read_by.join(", ") || "nothing yet" },
      ]}
    />
  </Card>
);

const Config: Component<{ of: TopicDetail }> = (props) => (
  <Card title="Configuration">
    <Show when={Object.keys(props.of.config).length > 0} fallback={<p class="card-note">Everything is at its default.</p>}>
      <dl class="pairs">
        <For each={Object.entries(props.of.config)}>
          {([name, value]) => (
            <div>
              <dt>{name}</dt>
              <dd>{value}</dd>
            </div>
          )}
        </For>
      </dl>
    </Show>
  </Card>
);
