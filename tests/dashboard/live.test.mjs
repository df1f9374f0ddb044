// Changes show by themselves, and what is out of date is marked.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { Browser, Proxy, Server, accessibilityFaults, adminToken, eventually } from "./world.mjs";

let browser;

before(async () => { browser = await Browser.start(); });
after(async () => { await browser?.stop(); });

const reconnect = (page) => eventually(async () => {
  const button = page.getByRole("button", { name: "Try now" });
  if (await button.isVisible()) await button.click({ timeout: 1000 }).catch(() => {});
  return (await page.locator("#lost").isHidden()) && page.getByText("Live", { exact: true }).isVisible();
}, "the connection");

test("a change shows by itself, in each window", async () => {
  const server = await Server.start();
  const pool = await server.pool({ count: 1, name: "seats" });
  const pages = [await browser.openPool(server, pool), await browser.openPool(server, pool)];
  const lease = await pool.borrow({ holder: { name: "anna" } });
  for (const page of pages) await page.getByText("anna").waitFor();
  const { answer } = await pool.wait({ holder: { name: "bob" } });
  for (const page of pages) await page.locator(".waiter", { hasText: "bob" }).waitFor();
  await pool.giveBack(lease);
  assert.equal((await answer).status, 200);
  for (const page of pages) {
    await page.locator(".slot", { hasText: "bob" }).waitFor();
    await page.getByText("Nobody waits.").waitFor();
  }
  await pool.put({ count: 1, name: "renamed" });
  for (const page of pages) {
    await page.getByRole("heading", { name: "renamed" }).waitFor();
    await browser.close(page);
  }
  await server.stop();
});

test("while the server is away the page says since when, and goes on by itself", async () => {
  const server = await Server.start();
  const pool = await server.pool({ count: 1 });
  await pool.borrow({ holder: { name: "anna" } });
  const page = await browser.openPool(server, pool);
  await page.getByText("Live", { exact: true }).waitFor();
  await server.kill();
  await page.getByText("Connection lost.").first().waitFor();
  assert.match(await page.locator("#lost").innerText(), /Shown as of \d\d:\d\d:\d\d/);
  assert.match(await page.locator(".slots").innerText(), /anna/);
  assert.deepEqual(await accessibilityFaults(page), []);
  // What is asked meanwhile is not taken for done.
  await page.getByRole("button", { name: "Revoke: slot 0" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Revoke" }).click();
  await page.getByText("The server cannot be reached.").waitFor();
  await page.keyboard.press("Escape");
  await server.run();
  await reconnect(page);
  await pool.put({ count: 2 });
  await eventually(async () => (await page.locator(".slot").count()) === 2, "the change");
  await browser.close(page);
  await server.stop();
});

test("payloads are up to date after a change, and after another connection", async () => {
  const server = await Server.start();
  const pool = await server.pool({ count: 2, slots: ["first", "first"] });
  const page = await browser.openPool(server, pool);
  await page.getByText("first").first().waitFor();
  await pool.put({ count: 2, slots: ["second", "second"] });
  await page.getByText("second").first().waitFor();
  // A question that failed is asked again.
  let failed = 0;
  await page.route("**/slots", (route) => (++failed === 1 ? route.abort() : route.continue()));
  await pool.put({ count: 2, slots: ["third", "third"] });
  await page.getByText("third").first().waitFor();
  assert.ok(failed > 1);
  await page.unroute("**/slots");
  // What changed while the page could not hear of it.
  await server.kill();
  await page.getByText("Connection lost.").first().waitFor();
  await page.route("**/events", (route) => route.abort());
  await server.run();
  await pool.put({ count: 2, slots: ["fourth", "fourth"] });
  await page.unroute("**/events");
  await reconnect(page);
  await page.getByText("fourth").first().waitFor();
  await browser.close(page);
  await server.stop();
});

test("a server that hangs is said not to answer", async (context) => {
  const server = await Server.start();
  context.after(() => {
    server.goOn();
    return server.stop();
  });
  const pool = await server.pool({ count: 1 });
  const list = await browser.open(server, { clock: true });
  await list.getByLabel("The admin token").fill(adminToken);
  await list.getByRole("button", { name: "Show all pools" }).click();
  await list.getByText(/^as of/).waitFor();
  const page = await browser.openPool(server, pool, { clock: true });
  await server.halt();
  await page.getByRole("button", { name: "Take out of service: slot 0" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Take out of service" }).click();
  for (const [each, says] of [[page.getByRole("dialog"), /The server does not answer\..* It may be done all the same\./],
    [list.locator("main"), /The server does not answer\..* Shown as of \d\d:\d\d:\d\d\. It is tried again\./]]) {
    await eventually(async () => {
      await each.page().clock.fastForward(10_000);
      return says.test(await each.innerText());
    }, "the complaint");
  }
  server.goOn();
  await eventually(async () => (await pool.view()).out.length === 1, "the end of the call");
  await eventually(async () => {
    await list.clock.fastForward(10_000);
    return !/does not answer/.test(await list.locator("main").innerText());
  }, "the list");
  await browser.close(page);
  await browser.close(list);
});

test("a tab that comes back to a server that hangs does not call old figures live", async (context) => {
  const server = await Server.start();
  context.after(() => {
    server.goOn();
    return server.stop();
  });
  const pool = await server.pool({ count: 1, name: "seats" });
  const page = await browser.openPool(server, pool, { clock: true });
  await page.getByText("Live", { exact: true }).waitFor();
  const setHidden = (isHidden) => page.evaluate((value) => {
    Object.defineProperty(document, "hidden", { configurable: true, get: () => value });
    document.dispatchEvent(new Event("visibilitychange"));
  }, isHidden);
  const isStale = () => page.evaluate(() => document.body.classList.contains("stale"));
  await setHidden(true);
  // After a minute the page leaves, which may be while the name is on its way. No silence of the server is to end the
  // connection before that. A browser that says itself that the page is hidden begins the minute anew.
  const connecting = page.getByText("Connecting", { exact: true });
  for (let round = 0; round < 10 && !(await connecting.isVisible()); ++round) {
    await page.clock.fastForward(20_000);
    await pool.put({ count: 1, name: `name ${round}` });
    await page.getByRole("heading", { name: `name ${round}` }).or(connecting).first().waitFor();
  }
  await connecting.waitFor();
  await server.halt();
  await setHidden(false);
  await connecting.waitFor();
  assert.equal(await isStale(), true);
  server.goOn();
  await page.getByText("Live", { exact: true }).waitFor();
  assert.equal(await isStale(), false);
  await browser.close(page);
});

test("times stay right where the server's clock is set while the page is open", async () => {
  const server = await Server.start();
  const pool = await server.pool({ count: 1 });
  await pool.borrow({ ttl: 3600, holder: { name: "anna" } });
  const page = await browser.open(server);
  const step = 7200;
  await page.route(`**${pool.path}/events`, async (route) => {
    const state = await pool.view();
    for (const lease of state.holders) {
      lease.granted_at_unix += step;
      lease.expires_at_unix += step;
    }
    await route.fulfill({ headers: { "Content-Type": "text/event-stream", "Date": new Date().toUTCString() },
      body: `event: state\ndata: ${JSON.stringify(state)}\n\n` });
  });
  await browser.showPool(page, pool);
  await page.locator(".slot", { hasText: /held \d+ s · (59 min|1 h) left/ }).waitFor();
  await browser.close(page);
  await server.stop();
});

test("windows that leave the browser no connection are named as a cause", async () => {
  const server = await Server.start();
  const pool = await server.pool({ count: 1 });
  await pool.borrow({});
  const page = await browser.openPool(server, pool, { clock: true });
  const others = [];
  for (let i = 0; i < 5; ++i) {
    const other = await page.context().newPage();
    others.push(other);
    await other.goto(`${server.url}/dashboard/`);
    await browser.showPool(other, pool);
  }
  await page.getByRole("button", { name: "Revoke: slot 0" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Revoke" }).click();
  await eventually(async () => {
    await page.clock.fastForward(10_000);
    return /it has six for one server/.test(await page.getByRole("dialog").innerText());
  }, "the complaint");
  assert.equal((await pool.view()).in_use, 1);
  await others[0].close();
  await page.getByRole("dialog").getByRole("button", { name: "Revoke" }).click();
  await page.locator(".toast", { hasText: "Slot 0 is revoked." }).waitFor();
  await browser.close(page);
  await server.stop();
});

test("two servers below one address share no secrets in a tab", async () => {
  const servers = [await Server.start(), await Server.start()];
  const proxy = await Proxy.start({ "/one": servers[0], "/two": servers[1] });
  const pool = await servers[0].pool({ count: 1, name: "seats" });
  const page = await browser.open(proxy, { where: "/one/dashboard/" });
  await page.getByLabel("The admin token").fill(adminToken);
  await page.getByRole("button", { name: "Show all pools" }).click();
  await page.getByRole("button", { name: "seats" }).click();
  await page.getByRole("heading", { name: "Slots" }).waitFor();
  const seen = [];
  page.on("request", (request) => seen.push(request));
  await page.goto(`${proxy.url}/two/dashboard/#/pool/0`);
  await page.getByLabel("The pool’s UUID").waitFor();
  assert.equal(await page.getByText("Opened in this tab").isVisible(), false);
  const sent = seen.map((request) => request.url() + JSON.stringify(request.headers())).join("\n");
  assert.match(sent, /two/);
  assert.ok(!sent.includes(pool.id) && !sent.includes(adminToken));
  await page.goto(`${proxy.url}/one/dashboard/`);
  await page.getByRole("link", { name: "seats" }).waitFor();
  await browser.close(page);
  proxy.stop();
  for (const server of servers) await server.stop();
});

test("a pool that is deleted is said to be gone", async () => {
  const server = await Server.start();
  const pool = await server.pool({ count: 1, name: "seats" });
  const page = await browser.openPool(server, pool);
  await page.getByRole("button", { name: "Resize…" }).click();
  await server.call("DELETE", pool.path);
  await page.locator(".notice", { hasText: "It is not shown: the pool was deleted." }).waitFor();
  assert.equal(await page.getByRole("dialog").count(), 0);
  await page.reload();
  await page.locator(".notice", { hasText: "There is no such pool on this server." }).waitFor();
  assert.deepEqual(await accessibilityFaults(page), []);
  await browser.close(page);
  await server.stop();
});

test("a server without an administrator says so, and a list whose token has changed says why it is left", async () => {
  const server = await Server.start();
  const page = await browser.open(server);
  await page.route("**/pools", (route) => route.fulfill({ status: 404, json: { error: "no such path" } }));
  await page.getByLabel("The admin token").fill("x");
  await page.getByRole("button", { name: "Show all pools" }).click();
  await page.getByText("This server has no administrator").waitFor();
  await page.unroute("**/pools");
  await page.getByLabel("The admin token").fill(adminToken);
  await page.getByRole("button", { name: "Show all pools" }).click();
  await page.getByText(/^as of/).waitFor();
  await page.route("**/pools", (route) => route.fulfill({ status: 403, json: { error: "wrong admin token" } }));
  await page.getByText("All pools are not shown any more. This is not the admin token.").waitFor();
  await browser.close(page);
  await server.stop();
});

test("the page works where it has an address of its own", async () => {
  const server = await Server.start(["--dashboard-listen", "127.0.0.1:0"]);
  const pool = await server.pool({ count: 1 });
  await eventually(() => /dashboard on (http:\S+)\/dashboard\//.exec(server.log), "the address");
  const [, url] = /dashboard on (http:\S+)\/dashboard\//.exec(server.log);
  const page = await browser.openPool({ url }, pool, { where: "/" });
  assert.equal(new URL(page.url()).pathname, "/dashboard/");
  await pool.borrow({ holder: { name: "anna" } });
  await page.getByText("anna").waitFor();
  await browser.close(page);
  await server.stop();
});

test("nothing is said aloud while the pool changes", async () => {
  const server = await Server.start();
  const pool = await server.pool({ count: 2 });
  const page = await browser.openPool(server, pool);
  await page.evaluate(() => {
    globalThis.said = [];
    const note = () => globalThis.said.push(document.getElementById("announcer").textContent);
    new MutationObserver(note).observe(document.getElementById("announcer"), { childList: true, characterData: true, subtree: true });
  });
  for (let i = 0; i < 5; ++i) {
    const lease = await pool.borrow({ holder: { name: `job ${i}` } });
    await page.getByText(`job ${i}`).waitFor();
    await pool.giveBack(lease);
    await page.getByText(`job ${i}`).waitFor({ state: "hidden" });
  }
  assert.deepEqual(await page.evaluate(() => globalThis.said), []);
  const live = await page.evaluate(() => [...document.querySelectorAll("[aria-live], [role=status], [role=alert], [role=log]")]
    .filter((element) => !element.closest("dialog") && element.id !== "announcer").length);
  assert.equal(live, 0);
  await browser.close(page);
  await server.stop();
});
