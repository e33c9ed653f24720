// Alerts: what fires, what is defined, what happened.

import { type Component, For, Show } from "solid-js";
import * as format from "../data/format";
import { now } from "../data/live";
import { createPoll } from "../data/poll";
import type { AlertEvent, AlertInfo, Alerts } from "../data/types";
import { Empty, Loaded } from "../parts/empty";
import { Badge, Card, PageHead } from "../parts/page";
import { Table, type TableColumn } from "../parts/table";
import { AlertRow, RowValues } from "./alert-row";

const INFO_COLUMNS: TableColumn<AlertInfo>[] = [
  { title: "Name", by: (alert) => alert.name, cell: (alert) => <a href={`/views/${encodeURIComponent(alert.name)}`} title={alert.query}>{alert.name}</a> },
  { title: "Severity", by: (alert) => alert.severity, cell: (alert) => <Badge text={alert.severity} /> },
  { title: "Firing", by: (alert) => alert.firing, cell: (alert) => format.count(alert.firing), number: true },
  { title: "Ever fired", by: (alert) => alert.fired_total, cell: (alert) => format.count(alert.fired_total), number: true, minor: true },
  {
    title: "Tells",
    wide: true,
    cell: (alert) => (
      <>
        <code>{alert.notify.join(", ") || "this page"}</code>
        <Show when={alert.pending > 0}>
          <span class="quiet"> {format.count(alert.pending)} to be sent</span>
        </Show>
        <Show when={alert.error}>
          <span class="error-text"> {alert.error}</span>
        </Show>
      </>
    ),
  },
];

const HISTORY_COLUMNS: TableColumn<AlertEvent>[] = [
  { title: "When", by: (event) => event.at_ms, cell: (event) => <span title={`${format.instant(event.at_ms)} UTC`}>{format.ago(event.at_ms, now())}</span> },
  { title: "What", by: (event) => event.kind, cell: (event) => <Badge text={event.kind} /> },
  { title: "Alert", by: (event) => event.alert, cell: (event) => event.alert, minor: true },
  { title: "Subject", by: (event) => event.key, cell: (event) => <strong>{event.key}</strong> },
  { title: "Row", cell: (event) => <RowValues row={event.row} />, wide: true, minor: true },
];

const EXAMPLE = `CREATE ALERT card_testing AS
  SELECT card, n, total FROM spend_1m WHERE n > 5 AND total > 1000
  WITH (notify = 'webhook:\${ALERT_URL}', severity = 'page');`;

export const AlertsPage: Component = () => {
  const alerts = createPoll<Alerts>(() => "/api/alerts", { key: "key", exact: true });
  return (
    <>
      <PageHead title="Alerts" sub={<Show when={alerts.data()}>{(data) => `${format.count(data().firing.length)} firing`}</Show>} />
      <Loaded from={alerts}>
        {(data) => (
          <Show
            when={data().alerts.length > 0 || data().history.length > 0}
            fallback={<Empty title="No alerts defined" text="An alert is a query whose rows are conditions that hold:" code={EXAMPLE} />}
          >
            <div class="stack">
              <Card title="Firing">
                <Show when={data().firing.length > 0} fallback={<p class="card-note">All quiet. What fires is listed here at once.</p>}>
                  <ul class="alert-list">
                    <For each={data().firing}>{(alert) => <AlertRow alert={alert} />}</For>
                  </ul>
                </Show>
              </Card>
              <Card title="Defined">
                <Table label="Alerts" rows={data().alerts} columns={INFO_COLUMNS} sort="Name" />
              </Card>
              <Card title="History">
                <Show when={data().history.length > 0} fallback={<p class="card-note">Nothing has fired yet.</p>}>
                  <Table label="History" rows={data().history} columns={HISTORY_COLUMNS} sort="When" descending />
                </Show>
              </Card>
            </div>
          </Show>
        )}
      </Loaded>
    </>
  );
};
