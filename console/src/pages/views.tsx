// All views, tables and alert conditions.

import { type Component, Show } from "solid-js";
import * as format from "../data/format";
import { now } from "../data/live";
import { createPoll } from "../data/poll";
import type { View } from "../data/types";
import { Empty, Loaded } from "../parts/empty";
import { Card, PageHead } from "../parts/page";
import { Table, type TableColumn } from "../parts/table";
import { watermarkText } from "./watermark";

const COLUMNS: TableColumn<View>[] = [
  {
    title: "Name",
    by: (view) => view.name,
    wide: true,
    cell: (view) => (
      <>
        <a href={`/views/${encodeURIComponent(view.name)}`}>{view.name}</a>
        <Show when={view.kind !== "view"}>
          <span class="tag">{view.kind}</span>
        </Show>
      </>
    ),
  },
  { title: "Rows", by: (view) => view.rows, cell: (view) => <span title={format.whole(view.rows)}>{format.count(view.rows)}</span>, number: true },
  { title: "Memory", by: (view) => view.bytes, cell: (view) => format.bytes(view.bytes), number: true, minor: true },
  { title: "Changes", by: (view) => view.changes_per_s, cell: (view) => format.rate(view.changes_per_s), number: true },
  { title: "Watermark", by: (view) => view.watermark_ms, cell: (view) => watermarkText(view.watermark_ms, now()), number: true, minor: true },
  { title: "Pipeline", by: (view) => view.pipeline, cell: (view) => <a href={`/pipelines/${encodeURIComponent(view.pipeline)}`}>{view.pipeline}</a>, minor: true },
];

const EXAMPLE = `CREATE SOURCE payments (card TEXT, amount DOUBLE, ts TIMESTAMPTZ)
  WITH (connector = 'topic', topic = 'payments', format = 'json');
CREATE MATERIALIZED VIEW spend AS
  SELECT card, count(*) AS n, sum(amount) AS total FROM payments GROUP BY card;`;

export const ViewsPage: Component = () => {
  const views = createPoll<View[]>(() => "/api/views");
  return (
    <>
      <PageHead title="Views" sub={<Show when={views.data()}>{(all) => format.count(all().length)}</Show>} />
      <Loaded from={views}>
        {(all) => (
          <Show
            when={all().length > 0}
            fallback={
              <Empty title="No views yet" text="Define one over a topic; its rows are kept up to date as records arrive." code={EXAMPLE}>
                <a class="button" href="/sql">
                  Open the SQL page
                </a>
              </Empty>
            }
          >
            <Card>
              <Table label="Views" rows={all()} columns={COLUMNS} sort="Name" />
            </Card>
          </Show>
        )}
      </Loaded>
    </>
  );
};
