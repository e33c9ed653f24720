// How far event time has come.

import * as format from "../data/format";

const RECENT_MS = 86_400_000;

/** Near the present, how far it is behind; in replayed data, where it is. */
export function watermarkText(ms: number | null | undefined, now: number): string {
  if (ms === null || ms === undefined) return "–";
  const behind = now - ms;
  return behind >= 0 && behind < RECENT_MS ? `${format.duration(behind)} behind` : format.instant(ms);
}
