// Line icons on a 16 px grid, drawn here so that nothing has to be loaded.

import { type Component, For } from "solid-js";

const PATHS = {
  overview: ["M2 9.5 5 6l3 3 6-6.5", "M2 13.5h12"],
  topics: ["M2.5 4h11", "M2.5 8h11", "M2.5 12h7"],
  groups: ["M6 7.5a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5Z", "M1.5 13.5c0-2.4 2-4 4.5-4s4.5 1.6 4.5 4", "M10.5 2.8a2.4 2.4 0 0 1 0 4.5", "M12 9.9c1.6.6 2.5 1.9 2.5 3.6"],
  pipelines: ["M1.5 6h4v4h-4z", "M10.5 1.5h4v4h-4z", "M10.5 10.5h4v4h-4z", "M5.5 8h2.5V3.5h2.5", "M8 8v4.5h2.5"],
  views: ["M2 2.5h12v11H2z", "M2 6h12", "M6.5 6v7.5"],
  sql: ["M2.5 4 6 8l-3.5 4", "M8 12.5h5.5"],
  alerts: ["M8 2a4 4 0 0 0-4 4c0 4-1.5 5-1.5 5h11S12 10 12 6a4 4 0 0 0-4-4Z", "M6.7 13.5a1.5 1.5 0 0 0 2.6 0"],
  dead: ["M2 4.5h12v8H2z", "m2 5 6 4 6-4", "m10.5 1-5 0"],
  sun: ["M8 10.8a2.8 2.8 0 1 0 0-5.6 2.8 2.8 0 0 0 0 5.6Z", "M8 1v1.5M8 13.5V15M1 8h1.5M13.5 8H15M3 3l1.1 1.1M11.9 11.9 13 13M3 13l1.1-1.1M11.9 4.1 13 3"],
  moon: ["M13.5 9.6A6 6 0 0 1 6.4 2.5a6 6 0 1 0 7.1 7.1Z"],
  chevron: ["m6 3.5 4.5 4.5L6 12.5"],
  pause: ["M5.5 3v10", "M10.5 3v10"],
  play: ["M4.5 3v10l8-5z"],
  copy: ["M5.5 5.5h8v8h-8z", "M10.5 5.5v-3h-8v8h3"],
  close: ["m4 4 8 8", "m12 4-8 8"],
  plus: ["M8 3.5v9", "M3.5 8h9"],
  minus: ["M3.5 8h9"],
  fit: ["M2.5 6V2.5H6", "M10 2.5h3.5V6", "M13.5 10v3.5H10", "M6 13.5H2.5V10"],
};

export type IconName = keyof typeof PATHS;

export const Icon: Component<{ name: IconName }> = (props) => (
  <svg class="icon" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
    <For each={PATHS[props.name]}>{(path) => <path d={path} />}</For>
  </svg>
);

export const Logo: Component = () => (
  <svg class="logo" viewBox="0 0 32 32" width="24" height="24" aria-hidden="true">
    <rect width="32" height="32" rx="8" />
    <path d="M6 12c3.3 0 3.3 3 6.7 3s3.3-3 6.6-3 3.4 3 6.7 3M6 19c3.3 0 3.3 3 6.7 3s3.3-3 6.6-3 3.4 3 6.7 3" />
  </svg>
);
