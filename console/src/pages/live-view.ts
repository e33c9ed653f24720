// The rows of a view as a page shows them: sorted, bounded, and kept up to date.

import { type Accessor, batch, createEffect, createSignal, on, onCleanup } from "solid-js";
import { type ApiFailure, part } from "../data/api";
import { epoch } from "../data/live";
import type { ChangeBatch, ViewColumn, ViewRows } from "../data/types";
import { isNumeric } from "../parts/cell";
import { type LiveRow, RowSet, type Sort } from "./row-set";
import { ViewFeed } from "./view-feed";

const ROWS_SHOWN = 300;
/** Rows held, as a multiple of those shown, before the view is read again. */
const HELD_MAX = 4;

export interface LiveView {
  columns: Accessor<ViewColumn[]>;
  rows: Accessor<LiveRow[]>;
  total: Accessor<number>;
  loaded: Accessor<boolean>;
  error: Accessor<ApiFailure | undefined>;
  sort: Accessor<Sort | undefined>;
  sortBy: (column: string) => void;
}

export function createLiveView(view: string, declared: readonly ViewColumn[], paused: Accessor<boolean>): LiveView {
  const [columns, setColumns] = createSignal<ViewColumn[]>([...declared], { equals: sameColumns });
  const [rows, setRows] = createSignal<LiveRow[]>([]);
  const [total, setTotal] = createSignal(0);
  const [loaded, setLoaded] = createSignal(false);
  const [error, setError] = createSignal<ApiFailure>();
  const [sort, setSort] = createSignal<Sort | undefined>(newestFirst(declared));
  let held = new RowSet([]);
  const feed = new ViewFeed({ address: () => address(view, sort()), rows: take, changes: apply, failed: setError });

  function take(answer: ViewRows): void {
    const before = held;
    held = new RowSet(answer.columns);
    answer.rows.forEach((cells) => held.insert(cells, before));
    batch(() => {
      setError(undefined);
      setColumns(answer.columns);
      setTotal(Number(answer.total));
      setLoaded(true);
      show();
    });
  }

  function apply(batches: ChangeBatch[]): void {
    const grown = batches.reduce((sum, next) => sum + held.apply(next.changes), 0);
    batch(() => {
      setTotal((n) => Math.max(held.size, n + grown));
      show();
    });
  }

  function show(): void {
    const shown = held.sorted(columns(), sort()).slice(0, ROWS_SHOWN);
    setRows(shown);
    // Rows beyond those read may belong into the gap that deletions left.
    if ((shown.length < ROWS_SHOWN && shown.length < total()) || held.size > ROWS_SHOWN * HELD_MAX) feed.readSoon();
  }

  function sortBy(column: string): void {
    const now = sort();
    const type = columns().find((known) => known.name === column)?.type ?? "";
    setSort({ column, descending: now?.column === column ? !now.descending : isNumeric(type) });
    show();
    if (total() > held.size) void feed.read();
  }

  const attend = (): void => (document.hidden || paused() ? feed.stop() : feed.start(view));
  document.addEventListener("visibilitychange", attend);
  createEffect(on([epoch, paused], attend));
  onCleanup(() => {
    document.removeEventListener("visibilitychange", attend);
    feed.stop();
  });
  return { columns, rows, total, loaded, error, sort, sortBy };
}

/** What happens last is looked at first, where rows say when they are. */
function newestFirst(columns: readonly ViewColumn[]): Sort | undefined {
  const named = columns.find((column) => /^window_(start|end)$/.test(column.name));
  const column = named ?? columns.find((column) => /^TIMESTAMP/i.test(column.type));
  return column && { column: column.name, descending: true };
}

function address(view: string, sort: Sort | undefined): string {
  const order = sort ? `&order_by=${part(sort.column)}&descending=${sort.descending}` : "";
  return `/api/views/${part(view)}/rows?limit=${ROWS_SHOWN}${order}`;
}

function sameColumns(a: ViewColumn[], b: ViewColumn[]): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
