// Drives every page of the console in a browser, against whichever node is given.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, open, shot } from "./browser.mjs";
import { startNode, subjects } from "./node.mjs";

const HOSTILE_SQL = `SELECT '<img src=x onerror="window.__xss=1">' AS hostile`;
let node;
let browser;
let names;

before(async () => {
  node = await startNode();
  names = await subjects(node.base);
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await node?.stop();
});

const part = encodeURIComponent;
const pages = () => [
  ["overview", "/", "Overview"],
  ["topics", "/topics", "Topics"],
  ["topic", `/topics/${part(names.topic)}`, names.topic],
  ["groups", "/groups", "Groups"],
  ["pipelines", "/pipelines", "Pipelines"],
  ["views", "/views", "Views"],
  ["view", `/views/${part(names.view)}`, names.view],
  ["sql", "/sql", "SQL"],
  ["alerts", "/alerts", "Alerts"],
  ["dead-letters", "/dead-letters", "Dead letters"],
];

async function noOverflow(page, name) {
  const [inner, outer] = await page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);
  assert.ok(inner <= outer, `${name} is wider than its window: ${inner} > ${outer}`);
  const main = await page.evaluate(() => {
    const main = document.querySelector("main");
    return main.scrollWidth - main.clientWidth;
  });
  assert.ok(main <= 0, `${name} scrolls sideways by ${main}`);
}

for (const [theme, width, height] of [
  ["light", 1280, 860],
  ["dark", 1280, 860],
  ["light", 390, 844],
  ["dark", 390, 844],
]) {
  test(`every page loads without an error: ${theme}, ${width} wide`, async () => {
    const { page, problems, go, close } = await open(browser, node.base, { theme, width, height });
    for (const [name, path, title] of pages()) {
      await go(path);
      assert.equal(await page.locator("main h1").first().textContent(), title);
      await page.waitForTimeout(1500);
      assert.equal(await page.locator(".skeleton").count(), 0, `${name} still waits`);
      await noOverflow(page, name);
      await shot(page, `${name}-${theme}-${width}`);
      assert.deepEqual(problems, [], name);
    }
    await close();
  });
}

test("the navigation leads to every page, and back", async () => {
  const { page, problems, go, close } = await open(browser, node.base);
  await go("/");
  const places = page.locator(".sidebar nav a");
  const count = await places.count();
  assert.equal(count, 8);
  for (let n = 0; n < count; n += 1) {
    await places.nth(n).click();
    assert.equal(await places.nth(n).getAttribute("aria-current"), "page");
  }
  await page.goBack();
  assert.equal(await page.locator("main h1").first().textContent(), "Alerts");
  await page.locator(".place", { hasText: "Topics" }).focus();
  await page.keyboard.press("Enter");
  await page.locator("td a", { hasText: names.topic }).first().click();
  assert.equal(new URL(page.url()).pathname, `/topics/${part(names.topic)}`);
  await page.reload();
  assert.equal(await page.locator("main h1").first().textContent(), names.topic);
  assert.deepEqual(problems, []);
  await close();
});

test("the theme can be switched and is remembered", async () => {
  const { page, go, close } = await open(browser, node.base, { theme: "light" });
  await go("/");
  const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await background();
  await page.locator(".theme-toggle").click();
  const dark = await background();
  assert.notEqual(dark, light);
  await page.reload();
  assert.equal(await background(), dark);
  await page.locator(".theme-toggle").click();
  assert.equal(await background(), light);
  await close();
});

test("the overview shows figures and draws its charts", async () => {
  const { page, go, close } = await open(browser, node.base);
  await go("/");
  await page.waitForTimeout(2500);
  const tiles = await page.locator(".tile-value").allTextContents();
  assert.ok(tiles.length >= 6 && tiles.every((text) => /\d/.test(text)), tiles.join(", "));
  assert.equal(await page.locator(".chart canvas").count(), 2);
  await close();
});

test("a record opens, and the list stands still", async () => {
  const { page, problems, go, close } = await open(browser, node.base);
  await go(`/topics/${part(names.topic)}`);
  await page.locator(".record-line").first().click();
  await page.locator(".record-open pre").first().waitFor();
  assert.equal(await page.locator(".live-note").textContent(), "paused");
  await page.getByRole("button", { name: "Resume" }).click();
  assert.equal(await page.locator(".live-note").textContent(), "live");
  assert.deepEqual(problems, []);
  await close();
});

test("a pipeline's operators can be looked into", async () => {
  const { page, problems, go, close } = await open(browser, node.base);
  await go("/pipelines");
  const nodes = page.locator(".node");
  await nodes.first().waitFor();
  assert.ok((await nodes.count()) > 1);
  assert.ok((await page.locator(".edge").count()) > 0);
  await nodes.first().focus();
  await page.keyboard.press("Enter");
  const details = page.locator(".details");
  await details.waitFor();
  assert.match(await details.textContent(), /Rows ever out/);
  await details.getByRole("button", { name: "Close" }).click();
  assert.equal(await details.count(), 0);
  const width = async () => (await nodes.first().boundingBox()).width;
  const fitted = await width();
  for (let n = 0; n < 3; n += 1) await page.getByRole("button", { name: "Zoom out" }).click();
  await page.waitForTimeout(300);
  assert.ok((await width()) < fitted * 0.7, "zooming out stays");
  await page.getByRole("button", { name: "Fit the width" }).click();
  assert.ok(Math.abs((await width()) - fitted) < 1);
  assert.deepEqual(problems, []);
  await close();
});

test("a view's rows sort by a column, and follow its changes", async (t) => {
  const { page, problems, go, close } = await open(browser, node.base);
  await go(`/views/${part(names.liveView ?? names.view)}`);
  await page.locator(".rows tbody tr").first().waitFor();
  const column = page.locator(".rows th").nth(1);
  await column.locator("button").click();
  const first = await column.getAttribute("aria-sort");
  await column.locator("button").click();
  assert.notEqual(await column.getAttribute("aria-sort"), first);
  if (names.liveView) {
    await go(`/views/${part(names.liveView)}`);
    await page.locator(".rows td.flash").first().waitFor({ timeout: 15_000 });
    const before = await page.locator(".rows tbody").textContent();
    await page.waitForFunction((text) => document.querySelector(".rows tbody").textContent !== text, before);
  } else {
    t.diagnostic("nothing flows: changes were not looked at");
  }
  assert.deepEqual(problems, []);
  await close();
});

async function run(page, sql) {
  await page.locator("textarea").fill(sql);
  await page.keyboard.press("Control+Enter");
}

test("SQL runs, and an error is shown where it is", async () => {
  const { page, go, close } = await open(browser, node.base);
  await go("/sql");
  await run(page, `SELECT * FROM ${names.view} LIMIT 20`);
  await page.locator(".rows tbody tr").first().waitFor();
  await run(page, `SELECT\n  departure_delay_no_such\nFROM ${names.view}`);
  const error = page.locator(".sql-error");
  await error.waitFor();
  assert.match(await error.textContent(), /line 2, column 3/);
  assert.match(await error.locator(".caret").textContent(), /departure_delay[\s\S]*\^/);
  const selected = await page.evaluate(() => {
    const area = document.querySelector("textarea");
    return area.value.slice(area.selectionStart, area.selectionEnd);
  });
  assert.equal(selected, "departure_delay_no_such");
  await shot(page, "sql-error");
  await page.reload();
  assert.match(await page.locator("textarea").inputValue(), /departure_delay_no_such/, "the draft is kept");
  await close();
});

test("a plan is drawn as a tree, with its live figures", async () => {
  const { page, problems, go, close } = await open(browser, node.base);
  await go("/sql");
  for (const [sql, live] of [
    [`EXPLAIN ${names.view}`, false],
    [`EXPLAIN ANALYZE ${names.view}`, true],
  ]) {
    await run(page, sql);
    await page.locator(live ? ".plan-live" : ".plan-step").first().waitFor();
    const reads = page.locator(".plan ul .plan-step").last();
    assert.match(await reads.textContent(), /relation-\d/);
    assert.match(await page.locator(".plan-facts").last().textContent(), /appends|retracts/);
    assert.equal((await page.locator(".plan-live").count()) > 0, live);
    await noOverflow(page, sql);
    await shot(page, live ? "sql-analyze" : "sql-explain");
  }
  assert.deepEqual(problems, []);
  await close();
});

test("integers past 2^53 keep their digits", async () => {
  const { page, go, close } = await open(browser, node.base);
  await go("/sql");
  await run(page, "SELECT CAST(9007199254740993 AS BIGINT) AS n");
  await page.locator(".rows tbody tr").first().waitFor();
  const shown = (await page.locator(".rows tbody").innerText()).match(/\b9007199254740\d+\b/g) ?? [];
  assert.ok(shown.some((digits) => BigInt(digits) !== BigInt(Number(digits))), shown.join(", "));
  await close();
});

test("markup in data is text", async () => {
  const { page, problems, go, close } = await open(browser, node.base);
  await go("/sql");
  await run(page, HOSTILE_SQL);
  await page.locator(".rows tbody tr").first().waitFor();
  assert.match(await page.locator(".rows tbody").textContent(), /<(img|b) /);
  if (names.hostileTopic) {
    await go(`/topics/${part(names.hostileTopic)}`);
    const hostile = page.locator(".record-line", { hasText: "__xss" }).first();
    await hostile.click();
    await page.locator(".record-open pre", { hasText: "__xss" }).first().waitFor();
    await shot(page, "hostile-record");
  }
  await go("/dead-letters");
  await page.waitForTimeout(1000);
  assert.equal(await page.evaluate(() => window.__xss), undefined);
  assert.equal(await page.locator("main img, main script, main b").count(), 0);
  assert.deepEqual(problems, []);
  await close();
});
