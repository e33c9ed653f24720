// Pipelines: each a graph of operators with what flows through them, and its sinks.

import { type Component, For, type JSX, Show, createMemo, createSignal } from "solid-js";
import * as format from "../data/format";
import { now } from "../data/live";
import { createPoll } from "../data/poll";
import type { Operator, Pipeline, Sink } from "../data/types";
import { Empty, Loaded } from "../parts/empty";
import { Graph } from "../parts/graph";
import { Icon } from "../parts/icon";
import { Badge, Card, Facts, Meter, PageHead } from "../parts/page";
import { Table, type TableColumn } from "../parts/table";
import { watermarkText } from "./watermark";

export const PipelinesPage: Component<{ name: string | undefined }> = (props) => {
  // Operators have ids and no names; one key must serve both lists.
  const pipelines = createPoll<Pipeline[]>(() => "/api/pipelines", { key: "id" });
  const chosen = createMemo(() => {
    const all = pipelines.data() ?? [];
    return props.name === undefined ? all[0] : all.find((pipeline) => pipeline.name === props.name);
  });
  return (
    <>
      <PageHead title="Pipelines" sub={<Show when={pipelines.data()}>{(all) => format.count(all().length)}</Show>} />
      <Loaded from={pipelines}>
        {(all) => (
          <Show when={all().length > 0} fallback={<NoPipelines />}>
            <Tabs all={all()} chosen={chosen()?.name} />
            <Show when={chosen()} fallback={<Empty title="There is no such pipeline" text="It may have been dropped; the others are above." />}>
              {(pipeline) => <One pipeline={pipeline()} />}
            </Show>
          </Show>
        )}
      </Loaded>
    </>
  );
};

const NoPipelines: Component = () => (
  <Empty
    title="No pipelines yet"
    text="A pipeline is a folder of *.sql files, or what you type on the SQL page. Apply a folder:"
    code="headwater apply ./pipelines"
  />
);

const Tabs: Component<{ all: Pipeline[]; chosen: string | undefined }> = (props) => (
  <nav class="tabs" aria-label="Pipelines">
    <For each={props.all}>
      {(pipeline) => (
        <a href={`/pipelines/${encodeURIComponent(pipeline.name)}`} aria-current={pipeline.name === props.chosen ? "true" : undefined}>
          <span class="dot" data-state={pipeline.state} />
          {pipeline.name}
        </a>
      )}
    </For>
  </nav>
);

const One: Component<{ pipeline: Pipeline }> = (props) => {
  const [selected, setSelected] = createSignal<string>();
  const operator = createMemo(() => props.pipeline.operators.find((operator) => operator.id === selected()));
  return (
    <div class="stack">
      <Show when={props.pipeline.reason}>
        {(reason) => (
          <div class="notice" data-tone={props.pipeline.state === "failed" ? "bad" : "warn"} role="status">
            <strong>{props.pipeline.state}</strong> {reason()}
          </div>
        )}
      </Show>
      <Card>
        <PipelineFacts of={props.pipeline} />
      </Card>
      <section class="card graph-card" classList={{ "with-details": operator() !== undefined }}>
        <Graph operators={props.pipeline.operators} selected={selected()} select={setSelected} />
        <Show when={operator()}>{(operator) => <Details of={operator()} close={() => setSelected(undefined)} />}</Show>
      </section>
      <Show when={props.pipeline.sinks.length > 0}>
        <Card title="Sinks">
          <Table label="Sinks" rows={props.pipeline.sinks} columns={SINK_COLUMNS} sort="Name" />
        </Card>
      </Show>
    </div>
  );
};

const PipelineFacts: Component<{ of: Pipeline }> = (props) => {
  const memory = (): JSX.Element => (
    <>
      {format.bytes(props.of.state_bytes)}
      <Show when={props.of.state_limit_bytes > 0}>
        <span class="quiet"> of {format.bytes(props.of.state_limit_bytes)}</span>
        <Meter label="State of its limit" value={props.of.state_bytes} max={props.of.state_limit_bytes} />
      </Show>
    </>
  );
  return (
    <Facts
      facts={[
        { label: "State", value: <Badge text={props.of.state} /> },
        { label: "Rows in", value: format.rate(props.of.rows_per_s) },
        { label: "Lag", value: format.count(props.of.lag_records) },
        { label: "Watermark", value: watermarkText(props.of.watermark_ms, now()) },
        { label: "Last step", value: `${(props.of.step_last_us / 1000).toFixed(1)} ms`, title: `${format.whole(props.of.steps_total)} steps` },
        { label: "Memory", value: memory() },
      ]}
    />
  );
};

const SINK_COLUMNS: TableColumn<Sink>[] = [
  {
    title: "Name",
    by: (sink) => sink.name,
    cell: (sink) => (
      <>
        {sink.name} <span class="tag">{sink.connector}</span>
      </>
    ),
  },
  { title: "State", by: (sink) => sink.state, cell: (sink) => <Badge text={sink.state} /> },
  { title: "From", by: (sink) => sink.from, cell: (sink) => <a href={`/views/${encodeURIComponent(sink.from)}`}>{sink.from}</a> },
  { title: "Into", by: (sink) => sink.target, cell: (sink) => <code>{sink.target}</code>, minor: true },
  { title: "Rows out", by: (sink) => sink.rows_per_s, cell: (sink) => format.rate(sink.rows_per_s), number: true },
  { title: "Lag", by: (sink) => sink.lag_records, cell: (sink) => format.count(sink.lag_records), number: true },
  {
    title: "Last write",
    cell: (sink) => (
      <Show when={sink.error} fallback={<span class="quiet">{format.ago(sink.last_write_ms, now())}</span>}>
        <span class="error-text">{sink.error}</span>
      </Show>
    ),
    wide: true,
  },
];

const Details: Component<{ of: Operator; close: () => void }> = (props) => {
  const facts = (): [string, JSX.Element][] => [
    ["Rows out", format.rate(props.of.rows_per_s)],
    ["Rows ever out", format.whole(props.of.rows_total)],
    ["State", format.bytes(props.of.state_bytes)],
    ["Watermark", `${format.instant(props.of.watermark_ms)}${props.of.watermark_ms === null ? "" : " UTC"}`],
    ["Late rows dropped", format.whole(props.of.late_rows_total)],
    ["Works for", props.of.owner ?? "–"],
    ["Reads", props.of.inputs.join(", ") || "a topic"],
  ];
  const page = (): string | undefined => {
    if (props.of.kind === "view" || props.of.kind === "table" || props.of.kind === "alert") return `/views/${encodeURIComponent(props.of.label)}`;
    return undefined;
  };
  return (
    <aside class="details" aria-label={`Operator ${props.of.label}`}>
      <div class="card-head">
        <h2>
          <span class="node-kind" data-kind={props.of.kind}>
            {props.of.kind}
          </span>
          {props.of.label}
        </h2>
        <button type="button" class="icon-button" aria-label="Close" onClick={() => props.close()}>
          <Icon name="close" />
        </button>
      </div>
      <dl class="pairs">
        <For each={facts()}>
          {([name, value]) => (
            <div>
              <dt>{name}</dt>
              <dd>{value}</dd>
            </div>
          )}
        </For>
      </dl>
      <Show when={props.of.detail}>
        <pre tabindex="0">{props.of.detail}</pre>
      </Show>
      <Show when={page()}>
        {(href) => (
          <a class="button" href={href()}>
            See its rows
          </a>
        )}
      </Show>
    </aside>
  );
};
