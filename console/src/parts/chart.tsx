// A time series of the last minutes. The numbers under the pointer are shown in its head, the newest otherwise.

import { type Component, For, createEffect, createSignal, on, onCleanup, onMount } from "solid-js";
import uPlot from "uplot";
import * as format from "../data/format";
import { theme } from "../data/theme";

export interface Series {
  label: string;
  /** Name of a CSS variable with the line's colour. */
  color: string;
}

interface Props {
  title: string;
  /** Seconds since the epoch, then one list a series. */
  data: number[][];
  series: Series[];
  show: (value: number) => string;
}

const WINDOW_S = 300;
const HEIGHT_PX = 216;

export const Chart: Component<Props> = (props) => {
  let box!: HTMLDivElement;
  let plot: uPlot | undefined;
  const [at, setAt] = createSignal<number | null>(null);
  const index = () => at() ?? (props.data[0]?.length ?? 0) - 1;

  function draw(): void {
    plot?.destroy();
    plot = new uPlot(options(props, box.clientWidth, setAt), props.data as uPlot.AlignedData, box);
  }
  onMount(() => {
    const size = new ResizeObserver(() => plot?.setSize({ width: box.clientWidth, height: HEIGHT_PX }));
    draw();
    size.observe(box);
    onCleanup(() => {
      size.disconnect();
      plot?.destroy();
    });
  });
  createEffect(on(theme, draw, { defer: true }));
  createEffect(on(() => props.data, (data) => plot?.setData(data as uPlot.AlignedData), { defer: true }));

  return (
    <section class="card chart">
      <div class="card-head">
        <h2>{props.title}</h2>
        <div class="legend">
          <For each={props.series}>
            {(series, n) => (
              <span class="legend-item">
                <span class="swatch" style={{ background: `var(${series.color})` }} />
                {series.label}
                <strong>{props.show(props.data[n() + 1]?.[index()] ?? 0)}</strong>
              </span>
            )}
          </For>
        </div>
      </div>
      <div class="plot" ref={box} role="img" aria-label={`${props.title} over the last five minutes`} />
    </section>
  );
};

function options(props: Props, width: number, setAt: (at: number | null) => void): uPlot.Options {
  const css = getComputedStyle(document.documentElement);
  const color = (name: string) => css.getPropertyValue(name).trim();
  const axis = { stroke: color("--muted"), font: `11px ${color("--sans")}`, ticks: { show: false } };
  return {
    width,
    height: HEIGHT_PX,
    padding: [8, 20, 0, 0],
    legend: { show: false },
    cursor: { y: false, points: { size: 7 }, drag: { x: false, y: false } },
    scales: { x: { range: xRange }, y: { range: yRange } },
    axes: [
      { ...axis, size: 28, grid: { show: false }, space: 90, values: (_plot, ticks) => ticks.map((s) => format.clock(s * 1000)) },
      { ...axis, size: 64, grid: { stroke: color("--line"), width: 1 }, space: 40, values: (_plot, ticks) => ticks.map(props.show) },
    ],
    series: [{}, ...props.series.map((series) => line(color(series.color)))],
    hooks: { setCursor: [(plot) => setAt(plot.cursor.left !== undefined && plot.cursor.left >= 0 ? (plot.cursor.idx ?? null) : null)] },
  };
}

function line(stroke: string): uPlot.Series {
  const fill = (plot: uPlot): CanvasGradient => {
    const { top, height } = plot.bbox;
    const gradient = plot.ctx.createLinearGradient(0, top, 0, top + height);
    gradient.addColorStop(0, `${stroke}2e`);
    gradient.addColorStop(1, `${stroke}00`);
    return gradient;
  };
  return { stroke, fill, width: 1.75, points: { show: false } };
}

/** A fixed window that ends now; it only begins later when there is less than that to show. */
function xRange(_plot: uPlot, min: number | null, max: number | null): uPlot.Range.MinMax {
  const end = max ?? Date.now() / 1000;
  return [Math.max(end - WINDOW_S, Math.min(min ?? end, end - 60)), end];
}

function yRange(_plot: uPlot, _min: number | null, max: number | null): uPlot.Range.MinMax {
  return [0, Math.max(1, (max ?? 0) * 1.15)];
}
