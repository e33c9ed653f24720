// A pipeline as a graph. Nodes are buttons, so the keyboard reaches them; the lines between lie behind.

import { type Component, For, Show, createEffect, createMemo, createSignal, on, onCleanup, onMount } from "solid-js";
import * as format from "../data/format";
import { now } from "../data/live";
import type { Operator } from "../data/types";
import { NODE_HEIGHT, NODE_WIDTH, layout } from "../pages/layout";
import { watermarkText } from "../pages/watermark";
import { Icon } from "./icon";

interface Props {
  operators: Operator[];
  selected: string | undefined;
  select: (id: string | undefined) => void;
}

const SCALE_MIN = 0.3;
const SCALE_MAX = 1.5;
const STEP = 1.2;
/** Smaller than this nothing can be read; better to scroll. */
const FIT_MIN = 0.78;

export const Graph: Component<Props> = (props) => {
  let view!: HTMLDivElement;
  const shape = createMemo(() => props.operators.map((op) => `${op.id}<${op.inputs.join()}`).join("|"));
  const placed = createMemo(on(shape, () => layout(props.operators.map(({ id, inputs }) => ({ id, inputs: [...inputs] })))));
  const byId = createMemo(() => new Map(props.operators.map((operator) => [operator.id, operator])));
  const [scale, setScale] = createSignal(1);
  const zoom = (by: number) => setScale((held) => Math.min(SCALE_MAX, Math.max(SCALE_MIN, held * by)));
  const fit = () => setScale(Math.min(1, Math.max(FIT_MIN, (view.clientWidth - 48) / placed().width)));
  onMount(() => {
    // Zooming changes the height, which is no reason to fit again.
    let width = 0;
    const size = new ResizeObserver(() => {
      if (view.clientWidth === width) return;
      width = view.clientWidth;
      fit();
    });
    size.observe(view);
    onCleanup(() => size.disconnect());
  });
  createEffect(on(shape, fit));

  const touches = (from: string, to: string) => props.selected === from || props.selected === to;
  return (
    <div class="graph">
      <div class="graph-view" ref={view} onClick={(event) => event.target === event.currentTarget && props.select(undefined)}>
        <div class="graph-size" style={{ width: `${placed().width * scale()}px`, height: `${placed().height * scale()}px` }}>
          <div class="graph-canvas" style={{ width: `${placed().width}px`, height: `${placed().height}px`, transform: `scale(${scale()})` }}>
            <svg width={placed().width} height={placed().height} aria-hidden="true">
              <For each={placed().edges}>
                {(edge) => (
                  <path
                    d={edge.path}
                    class="edge"
                    classList={{ active: (byId().get(edge.from)?.rows_per_s ?? 0) > 0, touched: touches(edge.from, edge.to) }}
                  />
                )}
              </For>
            </svg>
            <For each={props.operators}>
              {(operator) => (
                <GraphNode
                  operator={operator}
                  x={placed().nodes.get(operator.id)?.x ?? 0}
                  y={placed().nodes.get(operator.id)?.y ?? 0}
                  selected={props.selected === operator.id}
                  select={() => props.select(props.selected === operator.id ? undefined : operator.id)}
                />
              )}
            </For>
          </div>
        </div>
      </div>
      <div class="graph-tools">
        <button type="button" class="icon-button" aria-label="Zoom out" title="Zoom out" onClick={() => zoom(1 / STEP)}>
          <Icon name="minus" />
        </button>
        <button type="button" class="icon-button" aria-label="Zoom in" title="Zoom in" onClick={() => zoom(STEP)}>
          <Icon name="plus" />
        </button>
        <button type="button" class="icon-button" aria-label="Fit the width" title="Fit the width" onClick={fit}>
          <Icon name="fit" />
        </button>
      </div>
    </div>
  );
};

interface NodeProps {
  operator: Operator;
  x: number;
  y: number;
  selected: boolean;
  select: () => void;
}

const GraphNode: Component<NodeProps> = (props) => (
  <button
    type="button"
    class="node"
    data-kind={props.operator.kind}
    aria-pressed={props.selected}
    title={props.operator.detail || props.operator.label}
    style={{ left: `${props.x}px`, top: `${props.y}px`, width: `${NODE_WIDTH}px`, height: `${NODE_HEIGHT}px` }}
    onClick={() => props.select()}
  >
    <span class="node-head">
      <span class="node-kind">{props.operator.kind}</span>
      <span class="node-rate">{format.rate(props.operator.rows_per_s)}</span>
    </span>
    <span class="node-label">{props.operator.label}</span>
    <span class="node-foot">
      <Show when={props.operator.watermark_ms !== null} fallback="no watermark">
        {watermarkText(props.operator.watermark_ms, now())}
      </Show>
    </span>
  </button>
);
