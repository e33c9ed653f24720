// A headless Chromium, and pages in it that remember what went wrong.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";

const EXECUTABLE = process.env.CHROMIUM ?? "/usr/bin/chromium";
const SHOTS = process.env.SCREENSHOTS;

export function launch() {
  return chromium.launch({ executablePath: EXECUTABLE, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
}

/** A page whose `problems` are all errors that it met, and `close` frees it. */
export async function open(browser, base, { theme = "light", width = 1280, height = 860 } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: theme });
  const page = await context.newPage();
  const problems = [];
  page.on("pageerror", (error) => problems.push(error.message));
  page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
  const go = async (path) => {
    await page.goto(base + path);
    await page.locator("main h1").first().waitFor();
    await page.locator(".status[data-state=live]").waitFor({ timeout: 15_000 });
  };
  return { page, problems, go, close: () => context.close() };
}

export async function shot(page, name) {
  if (!SHOTS) return;
  mkdirSync(SHOTS, { recursive: true });
  await page.screenshot({ path: join(SHOTS, `${name}.png`) });
}
