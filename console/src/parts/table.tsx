// A table that sorts by its columns. Rows are told apart by identity, so that only what changed is drawn again.

import { For, type JSX, Show, createMemo, createSignal } from "solid-js";

export interface TableColumn<T> {
  title: string;
  cell: (row: T) => JSX.Element;
  /** What to sort by; without it the column does not sort. */
  by?: (row: T) => number | string | null;
  number?: boolean;
  /** Left out on narrow screens. */
  minor?: boolean;
  /** Takes what width is left. */
  wide?: boolean;
}

interface Props<T> {
  rows: readonly T[];
  columns: TableColumn<T>[];
  label: string;
  /** Column to sort by at first: its title. */
  sort?: string;
  descending?: boolean;
  selected?: (row: T) => boolean;
}

export function Table<T>(props: Props<T>): JSX.Element {
  const [sort, setSort] = createSignal({ title: props.sort ?? "", descending: props.descending ?? false });
  const rows = createMemo(() => sorted(props.rows, props.columns, sort()));
  function sortBy(column: TableColumn<T>): void {
    const again = sort().title === column.title;
    setSort({ title: column.title, descending: again ? !sort().descending : column.number === true });
  }
  return (
    <div class="table-wrap">
      <table class="table" aria-label={props.label}>
        <thead>
          <tr>
            <For each={props.columns}>
              {(column) => (
                <SortHeader
                  title={column.title}
                  sortable={column.by !== undefined}
                  sorted={sort().title === column.title ? (sort().descending ? "descending" : "ascending") : undefined}
                  class={cellClass(column)}
                  onSort={() => sortBy(column)}
                />
              )}
            </For>
          </tr>
        </thead>
        <tbody>
          <For each={rows()}>
            {(row) => (
              <tr classList={{ selected: props.selected?.(row) ?? false }}>
                <For each={props.columns}>{(column) => <td class={cellClass(column)}>{column.cell(row)}</td>}</For>
              </tr>
            )}
          </For>
        </tbody>
      </table>
    </div>
  );
}

function cellClass<T>(column: TableColumn<T>): string {
  return [column.number && "number", column.minor && "minor", column.wide && "wide"].filter(Boolean).join(" ");
}

function sorted<T>(rows: readonly T[], columns: TableColumn<T>[], sort: { title: string; descending: boolean }): T[] {
  const by = columns.find((column) => column.title === sort.title)?.by;
  if (!by) return [...rows];
  const sign = sort.descending ? -1 : 1;
  return [...rows].sort((a, b) => sign * compare(by(a), by(b)));
}

/** Nothing sorts before everything else. */
export function compare(a: number | string | null, b: number | string | null): number {
  if (a === b) return 0;
  if (a === null) return -1;
  if (b === null) return 1;
  if (typeof a === "string" || typeof b === "string") return String(a) < String(b) ? -1 : 1;
  return a - b;
}

interface HeaderProps {
  title: string;
  sortable: boolean;
  sorted?: "ascending" | "descending" | undefined;
  class?: string;
  note?: string;
  onSort: () => void;
}

export function SortHeader(props: HeaderProps): JSX.Element {
  return (
    <th scope="col" class={props.class} aria-sort={props.sorted}>
      <Show when={props.sortable} fallback={props.title}>
        <button type="button" class="sort" onClick={() => props.onSort()}>
          {props.title}
          <span class="sort-mark" aria-hidden="true">
            {props.sorted === "descending" ? "↓" : "↑"}
          </span>
        </button>
      </Show>
      <Show when={props.note}>
        <span class="column-note">{props.note}</span>
      </Show>
    </th>
  );
}
