// The rows of a view, kept up to date by its changes.
//
// Subscribe first, read the rows, then apply the changes of later commits: so nothing is missed and nothing counted
// twice. When the node says that there is too much to tell, the rows are read again, at most every two seconds.

import { type Accessor, batch, createEffect, createSignal, on, onCleanup } from "solid-js";
import { ApiFailure, get, part } from "../data/api";
import { type Cell, cellJson, parseExact } from "../data/json";
import { epoch } from "../data/live";
import type { ChangeBatch, ViewColumn, ViewRows } from "../data/types";
import { isNumeric } from "../parts/cell";
import { compare } from "../parts/table";

const ROWS_SHOWN = 300;
const RELOAD_MS = 2000;

export interface LiveRow {
  id: string;
  cells: Cell[];
  /** Which cells came with the last change; `undefined` for rows that were there before. */
  changed?: boolean[];
}

export interface Sort {
  column: string;
  descending: boolean;
}

export interface LiveView {
  columns: Accessor<ViewColumn[]>;
  rows: Accessor<LiveRow[]>;
  total: Accessor<number>;
  loaded: Accessor<boolean>;
  error: Accessor<ApiFailure | undefined>;
  sort: Accessor<Sort | undefined>;
  sortBy: (column: string) => void;
}

/** What happens last is looked at first, where rows say when they are. */
function newestFirst(columns: readonly ViewColumn[]): Sort | undefined {
  const named = columns.find((column) => /^window_(start|end)$/.test(column.name));
  const column = named ?? columns.find((column) => /^TIMESTAMP/i.test(column.type));
  return column && { column: column.name, descending: true };
}

export function createLiveView(view: Accessor<string>, declared: readonly ViewColumn[], paused: Accessor<boolean>): LiveView {
  const [columns, setColumns] = createSignal<ViewColumn[]>([...declared], { equals: sameColumns });
  const [rows, setRows] = createSignal<LiveRow[]>([]);
  const [total, setTotal] = createSignal(0);
  const [loaded, setLoaded] = createSignal(false);
  const [error, setError] = createSignal<ApiFailure>();
  const [sort, setSort] = createSignal<Sort | undefined>(newestFirst(declared));

  let held = new RowSet([]);
  let commit = -1;
  let waiting: ChangeBatch[] = [];
  let source: EventSource | undefined;
  let timer: number | undefined;
  let asking: AbortController | undefined;
  let readAt = 0;

  async function read(): Promise<void> {
    clearTimeout(timer);
    timer = undefined;
    asking?.abort();
    const turn = new AbortController();
    asking = turn;
    readAt = Date.now();
    commit = -1;
    try {
      const answer = await get<ViewRows>(address(view(), sort()), { exact: true, signal: turn.signal });
      if (!turn.signal.aborted) take(answer);
    } catch (failure) {
      if (turn.signal.aborted) return;
      if (failure instanceof ApiFailure && failure.status !== 0) setError(failure);
      readSoon();
    }
  }

  function take(answer: ViewRows): void {
    const before = held;
    held = new RowSet(answer.columns);
    answer.rows.forEach((cells) => held.insert(cells, before));
    commit = Number(answer.commit);
    const later = waiting;
    waiting = [];
    batch(() => {
      setError(undefined);
      setColumns(answer.columns);
      setTotal(Number(answer.total));
      setLoaded(true);
      later.forEach(apply);
      show();
    });
  }

  function apply(changes: ChangeBatch): void {
    if (Number(changes.commit) <= commit) return;
    const grown = held.apply(changes.changes);
    setTotal((n) => Math.max(held.size, n + grown));
    commit = Number(changes.commit);
  }

  function show(): void {
    const sorted = held.sorted(columns(), sort());
    const room = sorted.slice(0, ROWS_SHOWN);
    setRows(room);
    // Rows beyond those read may belong into the gap that deletions left.
    if (room.length < ROWS_SHOWN && room.length < total()) readSoon();
    if (held.size > ROWS_SHOWN * 4) readSoon();
  }

  function readSoon(): void {
    if (timer !== undefined) return;
    timer = window.setTimeout(() => (paused() || document.hidden ? ((timer = undefined), readSoon()) : void read()), Math.max(200, readAt + RELOAD_MS - Date.now()));
  }

  function follow(): void {
    source?.close();
    const stream = new EventSource(`/api/views/${part(view())}/changes`);
    source = stream;
    stream.addEventListener("ready", () => void read());
    stream.addEventListener("reload", readSoon);
    stream.addEventListener("changes", (event) => {
      const changes = parseExact(event.data as string) as ChangeBatch;
      if (commit < 0) {
        waiting.push(changes);
        return;
      }
      batch(() => {
        apply(changes);
        show();
      });
    });
    const over = (): void => {
      stream.close();
      if (source === stream) setTimeout(() => source === stream && !document.hidden && follow(), RELOAD_MS);
    };
    stream.addEventListener("end", over);
    stream.addEventListener("error", over);
    // Rows are worth reading even when there are too many streams already.
    void read();
  }

  function unfollow(): void {
    source?.close();
    source = undefined;
    clearTimeout(timer);
    timer = undefined;
    asking?.abort();
    waiting = [];
  }

  const onVisibility = (): void => (document.hidden || paused() ? unfollow() : follow());
  document.addEventListener("visibilitychange", onVisibility);
  createEffect(on([view, epoch, paused], onVisibility));
  onCleanup(() => {
    document.removeEventListener("visibilitychange", onVisibility);
    unfollow();
  });

  function sortBy(column: string): void {
    const now = sort();
    const type = columns().find((held) => held.name === column)?.type ?? "";
    setSort({ column, descending: now?.column === column ? !now.descending : isNumeric(type) });
    show();
    if (total() > held.size) void read();
  }
  return { columns, rows, total, loaded, error, sort, sortBy };
}

function address(view: string, sort: Sort | undefined): string {
  const order = sort ? `&order_by=${part(sort.column)}&descending=${sort.descending}` : "";
  return `/api/views/${part(view)}/rows?limit=${ROWS_SHOWN}${order}`;
}

function sameColumns(a: ViewColumn[], b: ViewColumn[]): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/** Rows by key, or all their values where there is no key; equal rows are counted apart. */
class RowSet {
  private readonly rows = new Map<string, LiveRow>();
  private readonly keys: number[];

  constructor(columns: ViewColumn[]) {
    this.keys = columns.flatMap((column, n) => (column.key ? [n] : []));
  }

  get size(): number {
    return this.rows.size;
  }

  /** Takes over a row that is the same as before, so that it is not drawn again. */
  insert(cells: Cell[], before?: RowSet): void {
    const id = this.free(this.idOf(cells));
    const old = before?.rows.get(id);
    const same = old !== undefined && cellJson(old.cells) === cellJson(cells);
    this.rows.set(id, same ? old : { id, cells, ...(old ? { changed: differing(old.cells, cells) } : {}) });
  }

  /** By how much it has grown. */
  apply(changes: ChangeBatch["changes"]): number {
    const replaced = new Map<string, LiveRow>();
    let grown = 0;
    for (const { op, row } of changes) {
      const id = this.idOf(row);
      if (op === "delete") {
        const held = this.last(id);
        if (held) {
          replaced.set(id, held);
          this.rows.delete(held.id);
        }
        grown -= 1;
      } else {
        const old = replaced.get(id)?.cells;
        const changed = row.map((cell, n) => old === undefined || cellJson(cell) !== cellJson(old[n] ?? null));
        const place = this.free(id);
        this.rows.set(place, { id: place, cells: row, changed });
        grown += 1;
      }
    }
    return grown;
  }

  sorted(columns: ViewColumn[], sort: Sort | undefined): LiveRow[] {
    const rows = [...this.rows.values()];
    const at = columns.findIndex((column) => column.name === sort?.column);
    if (!sort || at < 0) return this.keys.length > 0 ? rows.sort((a, b) => compare(a.id, b.id)) : rows.reverse();
    const sign = sort.descending ? -1 : 1;
    return rows.sort((a, b) => sign * compare(sortable(a.cells[at]), sortable(b.cells[at])) || compare(a.id, b.id));
  }

  private idOf(cells: Cell[]): string {
    return this.keys.length > 0 ? cellJson(this.keys.map((n) => cells[n] ?? null)) : cellJson(cells);
  }

  /** Without a key the same row may be there several times. */
  private free(id: string): string {
    if (this.keys.length > 0) return id;
    let copy = 0;
    while (this.rows.has(`${id}#${copy}`)) copy += 1;
    return `${id}#${copy}`;
  }

  private last(id: string): LiveRow | undefined {
    if (this.keys.length > 0) return this.rows.get(id);
    let copy = 0;
    while (this.rows.has(`${id}#${copy + 1}`)) copy += 1;
    return this.rows.get(`${id}#${copy}`);
  }
}

function differing(before: Cell[], after: Cell[]): boolean[] {
  return after.map((cell, n) => cellJson(cell) !== cellJson(before[n] ?? null));
}

function sortable(cell: Cell | undefined): number | string | null {
  if (cell === null || cell === undefined) return null;
  if (typeof cell === "string" || typeof cell === "number") return cell;
  return typeof cell === "object" && "text" in cell ? Number(cell) : cellJson(cell);
}
