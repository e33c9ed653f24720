// What a node says of one view: its rows, then its changes.
//
// Subscribe first, read the rows, then pass on the changes of later commits: so nothing is missed and nothing counted
// twice. When the node says that there is too much to tell, the rows are read again, at most every two seconds.

import { ApiFailure, get, part } from "../data/api";
import { parseExact } from "../data/json";
import type { ChangeBatch, ViewRows } from "../data/types";

const RELOAD_MS = 2000;
/** Batches held while the rows are awaited; past it everything begins again. */
const WAITING_MAX = 100;

interface Listener {
  /** Where to read the rows. */
  address: () => string;
  rows: (answer: ViewRows) => void;
  /** Only changes that the rows do not have yet. */
  changes: (batches: ChangeBatch[]) => void;
  failed: (failure: ApiFailure) => void;
}

export class ViewFeed {
  private source: EventSource | undefined;
  private timer: number | undefined;
  private asking: AbortController | undefined;
  private waiting: ChangeBatch[] = [];
  /** The commit that is shown; `undefined` while the rows are awaited. */
  private commit: number | undefined;
  private readAt = 0;

  constructor(private readonly listener: Listener) {}

  start(view: string): void {
    this.stop();
    const stream = new EventSource(`/api/views/${part(view)}/changes`);
    this.source = stream;
    const over = (): void => {
      stream.close();
      if (this.source !== stream) return;
      clearTimeout(this.timer);
      this.timer = window.setTimeout(() => this.start(view), RELOAD_MS);
    };
    stream.addEventListener("ready", () => void this.read());
    stream.addEventListener("reload", () => this.readSoon());
    stream.addEventListener("changes", (event) => this.heard(parseExact(event.data as string) as ChangeBatch, over));
    stream.addEventListener("end", over);
    stream.addEventListener("error", over);
    // Rows are worth reading even when there are too many streams already.
    void this.read();
  }

  stop(): void {
    this.source?.close();
    this.source = undefined;
    clearTimeout(this.timer);
    this.timer = undefined;
    this.asking?.abort();
    this.waiting = [];
  }

  async read(): Promise<void> {
    this.asking?.abort();
    const turn = new AbortController();
    this.asking = turn;
    this.readAt = Date.now();
    this.commit = undefined;
    try {
      const answer = await get<ViewRows>(this.listener.address(), { exact: true, signal: turn.signal });
      if (!turn.signal.aborted) this.took(answer);
    } catch (failure) {
      if (turn.signal.aborted) return;
      if (failure instanceof ApiFailure && failure.status !== 0) this.listener.failed(failure);
      this.readSoon();
    }
  }

  readSoon(): void {
    if (this.timer !== undefined || this.source === undefined) return;
    const pause = Math.max(200, this.readAt + RELOAD_MS - Date.now());
    this.timer = window.setTimeout(() => {
      this.timer = undefined;
      void this.read();
    }, pause);
  }

  private took(answer: ViewRows): void {
    this.commit = Number(answer.commit);
    const later = this.waiting;
    this.waiting = [];
    this.listener.rows(answer);
    this.passOn(later);
  }

  private heard(batch: ChangeBatch, over: () => void): void {
    if (this.commit !== undefined) this.passOn([batch]);
    else if (this.waiting.push(batch) > WAITING_MAX) over();
  }

  private passOn(batches: ChangeBatch[]): void {
    const next = batches.filter((batch) => Number(batch.commit) > (this.commit ?? 0));
    const last = next.at(-1);
    if (last === undefined) return;
    this.commit = Number(last.commit);
    this.listener.changes(next);
  }
}
