// JSON whose numbers stay what was sent: a BIGINT or DECIMAL does not fit into JavaScript's number.

/** A number in the digits that were sent, where a JavaScript number would show others. */
export class Exact {
  constructor(readonly text: string) {}
  toString(): string {
    return this.text;
  }
  valueOf(): number {
    return Number(this.text);
  }
  toJSON(): number {
    return Number(this.text);
  }
}

export type Cell = null | boolean | number | string | Exact | Cell[] | { [name: string]: Cell };

interface SourceText {
  source?: string;
}

export function parseExact(text: string): unknown {
  const revive = (_key: string, value: unknown, context?: SourceText): unknown => {
    const source = context?.source;
    if (typeof value !== "number" || source === undefined || String(value) === source) return value;
    return new Exact(source);
  };
  return JSON.parse(text, revive as (key: string, value: unknown) => unknown);
}

/** JSON text of a cell, with exact numbers. Used to tell rows apart and to show nested values. */
export function cellJson(cell: Cell): string {
  if (cell instanceof Exact) return cell.text;
  if (Array.isArray(cell)) return `[${cell.map(cellJson).join(", ")}]`;
  if (cell !== null && typeof cell === "object") {
    const fields = Object.entries(cell).map(([name, value]) => `${JSON.stringify(name)}: ${cellJson(value)}`);
    return `{${fields.join(", ")}}`;
  }
  return JSON.stringify(cell);
}

export type TokenKind = "key" | "string" | "number" | "word" | "mark";

export interface Token {
  kind: TokenKind;
  text: string;
}

// A string may be cut off at its end.
const TOKENS = /"(?:[^"\\]|\\.)*"?|-?\d[\d.eE+-]*|true|false|null|[{}[\],:]/g;

/** The tokens of JSON text, broken into lines and indented when `pretty`. Numbers keep their digits. */
export function jsonTokens(text: string, pretty: boolean): Token[] {
  const words = text.match(TOKENS) ?? [];
  const out: Token[] = [];
  let depth = 0;
  const mark = (mark: string) => out.push({ kind: "mark", text: mark });
  const line = () => pretty && mark(`\n${"  ".repeat(depth)}`);
  words.forEach((word, at) => {
    const next = words[at + 1];
    if (word === "{" || word === "[") {
      mark(word);
      depth += 1;
      if (next !== "}" && next !== "]") line();
    } else if (word === "}" || word === "]") {
      depth -= 1;
      const before = words[at - 1];
      if (before !== "{" && before !== "[") line();
      mark(word);
    } else if (word === ",") {
      mark(pretty ? "," : ", ");
      line();
    } else if (word === ":") {
      mark(": ");
    } else {
      out.push({ kind: kindOf(word, next), text: word });
    }
  });
  return out;
}

function kindOf(word: string, next: string | undefined): TokenKind {
  if (word.startsWith('"')) return next === ":" ? "key" : "string";
  return /^[-\d]/.test(word) ? "number" : "word";
}
