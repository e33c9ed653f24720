// Light or dark: the system's choice until the person makes another.

import { createSignal } from "solid-js";

export type Theme = "light" | "dark";

const KEY = "headwater-theme";
const system = matchMedia("(prefers-color-scheme: dark)");

function current(): Theme {
  const chosen = document.documentElement.dataset["theme"];
  if (chosen === "light" || chosen === "dark") return chosen;
  return system.matches ? "dark" : "light";
}

const [theme, setTheme] = createSignal<Theme>(current());
export { theme };

export function toggleTheme(): void {
  const next = theme() === "dark" ? "light" : "dark";
  document.documentElement.dataset["theme"] = next;
  try {
    localStorage.setItem(KEY, next);
  } catch {
    // It lasts until the page is closed, then.
  }
  setTheme(next);
}

system.addEventListener("change", () => setTheme(current()));
