// The head of a page and the small things that every page uses.

import { type Component, For, type JSX, Show, createSignal } from "solid-js";
import { Icon } from "./icon";

interface Crumb {
  href: string;
  text: string;
}

export const PageHead: Component<{ title: string; under?: Crumb; sub?: JSX.Element; children?: JSX.Element }> = (props) => (
  <div class="page-head">
    <div class="page-title">
      <Show when={props.under}>
        {(crumb) => (
          <span class="crumb">
            <a href={crumb().href}>{crumb().text}</a>
            <Icon name="chevron" />
          </span>
        )}
      </Show>
      <h1>{props.title}</h1>
      <Show when={props.sub}>
        <div class="page-sub">{props.sub}</div>
      </Show>
    </div>
    <div class="page-actions">{props.children}</div>
  </div>
);

export const Card: Component<{ title?: string; aside?: JSX.Element; class?: string; children: JSX.Element }> = (props) => (
  <section class={`card ${props.class ?? ""}`}>
    <Show when={props.title}>
      <div class="card-head">
        <h2>{props.title}</h2>
        <div class="card-aside">{props.aside}</div>
      </div>
    </Show>
    {props.children}
  </section>
);

export interface Fact {
  label: string;
  value: JSX.Element;
  title?: string;
}

/** A row of labelled values. */
export const Facts: Component<{ facts: Fact[] }> = (props) => (
  <dl class="facts">
    <For each={props.facts}>
      {(fact) => (
        <div title={fact.title}>
          <dt>{fact.label}</dt>
          <dd>{fact.value}</dd>
        </div>
      )}
    </For>
  </dl>
);

const TONES: Record<string, string> = {
  running: "good",
  stable: "good",
  "catching-up": "info",
  preparingrebalance: "info",
  completingrebalance: "info",
  retrying: "warn",
  paused: "warn",
  failed: "bad",
  fired: "bad",
  page: "bad",
  critical: "bad",
  warn: "warn",
  warning: "warn",
  resolved: "good",
};

export const Badge: Component<{ text: string; tone?: string }> = (props) => (
  <span class="badge" data-tone={props.tone ?? TONES[props.text.toLowerCase()] ?? "quiet"}>
    {props.text.replace("-", " ")}
  </span>
);

/** Text with a button that copies it. */
export const Copyable: Component<{ text: string }> = (props) => {
  const [copied, setCopied] = createSignal(false);
  async function copy(): Promise<void> {
    await navigator.clipboard.writeText(props.text);
    setCopied(true);
    setTimeout(() => setCopied(false), 1200);
  }
  return (
    <button type="button" class="copyable" title="Copy" onClick={() => void copy().catch(() => undefined)}>
      <code>{props.text}</code>
      <span aria-live="polite">{copied() ? "copied" : <Icon name="copy" />}</span>
    </button>
  );
};

export const PauseButton: Component<{ paused: boolean; toggle: () => void }> = (props) => (
  <button type="button" class="button" aria-pressed={props.paused} onClick={() => props.toggle()}>
    <Icon name={props.paused ? "play" : "pause"} />
    {props.paused ? "Resume" : "Pause"}
  </button>
);

/** How full something is, with the numbers beside it left to the caller. */
export const Meter: Component<{ value: number; max: number; label: string }> = (props) => {
  const share = () => (props.max > 0 ? Math.min(1, props.value / props.max) : 0);
  return (
    <div
      class="meter"
      role="meter"
      aria-label={props.label}
      aria-valuenow={Math.round(share() * 100)}
      aria-valuemin={0}
      aria-valuemax={100}
      data-tone={share() > 0.9 ? "bad" : share() > 0.75 ? "warn" : "good"}
    >
      <span style={{ width: `${share() * 100}%` }} />
    </div>
  );
};
