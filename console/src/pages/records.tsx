// The newest records of a topic, decoded. Opening one stops the list, so that it does not run away.

import { type Component, For, Show, createMemo, createSignal } from "solid-js";
import { part } from "../data/api";
import * as format from "../data/format";
import { now } from "../data/live";
import { createPoll } from "../data/poll";
import type { TopicRecord } from "../data/types";
import { Empty, Loaded } from "../parts/empty";
import { Icon } from "../parts/icon";
import { Card } from "../parts/page";
import { PayloadBlock, PayloadLine } from "../parts/payload";

const SHOWN = 50;

interface Props {
  topic: string;
  partition: string;
  paused: boolean;
  pause: () => void;
}

interface Answer {
  records: (TopicRecord & { id: string })[];
}

const idOf = (record: TopicRecord): string => `${record.partition}:${record.offset}`;

export const Records: Component<Props> = (props) => {
  const path = () => `/api/topics/${part(props.topic)}/records?limit=${SHOWN}${props.partition ? `&partition=${props.partition}` : ""}`;
  // A record never changes, so its place in the log tells it apart.
  const records = createPoll<TopicRecord[]>(path, { paused: () => props.paused, key: null });
  const known = new Map<string, Answer["records"][number]>();
  const shown = createMemo(() => {
    const next = (records.data() ?? []).map((record) => known.get(idOf(record)) ?? { ...record, id: idOf(record) });
    known.clear();
    next.forEach((record) => known.set(record.id, record));
    return next;
  });
  const [open, setOpen] = createSignal<string>();
  function toggle(id: string): void {
    setOpen(open() === id ? undefined : id);
    if (open()) props.pause();
  }
  return (
    <Card title="Newest records" aside={<span class="live-note" data-paused={props.paused}>{props.paused ? "paused" : "live"}</span>}>
      <Loaded from={records}>
        {() => (
          <Show when={shown().length > 0} fallback={<Empty title="No records" text="They appear here as soon as one is acknowledged." />}>
            <div class="records" role="list">
              <For each={shown()}>{(record) => <RecordRow record={record} open={open() === record.id} toggle={() => toggle(record.id)} />}</For>
            </div>
          </Show>
        )}
      </Loaded>
    </Card>
  );
};

const RecordRow: Component<{ record: TopicRecord; open: boolean; toggle: () => void }> = (props) => (
  <div role="listitem" class="record" classList={{ open: props.open }}>
    <button type="button" class="record-line" aria-expanded={props.open} onClick={() => props.toggle()}>
      <Icon name="chevron" />
      <span class="record-time" title={format.ago(props.record.timestamp_ms, now())}>
        {format.clock(props.record.timestamp_ms, true)}
      </span>
      <span class="record-place">
        {props.record.partition}:{props.record.offset}
      </span>
      <span class="record-key">
        <PayloadLine payload={props.record.key} none="no key" />
      </span>
      <span class="record-value">
        <PayloadLine payload={props.record.value} none="tombstone" />
      </span>
    </button>
    <Show when={props.open}>
      <div class="record-open">
        <p class="quiet">
          partition {props.record.partition}, offset {format.whole(props.record.offset)}, {format.instant(props.record.timestamp_ms)} UTC
        </p>
        <PayloadBlock title="Key" payload={props.record.key} none="no key" />
        <PayloadBlock title="Value" payload={props.record.value} none="tombstone: deletes this key" />
        <For each={props.record.headers}>{(header) => <PayloadBlock title={`Header ${header.name}`} payload={header.value} />}</For>
      </div>
    </Show>
  </div>
);
