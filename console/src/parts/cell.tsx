// One value of a row.

import { type Component, Match, Switch } from "solid-js";
import { type Cell, Exact, cellJson } from "../data/json";

const NUMERIC = /^(SMALLINT|INT|INTEGER|BIGINT|REAL|DOUBLE|DECIMAL|NUMERIC|FLOAT)/i;
const FLOATING = /^(REAL|DOUBLE|FLOAT)/i;

export const isNumeric = (type: string): boolean => NUMERIC.test(type) && !type.endsWith("]");

/** Floats to four digits after the point; everything else as it was sent. */
function numberText(value: number | Exact, type: string): string {
  const number = Number(value);
  if (!FLOATING.test(type) || Math.abs(number) >= 1e15) return String(value);
  return Math.abs(number) > 0 && Math.abs(number) < 1e-4 ? number.toPrecision(4) : String(Math.round(number * 1e4) / 1e4);
}

export const CellValue: Component<{ value: Cell; type: string }> = (props) => (
  <Switch fallback={<span title={cellJson(props.value)}>{cellJson(props.value)}</span>}>
    <Match when={props.value === null || props.value === undefined}>
      <span class="null">NULL</span>
    </Match>
    <Match when={typeof props.value === "string" && props.value}>
      {(text) => <span title={text()}>{/^TIMESTAMP/i.test(props.type) ? timeText(text()) : text()}</span>}
    </Match>
    <Match when={props.value === ""}>
      <span class="null">empty</span>
    </Match>
    <Match when={typeof props.value === "number" || props.value instanceof Exact}>
      <span title={String(props.value)}>{numberText(props.value as number | Exact, props.type)}</span>
    </Match>
  </Switch>
);

const timeText = (text: string): string => text.replace("T", " ").replace(/Z$/, "");
