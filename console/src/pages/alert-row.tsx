// One alert that fires: its subject, the row that holds, and since when.

import { type Component, For } from "solid-js";
import * as format from "../data/format";
import { type Cell, cellJson } from "../data/json";
import { now } from "../data/live";
import type { FiringAlert } from "../data/types";
import { Badge } from "../parts/page";

export const RowValues: Component<{ row: Record<string, Cell> }> = (props) => (
  <span class="row-values">
    <For each={Object.entries(props.row)}>
      {([name, value]) => (
        <span>
          <span class="quiet">{name}</span> {typeof value === "string" ? value : cellJson(value)}
        </span>
      )}
    </For>
  </span>
);

export const AlertRow: Component<{ alert: FiringAlert }> = (props) => (
  <li class="alert-row">
    <div class="alert-main">
      <Badge text={props.alert.severity} />
      <strong>{props.alert.key}</strong>
      <a href={`/views/${encodeURIComponent(props.alert.alert)}`}>{props.alert.alert}</a>
      <span class="quiet alert-since">for {format.duration(now() - props.alert.since_ms)}</span>
    </div>
    <RowValues row={props.alert.row} />
  </li>
);
