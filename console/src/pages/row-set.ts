// Rows told apart by their key, or by all their values where there is none.

import { type Cell, cellJson } from "../data/json";
import type { ChangeBatch, ViewColumn } from "../data/types";
import { compare } from "../parts/table";

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

/** Rows by key, or all their values where there is no key; equal rows are counted apart. */
export class RowSet {
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
