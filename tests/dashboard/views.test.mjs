// Each view, in each width and scheme: what it shows, whether all can use it, and the pictures of the documents, with
// SCREENSHOTS=docs/dashboard.

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import path from "node:path";
import { after, before, test } from "node:test";

import { licencePool, otherPools, queueUp } from "./samples.mjs";
import { Browser, Server, accessibilityFaults, adminToken, eventually } from "./world.mjs";

// Those that the documents have.
const pictures = ["pool-1280-light", "pool-360-dark", "pools-1280-dark", "pools-360-light", "dialog-1280-light"];

let server, browser, pool;

before(async () => {
  browser = await Browser.start();
  server = await Server.start();
  pool = await licencePool(server);
  await queueUp(pool);
  await otherPools(server);
});
after(async () => {
  await browser?.stop();
  await server?.stop();
});

/// All readers can use it: nothing is wrong by axe's rules, and nothing is beyond the right edge.
async function checkAndPicture(page, name, { width, scheme }) {
  assert.deepEqual(await accessibilityFaults(page), []);
  const overflow = await page.evaluate(() => document.scrollingElement.scrollWidth - innerWidth);
  assert.ok(overflow <= 0, `${name} is ${overflow} pixels too wide`);
  const folder = process.env.SCREENSHOTS;
  const picture = `${name}-${width}-${scheme}`;
  if (!folder || !pictures.includes(picture)) return;
  await mkdir(folder, { recursive: true });
  await page.mouse.move(0, 0);
  await page.screenshot({ path: path.join(folder, `${picture}.png`) });
}

async function openAllPools(page) {
  await page.getByLabel("The admin token").fill(adminToken);
  await page.getByRole("button", { name: "Show all pools" }).click();
  await page.getByRole("heading", { name: "All pools" }).waitFor();
}

for (const width of [1280, 360]) {
  for (const scheme of ["light", "dark"]) {
    const form = { width, scheme, height: width === 360 ? 780 : 860 };
    test(`each view can be used at ${width} pixels, ${scheme}`, async () => {
      const page = await browser.open(server, form);
      await checkAndPicture(page, "start", form);
      await openAllPools(page);
      await page.getByRole("button", { name: "vsim" }).waitFor();
      await checkAndPicture(page, "pools", form);
      await page.getByRole("button", { name: "vsim" }).click();
      await page.getByText("nightly 812").waitFor();
      await page.getByText("27000@lic3").first().waitFor();
      await checkAndPicture(page, "pool", form);
      await page.getByRole("button", { name: "Revoke: slot 1" }).click();
      await checkAndPicture(page, "dialog", form);
      await page.keyboard.press("Escape");
      await browser.close(page);
    });
  }
}

test("the list of pools has use, queue and oldest wait, and is found through", async () => {
  const page = await browser.open(server);
  await openAllPools(page);
  const rows = page.getByRole("row");
  await eventually(async () => (await rows.count()) === 7, "seven rows");
  // The longest queue comes first.
  const first = rows.nth(1);
  assert.match(await first.innerText(), /vsim/);
  assert.match(await first.innerText(), /6 of 8/);
  assert.match(await first.innerText(), /4\s+\d+ (s|min)/);
  await page.getByLabel("Order").selectOption("name");
  assert.match(await rows.nth(1).innerText(), /boards/);
  await page.getByLabel("Name contains").fill("RACK");
  await eventually(async () => (await rows.count()) === 2, "one row");
  assert.match(await rows.nth(1).innerText(), /9 of 12/);
  await page.getByLabel("Name contains").fill("nothing like it");
  await page.getByText("No pool has such a name.").waitFor();
  // It goes on by itself.
  await page.getByLabel("Name contains").fill("");
  const fresh = await server.pool({ count: 1, name: "made since" });
  await page.getByRole("button", { name: "made since" }).waitFor();
  await server.call("DELETE", fresh.path);
  await browser.close(page);
});

test("of more pools than anybody has the first are shown", async () => {
  const page = await browser.open(server);
  const pools = Array.from({ length: 150_000 }, (_, i) => ({ id: `00000000-0000-4000-8000-${String(i).padStart(12, "0")}`,
    name: `pool ${i}`, count: 1, in_use: 1, available: 0, queue: 1, oldest_wait: i / 1000 }));
  await page.route("**/pools", (route) => route.fulfill({ json: { pools } }));
  await openAllPools(page);
  await page.getByText("The first 200 of 150,000 pools").waitFor();
  assert.match(await page.locator(".tile").last().innerText(), /150,000\s+the longest for 2 min/);
  await browser.close(page);
});

test("whose slots are all out of service is said to wait for one", async () => {
  const other = await server.pool({ count: 1 });
  const page = await browser.openPool(server, other);
  const tile = page.locator(".tile", { hasText: "A newcomer waits" });
  await eventually(async () => /not at all/.test(await tile.innerText()), "a free slot");
  await other.borrow();
  await eventually(async () => /unknown\s+until some leases have ended/.test(await tile.innerText()), "no forecast");
  await server.call("PUT", `${other.path}/slots/0`, { out: true });
  await eventually(async () => /unknown\s+no slot is in service/.test(await tile.innerText()), "a pool that is out");
  await browser.close(page);
});

test("one pool has its slots with holders, links, times and payloads, and its queue with ranks", async () => {
  const page = await browser.openPool(server, pool);
  const slots = page.locator(".slot");
  assert.equal(await slots.count(), 8);
  const text = await slots.nth(0).innerText();
  assert.match(text, /Slot 0/);
  assert.match(text, /in use/);
  assert.match(text, /nightly 812/);
  assert.match(text, /held \d+ (s|min) · (1 h|\d+ min) .*left|held .* · 59 min left/);
  await slots.nth(0).getByText("27000@lic1").waitFor();
  assert.match(await slots.nth(6).innerText(), /resting/);
  assert.match(await slots.nth(7).innerText(), /out of service[^]*no licence since the update, ticket 4711/);
  const link = slots.nth(0).getByRole("link");
  assert.equal(await link.getAttribute("href"), "https://ci.example.com/jobs/812");
  assert.equal(await link.getAttribute("rel"), "noopener noreferrer");
  assert.match(await slots.nth(3).innerText(), /one lease of slots 3, 4/);
  const waiters = page.locator(".waiter");
  assert.equal(await waiters.count(), 4);
  assert.match(await waiters.nth(0).innerText(), /1\s+regress 77[^]*waits \d+ (s|min) · about \d+ (s|min) to go/);
  assert.match(await waiters.nth(2).innerText(), /2 slots/);
  assert.match(await waiters.nth(3).innerText(), /priority -5/);
  await page.getByLabel("Holder, waiter or payload contains").fill("LIC3");
  await eventually(async () => (await page.locator(".slot:visible").count()) === 2, "two slots with that payload");
  assert.equal(await page.locator(".waiter:visible").count(), 0);
  await page.getByText("No waiter is like that.").waitFor();
  await page.getByLabel("Holder, waiter or payload contains").fill("");
  await page.getByLabel("Slots to show").selectOption("free");
  await page.getByText("No slot is like that.").waitFor();
  await browser.close(page);
});

test("holders and waiters without a name are found by what is shown of them", async () => {
  const other = await server.pool({ count: 2 });
  await other.borrow({});
  await other.borrow({ holder: { name: "anna" } });
  await other.wait({});
  await other.wait({ holder: { name: "bob" } });
  const page = await browser.openPool(server, other);
  await page.getByLabel("Holder, waiter or payload contains").fill("unnamed");
  await eventually(async () => (await page.locator(".slot:visible, .waiter:visible").count()) === 2, "one of each");
  assert.match(await page.locator(".slot:visible").innerText(), /Slot 0/);
  assert.match(await page.locator(".waiter:visible").innerText(), /unnamed/);
  await browser.close(page);
});

test("slots that rest, that are free and that the pool has no more are shown as such", async () => {
  const other = await server.pool({ count: 3, name: "some", cooldown: 3600 });
  const leases = [await other.borrow({}), await other.borrow({ holder: { name: "beyond" } })];
  await other.giveBack(leases[0]);
  await other.put({ count: 1 });
  const page = await browser.openPool(server, other);
  const slots = page.locator(".slot");
  assert.match(await slots.nth(0).innerText(), /resting\s+for (\d+ min|1 h) more|resting\s+for 59 min more/);
  assert.match(await slots.nth(1).innerText(), /beyond[^]*beyond the pool’s size/);
  await other.put({ count: 3 });
  await eventually(async () => (await slots.count()) === 3, "three slots");
  assert.match(await slots.nth(2).innerText(), /free/);
  await browser.close(page);
});

test("what was asked for wrongly is said where it was asked", async () => {
  const page = await browser.open(server);
  const id = page.getByLabel("The pool’s UUID");
  const show = page.getByRole("button", { name: "Show the pool" });
  await id.fill("vsim");
  await show.click();
  await page.getByText("This is no UUID").waitFor();
  await id.fill("00000000-0000-4000-8000-000000000000");
  await show.click();
  await page.getByText("There is no such pool on this server.").waitFor();
  await page.getByLabel("The admin token").fill("wrong");
  await page.getByRole("button", { name: "Show all pools" }).click();
  await page.getByText("This is not the admin token.").waitFor();
  // What the browser itself does not send.
  await page.getByLabel("The admin token").fill("日本トークン");
  await page.getByRole("button", { name: "Show all pools" }).click();
  await page.getByText("This is no token").waitFor();
  // Any form of a UUID will do.
  await id.fill(` {${pool.id.toUpperCase().replaceAll("-", "")}} `);
  await show.click();
  await page.getByText("nightly 812").waitFor();
  await browser.close(page);
});

test("neither UUIDs nor the token are part of an address, and a new tab knows nothing", async () => {
  const page = await browser.open(server);
  await openAllPools(page);
  await page.getByRole("button", { name: "vsim" }).click();
  await page.getByText("nightly 812").waitFor();
  const secrets = [pool.id, adminToken];
  const seen = await page.evaluate(() => [location.href, document.title, JSON.stringify(history.state),
    JSON.stringify(localStorage), document.cookie, document.documentElement.outerHTML].join("\n"));
  for (const secret of secrets) assert.ok(!seen.includes(secret));
  // It is found again after a reload, and by going back.
  await page.reload();
  await page.getByText("nightly 812").waitFor();
  await page.goBack();
  await page.getByRole("heading", { name: "All pools" }).waitFor();
  const address = page.url();
  const other = await page.context().newPage();
  await other.goto(address);
  await other.getByLabel("The pool’s UUID").waitFor();
  await other.close();
  // And forgotten on demand.
  await page.getByRole("link", { name: "Sema" }).click();
  await page.getByRole("link", { name: "vsim" }).waitFor();
  await page.getByRole("button", { name: "Forget all of this" }).click();
  assert.equal(await page.evaluate(() => sessionStorage.length), 0);
  await browser.close(page);
});

test("the start page leads to a view whose address was there before", async () => {
  const page = await browser.open(server, { where: "/dashboard/#/pools" });
  await openAllPools(page);
  await browser.close(page);
  const other = await browser.open(server, { where: "/dashboard/#/pool/0" });
  await browser.showPool(other, pool);
  await other.getByRole("link", { name: "Sema" }).click();
  await other.getByRole("button", { name: "Forget all of this" }).click();
  await other.goBack();
  await other.getByLabel("The pool’s UUID").waitFor();
  await browser.showPool(other, pool);
  await browser.close(other);
});

test("an answer that comes late takes nobody away from what was opened meanwhile", async () => {
  const slow = await server.pool({ count: 1, name: "slow" });
  const page = await browser.openPool(server, pool);
  await page.getByRole("link", { name: "Sema" }).click();
  let held;
  await page.route(`**${slow.path}`, (route) => { held = route; });
  await page.getByLabel("The pool’s UUID").fill(slow.id);
  await page.getByRole("button", { name: "Show the pool" }).click();
  await eventually(() => held, "the call");
  await page.getByRole("link", { name: "vsim" }).click();
  await page.getByRole("heading", { name: "vsim" }).waitFor();
  const answer = page.waitForResponse((response) => response.url().endsWith(slow.path));
  await held.continue();
  await (await answer).finished();
  // What the answer leads to comes within the next frames.
  await page.evaluate(() => new Promise((resolve) => { requestAnimationFrame(() => requestAnimationFrame(resolve)); }));
  assert.match(page.url(), /#\/pool\/0$/);
  await page.getByRole("heading", { name: "vsim" }).waitFor();
  await server.call("DELETE", slow.path);
  await browser.close(page);
});

test("all of it works by keyboard", async () => {
  const page = await browser.open(server);
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to the content");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "main");
  await page.keyboard.press("Tab");
  await page.keyboard.type(pool.id);
  await page.keyboard.press("Enter");
  await page.getByText("nightly 812").waitFor();
  // The slots have many buttons, which need not be passed one by one.
  await page.getByLabel("Holder, waiter or payload contains").focus();
  await page.keyboard.press("Tab");
  const skip = page.getByRole("button", { name: "Skip to the queue" });
  assert.equal(await skip.evaluate((element) => element === document.activeElement), true);
  assert.ok((await skip.boundingBox()).width > 50);
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "queue-title");
  await page.keyboard.press("Tab");
  assert.match(await page.evaluate(() => document.activeElement.closest("li").className), /waiter/);
  const revoke = page.getByRole("button", { name: "Revoke: slot 1" });
  await revoke.focus();
  const outline = await revoke.evaluate((element) => getComputedStyle(element).outlineStyle);
  assert.notEqual(outline, "none");
  await page.keyboard.press("Enter");
  await page.getByRole("dialog").waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Cancel");
  await page.keyboard.press("Escape");
  // The focus is where it was before the dialog.
  assert.equal(await revoke.evaluate((element) => element === document.activeElement), true);
  await browser.close(page);
});

test("of a pool too large to draw, what is in use is shown", async () => {
  const large = await server.pool({ count: 0, name: "large" });
  await server.call("PUT", large.path, { count: 1000 });
  const page = await browser.open(server);
  // The server's own limit on the count is below what the page takes for large.
  await page.route(`**${large.path}/events`, async (route) => {
    const state = { ...await large.view(), count: 100_000, available: 99_999, in_use: 1 };
    state.holders = [{ position: 77_777, positions: [77_777], holder: { name: "somewhere" }, granted_at_unix: 1, expires_at_unix: 2e9,
      expires_in: 1e9, fence: 1 }];
    await route.fulfill({ contentType: "text/event-stream", body: `event: state\ndata: ${JSON.stringify(state)}\n\n` });
  });
  await page.getByLabel("The pool’s UUID").fill(large.id);
  await page.getByRole("button", { name: "Show the pool" }).click();
  await page.getByText("somewhere").waitFor();
  assert.equal(await page.locator(".slot").count(), 1);
  await page.getByText("shown without its free slots").waitFor();
  await browser.close(page);
});

test("use and queue over time are drawn for an hour, a day and a week", async () => {
  const page = await browser.openPool(server, pool);
  await page.getByRole("heading", { name: "Over time" }).waitFor();
  for (const [name, drawn] of [[/of 8 slots in use on average/, 3], [/waiting on average, .* at most/, 3]])
    await eventually(async () => (await page.getByRole("img", { name }).count()) === drawn, "three charts");
  // The pool was not there for most of the week.
  const week = page.getByRole("img", { name: /in use on average/ }).last().locator(".line");
  assert.match(await week.getAttribute("d"), /^M2[34]/);
  assert.deepEqual(await accessibilityFaults(page), []);
  await browser.close(page);
});

for (const [what, answer] of [
  ["a server without a history", () => ({ status: 404, json: { error: "no such path" } })],
  ["a server that keeps none", async (route) => ({ json: { ...await (await route.fetch()).json(), kept_for: 0 } })],
]) {
  test(`of ${what} there are no charts`, async () => {
    const page = await browser.open(server);
    let answered = 0;
    await page.route("**/statistics?*", async (route) => {
      await route.fulfill(await answer(route));
      ++answered;
    });
    await browser.showPool(page, pool);
    await page.getByText("nightly 812").waitFor();
    await eventually(() => answered === 3, "the answers");
    await page.evaluate(() => new Promise((resolve) => { requestAnimationFrame(() => requestAnimationFrame(resolve)); }));
    assert.equal(await page.getByRole("heading", { name: "Over time" }).count(), 0);
    await browser.close(page);
  });
}
