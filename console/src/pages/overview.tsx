// What the node does right now.

import { type Component, For, type JSX, Show } from "solid-js";
import * as format from "../data/format";
import { now, overview, samples } from "../data/live";
import type { FiringAlert, Overview, PipelineSummary, Sample } from "../data/types";
import { Chart } from "../parts/chart";
import { Empty } from "../parts/empty";
import { Badge, Card, Copyable, Meter, PageHead } from "../parts/page";
import { Table, type TableColumn } from "../parts/table";
import { AlertRow } from "./alert-row";
import { watermarkText } from "./watermark";

const series = (pick: (sample: Sample) => number): number[] => samples().map(pick);
const times = (): number[] => series((sample) => sample.at_ms / 1000);

export const OverviewPage: Component = () => (
  <>
    <PageHead title="Overview" sub={<Show when={overview()}>{(o) => <>up {format.duration(now() - o().node.started_ms)}</>}</Show>} />
    <Show when={overview()} fallback={<Waiting />}>
      {(o) => (
        <div class="stack">
          <Tiles of={o()} />
          <div class="split">
            <Chart
              title="Throughput"
              show={format.rate}
              series={[
                { label: "in", color: "--chart-1" },
                { label: "out", color: "--chart-2" },
              ]}
              data={[times(), series((s) => s.records_in_per_s), series((s) => s.records_out_per_s)]}
            />
            <Chart
              title="Lag"
              show={format.count}
              series={[
                { label: "pipelines", color: "--chart-3" },
                { label: "groups", color: "--chart-4" },
              ]}
              data={[times(), series((s) => s.pipelines_lag), series((s) => s.groups_lag)]}
            />
          </div>
          <div class="split wide-left">
            <Card title="Pipelines" aside={<a href="/pipelines">All pipelines</a>}>
              <Pipelines of={o().pipelines} />
            </Card>
            <Card title="Alerts firing" aside={<a href="/alerts">All alerts</a>}>
              <Firing of={o().alerts} />
            </Card>
          </div>
          <NodeCard of={o()} />
        </div>
      )}
    </Show>
  </>
);

const Waiting: Component = () => (
  <Empty title="Waiting for the node" text="The first figures arrive within a second of connecting." />
);

const Tile: Component<{ label: string; value: string; unit?: string; sub: JSX.Element; tone?: string; href?: string }> = (props) => {
  const inside = () => (
    <>
      <span class="tile-label">{props.label}</span>
      <span class="tile-value" data-tone={props.tone}>
        {props.value}
      </span>
      <span class="tile-sub">{props.sub}</span>
    </>
  );
  return (
    <Show when={props.href} fallback={<div class="tile">{inside()}</div>}>
      <a class="tile" href={props.href}>
        {inside()}
      </a>
    </Show>
  );
};

const Tiles: Component<{ of: Overview }> = (props) => {
  const traffic = () => props.of.traffic;
  const memory = () => props.of.memory;
  const lag = () => props.of.lag.pipelines_records;
  return (
    <div class="tiles">
      <Tile label="Records in" value={format.rate(traffic().records_in_per_s)} sub={format.byteRate(traffic().bytes_in_per_s)} />
      <Tile label="Records out" value={format.rate(traffic().records_out_per_s)} sub={format.byteRate(traffic().bytes_out_per_s)} />
      <Tile
        label="Pipeline lag"
        value={format.count(lag())}
        sub={`groups ${format.count(props.of.lag.groups_records)} · sinks ${format.count(props.of.lag.sinks_records)}`}
        href="/pipelines"
      />
      <Tile
        label="State in memory"
        value={format.bytes(memory().state_bytes)}
        sub={
          <Show when={memory().state_limit_bytes > 0} fallback={`process ${format.bytes(memory().resident_bytes)}`}>
            <Meter label="State of its limit" value={memory().state_bytes} max={memory().state_limit_bytes} />
            <span>of {format.bytes(memory().state_limit_bytes)}</span>
          </Show>
        }
      />
      <Tile
        label="Alerts firing"
        value={format.count(props.of.alerts_firing)}
        tone={props.of.alerts_firing > 0 ? "bad" : "good"}
        sub={props.of.alerts_firing > 0 ? "needs a look" : "all quiet"}
        href="/alerts"
      />
      <Tile
        label="Dead letters"
        value={format.count(props.of.dead_letters_total)}
        tone={props.of.dead_letters_total > 0 ? "warn" : undefined!}
        sub={`${format.count(props.of.late_rows_total)} late rows`}
        href="/dead-letters"
      />
    </div>
  );
};

const PIPELINE_COLUMNS: TableColumn<PipelineSummary>[] = [
  { title: "Name", cell: (row) => <a href={`/pipelines/${encodeURIComponent(row.name)}`}>{row.name}</a> },
  { title: "State", cell: (row) => <span title={row.reason ?? undefined}><Badge text={row.state} /></span> },
  { title: "Rows in", cell: (row) => format.rate(row.rows_per_s), number: true },
  { title: "Lag", cell: (row) => format.count(row.lag_records), number: true },
  { title: "Watermark", cell: (row) => watermarkText(row.watermark_ms, now()), number: true, minor: true },
];

const Pipelines: Component<{ of: PipelineSummary[] }> = (props) => (
  <Show
    when={props.of.length > 0}
    fallback={<Empty title="No pipelines yet" text="Put CREATE statements into a folder and apply it." code="headwater apply ./pipelines" />}
  >
    <Table label="Pipelines" rows={props.of} columns={PIPELINE_COLUMNS} />
  </Show>
);

const Firing: Component<{ of: FiringAlert[] }> = (props) => (
  <Show when={props.of.length > 0} fallback={<Empty title="All quiet" text="Alerts that fire are listed here the moment their condition holds." />}>
    <ul class="alert-list">
      <For each={props.of.slice(0, 8)}>{(alert) => <AlertRow alert={alert} />}</For>
    </ul>
  </Show>
);

const NodeCard: Component<{ of: Overview }> = (props) => (
  <Card title="Node">
    <dl class="node-facts">
      <div>
        <dt>Kafka clients connect to</dt>
        <dd>
          <Copyable text={props.of.node.kafka} />
        </dd>
      </div>
      <div>
        <dt>Connections</dt>
        <dd>{format.whole(props.of.storage.connections)}</dd>
      </div>
      <div>
        <dt>Topics</dt>
        <dd>
          {format.count(props.of.storage.topics)} <span class="quiet">with {format.plural(props.of.storage.partitions, "partition")}</span>
        </dd>
      </div>
      <div>
        <dt>Log on disk</dt>
        <dd>{format.bytes(props.of.storage.log_bytes)}</dd>
      </div>
      <div>
        <dt>Resident memory</dt>
        <dd>{format.bytes(props.of.memory.resident_bytes)}</dd>
      </div>
      <div>
        <dt>Records ever in</dt>
        <dd>{format.count(props.of.traffic.records_in_total)}</dd>
      </div>
    </dl>
  </Card>
);
