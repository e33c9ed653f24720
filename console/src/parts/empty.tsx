// What a page says when it has nothing to show, or cannot: always with what to do next.

import { type Component, type JSX, Show } from "solid-js";
import type { Polled } from "../data/poll";

export const Empty: Component<{ title: string; text: string; code?: string; children?: JSX.Element }> = (props) => (
  <div class="empty">
    <h2>{props.title}</h2>
    <p>{props.text}</p>
    <Show when={props.code}>
      <pre>{props.code}</pre>
    </Show>
    {props.children}
  </div>
);

/** The first answer of a poll: bars while it is awaited, a sentence when it failed. */
export function Loaded<T>(props: { from: Polled<T>; children: (data: () => T) => JSX.Element }): JSX.Element {
  return (
    <Show
      when={props.from.data()}
      fallback={
        <Show when={props.from.error()} fallback={<Skeleton />}>
          {(error) => <Empty title={error().message} text={error().detail.hint ?? "This page tries again by itself."} />}
        </Show>
      }
    >
      {(data) => props.children(data)}
    </Show>
  );
}

const Skeleton: Component = () => (
  <div class="skeleton" aria-busy="true" aria-label="Loading">
    <span />
    <span />
    <span />
  </div>
);
