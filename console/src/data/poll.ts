// Data that a page asks for again and again while it is looked at.

import { type Accessor, createEffect, createSignal, on, onCleanup } from "solid-js";
import { createStore, reconcile } from "solid-js/store";
import { ApiFailure, get } from "./api";
import { connection, epoch } from "./live";

export interface Polled<T> {
  data: Accessor<T | undefined>;
  error: Accessor<ApiFailure | undefined>;
  /** Until the first answer. */
  loading: Accessor<boolean>;
}

interface Options {
  everyMs?: number;
  /** Field by which the items of lists are told apart, so that only what changed is drawn again; `null` for data that is
   * told apart by the page itself. */
  key?: string | null;
  exact?: boolean;
  paused?: Accessor<boolean>;
}

export function createPoll<T extends object>(path: Accessor<string>, options: Options = {}): Polled<T> {
  const [store, setStore] = createStore<{ value: T | undefined }>({ value: undefined });
  const [plain, setPlain] = createSignal<T>();
  const [error, setError] = createSignal<ApiFailure>();
  const [loading, setLoading] = createSignal(true);
  let timer: number | undefined;
  let asking: AbortController | undefined;

  const data = (): T | undefined => (options.key === null ? plain() : store.value);

  async function ask(): Promise<void> {
    asking?.abort();
    const turn = new AbortController();
    asking = turn;
    try {
      const value = await get<T>(path(), { signal: turn.signal, exact: options.exact ?? false });
      if (options.key === null) setPlain(() => value);
      else setStore("value", reconcile(value, { key: options.key ?? "name", merge: false }) as never);
      setError(undefined);
    } catch (failure) {
      if (turn.signal.aborted) return;
      // The banner says that the node is away; what was read stays.
      if (failure instanceof ApiFailure && (failure.status !== 0 || data() === undefined)) setError(failure);
    }
    setLoading(false);
    clearTimeout(timer);
    timer = window.setTimeout(again, options.everyMs ?? 1000);
  }

  function again(): void {
    if (document.hidden || options.paused?.() || connection() === "lost") timer = window.setTimeout(again, 300);
    else void ask();
  }

  createEffect(
    on([path, epoch], (_now, before) => {
      if (before && before[0] !== path()) {
        setStore("value", undefined);
        setPlain(undefined);
        setLoading(true);
      }
      void ask();
    }),
  );
  onCleanup(() => {
    clearTimeout(timer);
    asking?.abort();
  });
  return { data, error, loading };
}
