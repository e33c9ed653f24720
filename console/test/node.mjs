// The node under test: one that runs already (HEADWATER_HTTP, a base URL) or the fake one (FAKE_NODE, its binary).
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

export const fake = process.env.HEADWATER_HTTP === undefined;

/** Starts the fake node and resolves to its base URL. */
export async function startFake(address = "127.0.0.1:0") {
  const binary = process.env.FAKE_NODE;
  if (!binary) throw new Error("set HEADWATER_HTTP to a node's base URL, or FAKE_NODE to the fake node's binary");
  const child = spawn(binary, [address], { stdio: ["ignore", "pipe", "inherit"] });
  const [base] = await once(createInterface({ input: child.stdout }), "line");
  return { base, stop: () => stop(child) };
}

async function stop(child) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, "exit");
  child.kill("SIGKILL");
  await gone;
}

/** The node that most tests share. */
export async function startNode() {
  if (fake) return startFake();
  return { base: process.env.HEADWATER_HTTP.replace(/\/$/, ""), stop: async () => {} };
}

export async function api(base, path) {
  const response = await fetch(base + path);
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return response.json();
}

/** What to look at: set by whoever knows the node, found out otherwise. */
export async function subjects(base) {
  const topics = (await api(base, "/api/topics")).filter((topic) => !topic.internal);
  const views = await api(base, "/api/views");
  const most = (list, by) => list.reduce((best, next) => (by(next) > by(best) ? next : best)).name;
  return {
    topic: process.env.HEADWATER_TOPIC ?? most(topics, (topic) => topic.records),
    /** A topic whose newest records hold markup that sets window.__xss. */
    hostileTopic: process.env.HEADWATER_XSS_TOPIC ?? (fake ? "flights" : undefined),
    /** A view that changes while the test runs; `undefined` when nothing flows. */
    liveView: process.env.HEADWATER_LIVE_VIEW ?? (fake ? "hourly_by_airport" : undefined),
    view: most(views, (view) => (view.kind === "view" ? view.rows : -1)),
  };
}
