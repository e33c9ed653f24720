// The lines of EXPLAIN and EXPLAIN ANALYZE as a tree: the result first, what it reads below it.

import type { SqlResult } from "./types";

export interface PlanNode {
  /** Stable over restarts: `aggregate-1`. */
  key: string;
  kind: string;
  operation: string;
  /** Changelog, key, state and how long it is kept, watermark. */
  facts: string[];
  figures: Figures | undefined;
  inputs: PlanNode[];
}

/** What EXPLAIN ANALYZE says of an operator that runs. */
export interface Figures {
  rowsIn: number | undefined;
  rowsOut: number;
  /** As told: rows and KiB. */
  state: string | undefined;
  /** Milliseconds spent in it since its pipeline was started. */
  ms: number | undefined;
}

export interface Plan {
  root: PlanNode;
  /** Warnings, and what the pipeline as a whole does. */
  notes: string[];
}

/** `undefined`: the result is no plan. */
export function planOf(result: SqlResult): Plan | undefined {
  if (result.columns.length !== 1 || result.columns[0]?.name !== "plan") return undefined;
  const notes: string[] = [];
  const above: { depth: number; node: PlanNode }[] = [];
  let root: PlanNode | undefined;
  for (const row of result.rows) {
    const line = String(row[0]);
    const node = nodeOf(line);
    if (node === undefined) {
      notes.push(line);
      continue;
    }
    const depth = line.length - line.trimStart().length;
    while ((above.at(-1)?.depth ?? -1) >= depth) above.pop();
    above.at(-1)?.node.inputs.push(node);
    root ??= node;
    above.push({ depth, node });
  }
  return root && { root, notes };
}

/** `key operation  [fact; fact]  figures` */
function nodeOf(line: string): PlanNode | undefined {
  const open = line.lastIndexOf("  [");
  const close = line.indexOf("]", open);
  const [, key, kind, operation] = /^ *(([a-z-]+)-\d+) (.*)$/s.exec(line.slice(0, open)) ?? [];
  if (open < 0 || close < 0 || key === undefined || kind === undefined || operation === undefined) return undefined;
  const facts = line.slice(open + 3, close).split("; ");
  return { key, kind, operation, facts, figures: figuresOf(line.slice(close + 1)), inputs: [] };
}

function figuresOf(text: string): Figures | undefined {
  const number = (pattern: RegExp): number | undefined => {
    const found = pattern.exec(text)?.[1];
    return found === undefined ? undefined : Number(found);
  };
  const rowsOut = number(/(\d+) out/) ?? number(/^\s*(\d+) rows\s*$/);
  if (rowsOut === undefined) return undefined;
  return { rowsIn: number(/(\d+) rows in/), rowsOut, state: /state ([^,]+)/.exec(text)?.[1], ms: number(/([\d.]+) ms/) };
}

/** The longest time that one of its operators took. */
export function slowestMs(node: PlanNode): number {
  return Math.max(node.figures?.ms ?? 0, ...node.inputs.map(slowestMs));
}
