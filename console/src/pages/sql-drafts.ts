// What was typed, kept in this browser only.

export interface Draft {
  sql: string;
}

const TEXT = "headwater-sql";
const RECENT = "headwater-sql-recent";
const RECENT_MAX = 20;

function read(key: string): string {
  try {
    return localStorage.getItem(key) ?? "";
  } catch {
    return "";
  }
}

function write(key: string, value: string): void {
  try {
    localStorage.setItem(key, value);
  } catch {
    // Storage may be forbidden or full; nothing depends on it.
  }
}

function recent(): Draft[] {
  try {
    const held: unknown = JSON.parse(read(RECENT) || "[]");
    return Array.isArray(held) ? held.filter((sql) => typeof sql === "string").map((sql) => ({ sql })) : [];
  } catch {
    return [];
  }
}

export const drafts = {
  text: (): string => read(TEXT),
  keep: (text: string): void => write(TEXT, text),
  recent,
  remember(sql: string): Draft[] {
    const next = [{ sql }, ...recent().filter((draft) => draft.sql !== sql)].slice(0, RECENT_MAX);
    write(RECENT, JSON.stringify(next.map((draft) => draft.sql)));
    return next;
  },
};
