// Texts that others choose are texts, wherever they are shown.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { Browser, Server, adminToken, eventually } from "./world.mjs";

let server, browser;

before(async () => {
  browser = await Browser.start();
  server = await Server.start();
});
after(async () => {
  await browser?.stop();
  await server?.stop();
});

const evil = [
  "<img src=x onerror=\"globalThis.hit=1\">",
  "<script>globalThis.hit=1</script>",
  "\"><svg onload=globalThis.hit=1>",
  "</style><style>*{display:none}</style>",
  "${globalThis.hit=1} {{constructor.constructor('globalThis.hit=1')()}}",
  "‮gnp.exe‬ \u0007 \u0000",
];

/// Nothing ran, nothing was loaded, and each text is there as it is.
async function checkHarmless(page, texts) {
  const state = await page.evaluate(() => ({
    hit: globalThis.hit ?? null,
    images: document.images.length,
    scripts: document.scripts.length,
    // The name of a holder is in an element of its own.
    texts: [...document.querySelectorAll("bdi, .payload, .note")].map((element) => element.textContent),
  }));
  assert.equal(state.hit, null);
  assert.equal(state.images, 1);
  assert.equal(state.scripts, 1);
  for (const text of texts) assert.ok(state.texts.some((shown) => shown.includes(text)), JSON.stringify(text));
}

test("names of holders, waiters and pools, and payloads, inject nothing", async () => {
  const pool = await server.pool({ count: evil.length, name: evil[0], slots: evil });
  for (const name of evil) await pool.borrow({ holder: { name } });
  for (const name of evil) await pool.wait({ holder: { name } });
  const page = await browser.openPool(server, pool);
  await eventually(async () => (await page.locator(".payload:visible").count()) === evil.length, "the payloads");
  await checkHarmless(page, evil);
  assert.equal(await page.title(), `${evil[0]} · Sema`);
  await page.getByRole("button", { name: "Revoke: slot 0" }).click();
  await page.getByRole("dialog").getByText(evil[0]).waitFor();
  await checkHarmless(page, evil);
  await page.keyboard.press("Escape");
  await page.getByRole("link", { name: "Sema", exact: true }).click();
  await page.getByLabel("The admin token").fill(adminToken);
  await page.getByRole("button", { name: "Show all pools" }).click();
  await page.getByRole("button", { name: evil[0] }).waitFor();
  await checkHarmless(page, [evil[0]]);
  await browser.close(page);
});

test("texts that are long, or that cannot be broken, take no room from others", async () => {
  const wide = (letter) => `${letter}${"\u0489".repeat(255)}`;
  const pool = await server.pool({ count: 2, name: wide("P"), slots: ["x".repeat(60_000), wide("S")] });
  await pool.borrow({ holder: { name: wide("H") } });
  await pool.wait({ slots: 2, holder: { name: wide("W") } });
  await server.call("PUT", `${pool.path}/slots/1`, { out: true, reason: wide("R") });
  for (const width of [1280, 360]) {
    const page = await browser.openPool(server, pool, { width });
    await eventually(async () => (await page.locator(".payload:visible").count()) === 2, "the payloads");
    const excess = (selector) => page.locator(selector).evaluate((element) => element.scrollWidth - element.clientWidth);
    assert.ok((await excess("html")) <= 0, `the page is ${await excess("html")} pixels too wide`);
    const payload = page.locator(".payload").first();
    assert.ok((await payload.boundingBox()).height < 100);
    assert.equal(await payload.getAttribute("title"), "x".repeat(60_000));
    for (const button of ["Revoke: slot 0", "Take out of service: slot 0", "Put back into service: slot 1", /^Remove from the queue/]) {
      await page.getByRole("button", { name: button }).click();
      await page.getByRole("dialog").waitFor();
      assert.ok((await excess("#dialog")) <= 0, `${button}: ${await excess("#dialog")} pixels too wide`);
      await page.keyboard.press("Escape");
    }
    await browser.close(page);
  }
});

test("a link that is no web address is no link", async () => {
  const urls = ["javascript:globalThis.hit=1", "JaVaScRiPt:globalThis.hit=1", " javascript:globalThis.hit=1", "java\nscript:globalThis.hit=1",
    "data:text/html,<script>globalThis.hit=1</script>", "vbscript:x", "file:///etc/passwd", "//ci.example.com/1", "/dashboard/", "blob:x", "x"];
  const pool = await server.pool({ count: urls.length + 2 });
  for (const url of urls) await pool.borrow({ holder: { name: "job", url } });
  await pool.borrow({ holder: { url: "http://ci.example.com/1" } });
  await pool.borrow({ holder: { name: "job", url: "https://user:word@ci.example.com/\"onclick=globalThis.hit=1" } });
  const page = await browser.openPool(server, pool);
  const links = page.locator(".slots a");
  const hrefs = await links.evaluateAll((all) => all.map((link) => link.href));
  assert.deepEqual(hrefs, ["http://ci.example.com/1", "https://user:word@ci.example.com/%22onclick=globalThis.hit=1"]);
  for (let slot = 0; slot < urls.length; ++slot) await page.locator(".slot").nth(slot).locator(".who").click();
  assert.equal(await page.evaluate(() => globalThis.hit ?? null), null);
  assert.match(page.url(), /#\/pool\/0$/);
  await browser.close(page);
});

test("what the page may do is bounded by the browser too", async () => {
  const pool = await server.pool({ count: 1 });
  const page = await browser.openPool(server, pool);
  const refused = await page.evaluate(async () => {
    const outcomes = {};
    try {
      document.body.insertAdjacentHTML("beforeend", "<b>x</b>");
      outcomes.markup = "done";
    } catch {
      outcomes.markup = "refused";
    }
    outcomes.away = await fetch("http://127.0.0.1:9/").then(() => "done", () => "refused");
    const style = document.createElement("style");
    style.textContent = "body { --x: 1 }";
    document.head.append(style);
    outcomes.style = getComputedStyle(document.body).getPropertyValue("--x") === "" ? "refused" : "done";
    return outcomes;
  });
  assert.deepEqual(refused, { markup: "refused", away: "refused", style: "refused" });
  // The browser says what it refused.
  assert.ok(page.faults.length > 0);
  page.faults.length = 0;
  const other = await page.context().newPage();
  await other.goto("about:blank");
  await other.evaluate((url) => {
    const frame = document.createElement("iframe");
    frame.src = url;
    document.body.append(frame);
    return new Promise((resolve) => { frame.onload = resolve; });
  }, `${server.url}/dashboard/`);
  assert.equal(await other.frames()[1].locator("header").count(), 0);
  await browser.close(page);
});
