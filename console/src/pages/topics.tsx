// All topics.

import { type Component, Show, createMemo, createSignal } from "solid-js";
import * as format from "../data/format";
import { overview } from "../data/live";
import { createPoll } from "../data/poll";
import type { Topic } from "../data/types";
import { Empty, Loaded } from "../parts/empty";
import { Card, PageHead } from "../parts/page";
import { Table, type TableColumn } from "../parts/table";

const COLUMNS: TableColumn<Topic>[] = [
  {
    title: "Name",
    by: (topic) => topic.name,
    wide: true,
    cell: (topic) => (
      <>
        <a href={`/topics/${encodeURIComponent(topic.name)}`}>{topic.name}</a>
        <Show when={topic.internal}>
          <span class="tag">internal</span>
        </Show>
      </>
    ),
  },
  { title: "Partitions", by: (topic) => topic.partitions, cell: (topic) => format.whole(topic.partitions), number: true, minor: true },
  { title: "Records", by: (topic) => topic.records, cell: (topic) => <span title={format.whole(topic.records)}>{format.count(topic.records)}</span>, number: true },
  { title: "Size", by: (topic) => topic.bytes, cell: (topic) => format.bytes(topic.bytes), number: true },
  { title: "Records in", by: (topic) => topic.records_in_per_s, cell: (topic) => format.rate(topic.records_in_per_s), number: true },
  { title: "Bytes in", by: (topic) => topic.bytes_in_per_s, cell: (topic) => format.byteRate(topic.bytes_in_per_s), number: true, minor: true },
];

export const TopicsPage: Component = () => {
  const topics = createPoll<Topic[]>(() => "/api/topics");
  const [internal, setInternal] = createSignal(false);
  const [filter, setFilter] = createSignal("");
  const shown = createMemo(() => {
    const wanted = filter().toLowerCase();
    return (topics.data() ?? []).filter((topic) => (internal() || !topic.internal) && topic.name.toLowerCase().includes(wanted));
  });
  return (
    <>
      <PageHead title="Topics" sub={<Show when={topics.data()}>{format.count(shown().length)}</Show>}>
        <label class="check">
          <input type="checkbox" checked={internal()} onChange={(event) => setInternal(event.currentTarget.checked)} />
          Internal
        </label>
        <input type="search" class="input" placeholder="Filter by name" aria-label="Filter by name" onInput={(event) => setFilter(event.currentTarget.value)} />
      </PageHead>
      <Loaded from={topics}>
        {() => (
          <Show when={shown().length > 0} fallback={<NoTopics filtered={filter() !== ""} />}>
            <Card>
              <Table label="Topics" rows={shown()} columns={COLUMNS} sort="Name" />
            </Card>
          </Show>
        )}
      </Loaded>
    </>
  );
};

const NoTopics: Component<{ filtered: boolean }> = (props) => (
  <Show when={!props.filtered} fallback={<Empty title="No topic has that in its name" text="Clear the filter to see all of them." />}>
    <Empty
      title="No topics yet"
      text="Produce a record with any Kafka client; the topic is made for you. Or:"
      code={`headwater topic create payments\necho 'a:{"amount": 12}' | headwater produce payments   # to ${overview()?.node.kafka ?? "this node"}`}
    />
  </Show>
);
