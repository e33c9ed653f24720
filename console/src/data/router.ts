// Addresses are pages: back, forward, reload and links work as everywhere.

import { createSignal } from "solid-js";

const [path, setPath] = createSignal(location.pathname);
export { path };

export function navigate(to: string): void {
  if (to !== location.pathname) history.pushState(null, "", to);
  setPath(location.pathname);
  document.querySelector("main")?.scrollTo(0, 0);
}

/** The parts of the address: `/topics/a%2Fb` is `["topics", "a/b"]`. */
export function parts(): string[] {
  return path().split("/").filter(Boolean).map(decoded);
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export function startRouter(): void {
  addEventListener("popstate", () => setPath(location.pathname));
  document.addEventListener("click", (event) => {
    const link = (event.target as Element).closest("a");
    const plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
    if (!link || !plain || event.defaultPrevented || link.target || link.origin !== location.origin) return;
    event.preventDefault();
    navigate(link.pathname);
  });
}
