// One view as a live table.

import { type Component, For, Show, createMemo, createSignal } from "solid-js";
import * as format from "../data/format";
import { now } from "../data/live";
import { createPoll } from "../data/poll";
import type { View, ViewColumn } from "../data/types";
import { CellValue, isNumeric } from "../parts/cell";
import { Empty, Loaded } from "../parts/empty";
import { Card, type Fact, Facts, PageHead, PauseButton } from "../parts/page";
import { SortHeader } from "../parts/table";
import { createLiveView } from "./live-view";
import type { LiveRow } from "./row-set";
import { watermarkText } from "./watermark";

export const ViewPage: Component<{ name: string }> = (props) => {
  const views = createPoll<View[]>(() => "/api/views");
  const view = createMemo(() => views.data()?.find((view) => view.name === props.name));
  const [paused, setPaused] = createSignal(false);
  return (
    <>
      <PageHead title={props.name} under={{ href: "/views", text: "Views" }}>
        <PauseButton paused={paused()} toggle={() => setPaused(!paused())} />
      </PageHead>
      <Loaded from={views}>
        {() => (
          <Show when={view()} fallback={<Empty title={`There is no view '${props.name}'`} text="It may have been dropped." />}>
            {(view) => (
              <div class="stack">
                <Card>
                  <Facts facts={facts(view())} />
                  <details class="query">
                    <summary>Definition</summary>
                    <pre tabindex="0">{view().query}</pre>
                  </details>
                </Card>
                <LiveTable view={props.name} declared={view().columns} paused={paused()} />
              </div>
            )}
          </Show>
        )}
      </Loaded>
    </>
  );
};

function facts(view: View): Fact[] {
  const key = view.columns.filter((column) => column.key).map((column) => column.name);
  return [
    { label: "Rows", value: format.count(view.rows), title: format.whole(view.rows) },
    { label: "Changes", value: format.rate(view.changes_per_s) },
    { label: "Memory", value: format.bytes(view.bytes) },
    { label: "Watermark", value: watermarkText(view.watermark_ms, now()) },
    { label: "Key", value: key.join(", ") || (view.append_only ? "append only" : "none") },
    { label: "Emits", value: view.emit_on_close ? "closed windows" : "every change" },
    ...(view.retention_ms === null ? [] : [{ label: "Kept for", value: format.duration(view.retention_ms) }]),
    ...(view.error_rows === 0 ? [] : [{ label: "Rows in error", value: format.count(view.error_rows) }]),
  ];
}

const LiveTable: Component<{ view: string; declared: ViewColumn[]; paused: boolean }> = (props) => {
  const live = createLiveView(props.view, props.declared, () => props.paused);
  const note = () => {
    const shown = live.rows().length;
    const total = live.total();
    return total > shown ? `${format.count(shown)} of ${format.count(total)} rows` : format.plural(shown, "row");
  };
  return (
    <Card
      title="Rows"
      class="live-table"
      aside={
        <>
          <span class="quiet">{note()}</span>
          <span class="live-note" data-paused={props.paused}>
            {props.paused ? "paused" : "live"}
          </span>
        </>
      }
    >
      <Show when={!live.error()} fallback={<Empty title={live.error()?.message ?? ""} text="This page tries again by itself." />}>
        <Show when={live.rows().length > 0 || !live.loaded()} fallback={<Empty title="No rows" text="Rows appear here the moment the view has any." />}>
          <div class="table-wrap rows-wrap" tabindex="0" role="region" aria-label={`Rows of ${props.view}`}>
            <table class="table rows">
              <thead>
                <tr>
                  <For each={live.columns()}>
                    {(column) => (
                      <SortHeader
                        title={column.name}
                        note={column.type.toLowerCase()}
                        sortable
                        sorted={live.sort()?.column === column.name ? (live.sort()?.descending ? "descending" : "ascending") : undefined}
                        class={columnClass(column)}
                        onSort={() => live.sortBy(column.name)}
                      />
                    )}
                  </For>
                </tr>
              </thead>
              <tbody>
                <For each={live.rows()}>{(row) => <Row row={row} columns={live.columns()} />}</For>
              </tbody>
            </table>
          </div>
        </Show>
      </Show>
    </Card>
  );
};

const Row: Component<{ row: LiveRow; columns: ViewColumn[] }> = (props) => (
  <tr>
    <For each={props.columns}>
      {(column, n) => (
        <td class={columnClass(column)} classList={{ flash: props.row.changed?.[n()] ?? false }}>
          <CellValue value={props.row.cells[n()] ?? null} type={column.type} />
        </td>
      )}
    </For>
  </tr>
);

const columnClass = (column: ViewColumn): string => [isNumeric(column.type) ? "number" : "", column.key ? "key" : ""].join(" ").trim();
