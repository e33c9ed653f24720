// The one live stream that every page shares: an overview a second, the samples of the charts, and whether the node is
// there. Closed while the page is hidden, so that forgotten tabs cost the node nothing.

import { createSignal } from "solid-js";
import { createStore, reconcile } from "solid-js/store";
import { get } from "./api";
import type { Overview, Sample } from "./types";

export type Connection = "connecting" | "live" | "lost";

const HISTORY_SAMPLES = 300;
const RETRY_MS = 2000;
/** An overview comes each second; this much silence means that the node is gone. */
const SILENCE_MS = 6000;

const [connection, setConnection] = createSignal<Connection>("connecting");
const [state, setState] = createStore<{ overview: Overview | null }>({ overview: null });
const [samples, setSamples] = createSignal<Sample[]>([]);
/** Counts the times that the connection came (back): what was read before is worth reading again. */
const [epoch, setEpoch] = createSignal(0);

export { connection, epoch, samples };
export const overview = (): Overview | null => state.overview;
/** The node's clock, so that a wrong clock here does not make ages wrong. */
export const now = (): number => state.overview?.at_ms ?? Date.now();

let source: EventSource | null = null;
let retry: number | undefined;
let silence: number | undefined;

function listen(): void {
  hangUp();
  const stream = new EventSource("/api/live");
  source = stream;
  stream.addEventListener("overview", (event) => heard(JSON.parse(event.data as string) as Overview));
  stream.addEventListener("error", lost);
  watchSilence();
}

function heard(next: Overview): void {
  if (connection() !== "live") {
    setConnection("live");
    setEpoch((n) => n + 1);
    void loadHistory();
  }
  watchSilence();
  setState("overview", reconcile(next, { key: "name", merge: true }));
  setSamples((held) => [...held.filter((sample) => sample.at_ms < next.at_ms), sampleOf(next)].slice(-HISTORY_SAMPLES));
}

function lost(): void {
  setConnection("lost");
  hangUp();
  retry = window.setTimeout(listen, RETRY_MS);
}

function watchSilence(): void {
  clearTimeout(silence);
  silence = window.setTimeout(lost, SILENCE_MS);
}

function hangUp(): void {
  source?.close();
  source = null;
  clearTimeout(retry);
  clearTimeout(silence);
}

async function loadHistory(): Promise<void> {
  try {
    const { history = [] } = await get<Overview>("/api/overview");
    const newest = history.at(-1)?.at_ms ?? 0;
    setSamples((held) => [...history, ...held.filter((sample) => sample.at_ms > newest)].slice(-HISTORY_SAMPLES));
  } catch {
    // The charts begin with what is heard from now on.
  }
}

function sampleOf(from: Overview): Sample {
  return {
    at_ms: from.at_ms,
    records_in_per_s: from.traffic.records_in_per_s ?? 0,
    records_out_per_s: from.traffic.records_out_per_s ?? 0,
    bytes_in_per_s: from.traffic.bytes_in_per_s ?? 0,
    bytes_out_per_s: from.traffic.bytes_out_per_s ?? 0,
    pipelines_lag: from.lag.pipelines_records,
    groups_lag: from.lag.groups_records,
  };
}

export function startLive(): void {
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      hangUp();
      setConnection("connecting");
    } else {
      listen();
    }
  });
  listen();
}
