// A plan as a drawn tree: each operator with what is known of its rows, and its live figures if it runs.

import { type Component, For, Show } from "solid-js";
import * as format from "../data/format";
import { type Figures, type Plan, type PlanNode, slowestMs } from "../data/plan";

export const PlanTree: Component<{ plan: Plan }> = (props) => (
  <>
    <div class="plan-wrap" tabindex="0" role="region" aria-label="Operators of the plan">
      <ul class="plan">
        <Step of={props.plan.root} slowest={slowestMs(props.plan.root)} />
      </ul>
    </div>
    <For each={props.plan.notes}>{(note) => <p class={note.startsWith("warning") ? "card-note plan-warning" : "card-note"}>{note}</p>}</For>
  </>
);

const Step: Component<{ of: PlanNode; slowest: number }> = (props) => (
  <li>
    <div class="plan-step" data-kind={props.of.kind === "relation" ? "source" : props.of.kind}>
      <div class="plan-head">
        <span class="node-kind">{props.of.key}</span>
        <code>{props.of.operation}</code>
      </div>
      <div class="plan-facts">
        <For each={props.of.facts}>{(fact) => <span class="tag">{fact}</span>}</For>
      </div>
      <Show when={props.of.figures}>{(figures) => <Live of={figures()} slowest={props.slowest} />}</Show>
    </div>
    <Show when={props.of.inputs.length > 0}>
      <ul>
        <For each={props.of.inputs}>{(input) => <Step of={input} slowest={props.slowest} />}</For>
      </ul>
    </Show>
  </li>
);

const Live: Component<{ of: Figures; slowest: number }> = (props) => {
  const rows = (): string => {
    const out = `${format.count(props.of.rowsOut)} rows`;
    return props.of.rowsIn === undefined ? out : `${format.count(props.of.rowsIn)} → ${out}`;
  };
  return (
    <div class="plan-live">
      <span>{rows()}</span>
      <Show when={props.of.state}>{(state) => <span>state {state()}</span>}</Show>
      <Show when={props.of.ms !== undefined}>
        <span class="plan-time">
          <span class="plan-bar" aria-hidden="true">
            <span style={{ width: `${props.slowest > 0 ? (100 * (props.of.ms ?? 0)) / props.slowest : 0}%` }} />
          </span>
          {props.of.ms?.toFixed(1)} ms
        </span>
      </Show>
    </div>
  );
};
