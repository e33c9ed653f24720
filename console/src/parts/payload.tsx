// Keys and values of records. Text only: whatever a record holds, it is never markup.

import { type Component, For, Match, Show, Switch } from "solid-js";
import * as format from "../data/format";
import { jsonTokens } from "../data/json";
import type { Payload } from "../data/types";

export const JsonText: Component<{ text: string; pretty?: boolean }> = (props) => (
  <For each={jsonTokens(props.text, props.pretty ?? false)}>{(token) => <span class={`t-${token.kind}`}>{token.text}</span>}</For>
);

const PREVIEW_CHARS = 400;

/** One line of it. */
export const PayloadLine: Component<{ payload: Payload | null; none?: string }> = (props) => (
  <Show when={props.payload} fallback={<span class="null">{props.none ?? "NULL"}</span>}>
    {(payload) => (
      <Switch fallback={<span class="t-plain">{payload().data.slice(0, PREVIEW_CHARS)}</span>}>
        <Match when={payload().format === "json"}>
          <JsonText text={payload().data.slice(0, PREVIEW_CHARS)} />
        </Match>
        <Match when={payload().format === "base64"}>
          <span class="tag">{format.bytes(payload().size)} binary</span>
          <span class="t-plain">{payload().data.slice(0, 80)}</span>
        </Match>
      </Switch>
    )}
  </Show>
);

/** All of it. */
export const PayloadBlock: Component<{ title: string; payload: Payload | null; none?: string }> = (props) => (
  <div class="payload">
    <div class="payload-head">
      <span>{props.title}</span>
      <Show when={props.payload}>
        {(payload) => (
          <span class="quiet">
            {payload().format} · {format.bytes(payload().size)}
            {payload().truncated ? " · beginning only" : ""}
          </span>
        )}
      </Show>
    </div>
    <Show when={props.payload} fallback={<pre class="null">{props.none ?? "NULL"}</pre>}>
      {(payload) => (
        <pre tabindex="0">
          <Show when={payload().format === "json"} fallback={payload().data}>
            <JsonText text={payload().data} pretty />
          </Show>
        </pre>
      )}
    </Show>
  </div>
);
