// A node that goes away and comes back: the page says so, keeps what it had, and goes on by itself.
import assert from "node:assert/strict";
import { test } from "node:test";
import { launch, open, shot } from "./browser.mjs";
import { fake, startFake } from "./node.mjs";

test("the page survives a restart of the node", { skip: !fake && "needs a node that may be killed" }, async () => {
  const browser = await launch();
  const first = await startFake();
  const { page, go } = await open(browser, first.base);
  let second;
  try {
    await go("/topics");
    await page.locator("td a", { hasText: "flights" }).first().waitFor();
    await first.stop();
    await page.locator(".banner").waitFor({ timeout: 15_000 });
    assert.ok((await page.locator("td a").count()) > 0, "what was read stays");
    await shot(page, "disconnected");
    second = await startFake(new URL(first.base).host);
    await page.locator(".banner").waitFor({ state: "detached", timeout: 15_000 });
    await page.locator(".status[data-state=live]").waitFor();
  } finally {
    await browser.close();
    await first.stop();
    await second?.stop();
  }
});
