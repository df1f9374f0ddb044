// What an administrator does, each on a pool of its own.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { Browser, Proxy, Server, accessibilityFaults, eventually } from "./world.mjs";

let server, browser;

before(async () => {
  browser = await Browser.start();
  server = await Server.start();
});
after(async () => {
  await browser?.stop();
  await server?.stop();
});

const dialogOf = (page) => page.getByRole("dialog");
const confirm = (page, name) => dialogOf(page).getByRole("button", { name, exact: true }).click();

for (const width of [1280, 360]) {
  test(`a lease is revoked, at ${width} pixels`, async () => {
    const pool = await server.pool({ count: 2 });
    await pool.borrow({ holder: { name: "anna" } });
    const bob = await pool.borrow({ holder: { name: "bob" } });
    const page = await browser.openPool(server, pool, { width });
    await page.getByRole("button", { name: "Revoke: slot 0" }).click();
    await dialogOf(page).getByText("anna").waitFor();
    assert.deepEqual(await accessibilityFaults(page), []);
    await confirm(page, "Revoke");
    await page.locator(".toast", { hasText: "Slot 0 is revoked." }).waitFor();
    await eventually(async () => /free/.test(await page.locator(".slot").nth(0).innerText()), "a free slot");
    assert.equal(await dialogOf(page).count(), 0);
    const { holders } = await pool.view();
    assert.deepEqual(holders.map((lease) => lease.holder.name), ["bob"]);
    assert.deepEqual(await pool.giveBack(bob), { returned: true });
    await browser.close(page);
  });

  test(`a waiter is removed, at ${width} pixels`, async () => {
    const pool = await server.pool({ count: 1 });
    await pool.borrow({});
    const first = await pool.wait({ holder: { name: "first" } });
    const second = await pool.wait({ holder: { name: "second" } });
    const page = await browser.openPool(server, pool, { width });
    await page.getByRole("button", { name: "Remove from the queue: number 1, first" }).click();
    await confirm(page, "Remove");
    await page.locator(".toast", { hasText: "The waiter was removed." }).waitFor();
    const { status, error } = await first.answer;
    assert.equal(status, 409);
    assert.equal(error, "cancelled");
    await page.getByRole("button", { name: "Remove from the queue: number 1, second" }).waitFor();
    assert.equal(await pool.waiting(), 1);
    assert.ok(second);
    await browser.close(page);
  });

  test(`the pool is resized, at ${width} pixels`, async () => {
    const pool = await server.pool({ count: 2, name: "seats", cooldown: 3 });
    await pool.borrow({});
    const page = await browser.openPool(server, pool, { width });
    await page.getByRole("button", { name: "Resize…" }).click();
    const field = dialogOf(page).getByLabel("How many slots");
    assert.equal(await field.inputValue(), "2");
    await field.fill("5");
    await page.keyboard.press("Enter");
    await page.locator(".toast", { hasText: "The pool has 5 slots." }).waitFor();
    await eventually(async () => (await page.locator(".slot").count()) === 5, "five slots");
    const { name, cooldown, count, in_use: used } = await pool.view();
    assert.deepEqual({ name, cooldown, count, used }, { name: "seats", cooldown: 3, count: 5, used: 1 });
    // What the server refuses is said in the dialog, which stays.
    await page.getByRole("button", { name: "Resize…" }).click();
    await field.fill("1000000");
    await confirm(page, "Resize");
    await dialogOf(page).getByText("count out of range").waitFor();
    await field.fill("0");
    await confirm(page, "Resize");
    await page.locator(".toast", { hasText: "The pool has 0 slots." }).waitFor();
    await browser.close(page);
  });

  test(`a slot is taken out of service and put back, at ${width} pixels`, async () => {
    const pool = await server.pool({ count: 2 });
    await pool.borrow({ holder: { name: "anna" } });
    const page = await browser.openPool(server, pool, { width });
    const slots = page.locator(".slot");
    await page.getByRole("button", { name: "Take out of service: slot 1" }).click();
    await dialogOf(page).getByLabel("Reason").fill("fan is broken");
    await confirm(page, "Take out of service");
    await eventually(async () => /out of service[^]*fan is broken/.test(await slots.nth(1).innerText()), "a slot that is out");
    assert.deepEqual((await pool.view()).out.map(({ position, reason }) => ({ position, reason })),
      [{ position: 1, reason: "fan is broken" }]);
    // One that is held goes on, and is out after that.
    await page.getByRole("button", { name: "Take out of service: slot 0" }).click();
    await dialogOf(page).getByText("anna").waitFor();
    await confirm(page, "Take out of service");
    await eventually(async () => /in use[^]*then out of service/.test(await slots.nth(0).innerText()), "a held slot that is out");
    assert.deepEqual(await accessibilityFaults(page), []);
    assert.match(await page.locator(".tile.warn").innerText(), /Out of service\s+2/);
    for (const position of [0, 1]) {
      await page.getByRole("button", { name: `Put back into service: slot ${position}` }).click();
      await confirm(page, "Put back");
      await page.getByRole("button", { name: `Take out of service: slot ${position}` }).waitFor();
    }
    assert.deepEqual((await pool.view()).out, []);
    await browser.close(page);
  });
}

test("a lease that came after the one that was asked about is not revoked", async () => {
  const pool = await server.pool({ count: 1 });
  const anna = await pool.borrow({ holder: { name: "anna" } });
  const bob = await pool.wait({ holder: { name: "bob" } });
  const page = await browser.openPool(server, pool);
  await page.getByRole("button", { name: "Revoke: slot 0" }).click();
  // The page learns of the change only after the call was made.
  await page.route("**/revoke", async (route) => {
    await pool.giveBack(anna);
    assert.equal((await bob.answer).status, 200);
    await route.continue();
  });
  await confirm(page, "Revoke");
  await dialogOf(page).getByText("This lease is over").waitFor();
  assert.deepEqual((await pool.view()).holders.map((lease) => lease.holder.name), ["bob"]);
  await browser.close(page);
});

test("a dialog whose matter is over says so, and does nothing", async () => {
  const pool = await server.pool({ count: 1 });
  const anna = await pool.borrow({ holder: { name: "anna" } });
  const first = await pool.wait({ holder: { name: "first" } });
  const page = await browser.openPool(server, pool);
  await page.getByRole("button", { name: "Revoke: slot 0" }).click();
  await pool.giveBack(anna);
  await dialogOf(page).getByText("This lease is over.").waitFor();
  assert.equal(await dialogOf(page).getByRole("button", { name: "Revoke" }).isDisabled(), true);
  await confirm(page, "Cancel");
  await pool.wait({ holder: { name: "second" } });
  await page.getByRole("button", { name: "Remove from the queue: number 1, second" }).click();
  await pool.giveBack(await first.answer);
  await dialogOf(page).getByText("It has left the queue.").waitFor();
  await confirm(page, "Cancel");
  await browser.close(page);
});

test("a slot that was taken out anew is not put back for the reason of before", async () => {
  const pool = await server.pool({ count: 1 });
  const set = (fields) => server.call("PUT", `${pool.path}/slots/0`, fields);
  await set({ out: true, reason: "fan is broken" });
  const page = await browser.openPool(server, pool);
  const putBack = page.getByRole("button", { name: "Put back into service: slot 0" });
  for (const { reads, then } of [
    { reads: "fan is broken", then: [{ out: false }, { out: true, reason: "high voltage" }] },
    { reads: "high voltage", then: [{ out: true, reason: "still high" }] },
  ]) {
    await putBack.click();
    await dialogOf(page).getByText(reads).waitFor();
    for (const fields of then) await set(fields);
    await dialogOf(page).getByText("It was taken out anew meanwhile").waitFor();
    assert.equal(await page.locator("#dialog-confirm").isDisabled(), true);
    await confirm(page, "Cancel");
  }
  await putBack.click();
  await dialogOf(page).getByText("still high").waitFor();
  await confirm(page, "Put back");
  await page.locator(".toast", { hasText: "Slot 0 is back in service." }).waitFor();
  await browser.close(page);
});

test("the confirmation to take a slot out names the lease that goes on, as it changes", async () => {
  const pool = await server.pool({ count: 1 });
  const anna = await pool.borrow({ holder: { name: "anna" } });
  const page = await browser.openPool(server, pool);
  await page.getByRole("button", { name: "Take out of service: slot 0" }).click();
  await dialogOf(page).getByText("The lease of anna goes on.").waitFor();
  await dialogOf(page).getByLabel("Reason").fill("fan is broken");
  await pool.giveBack(anna);
  await dialogOf(page).getByText("The slot is lent to nobody").waitFor();
  await pool.borrow({ holder: { name: "bob" } });
  await dialogOf(page).getByText("The lease of bob goes on.").waitFor();
  await confirm(page, "Take out of service");
  await page.locator(".toast", { hasText: "Slot 0 is out of service." }).waitFor();
  assert.equal((await pool.view()).out[0].reason, "fan is broken");
  await browser.close(page);
});

test("why an action failed stays, whatever else happens to the pool", async () => {
  const pool = await server.pool({ count: 2 });
  await pool.borrow({});
  const page = await browser.openPool(server, pool);
  await page.route("**/revoke", (route) => route.fulfill({ status: 502, json: { error: "database command failed" } }));
  await page.getByRole("button", { name: "Revoke: slot 0" }).click();
  await confirm(page, "Revoke");
  await dialogOf(page).getByText("database command failed").waitFor();
  await pool.borrow({ holder: { name: "another" } });
  await page.locator(".slot", { hasText: "another" }).waitFor();
  assert.equal(await dialogOf(page).locator("#dialog-error").innerText(), "database command failed");
  await page.unroute("**/revoke");
  await confirm(page, "Revoke");
  await page.locator(".toast", { hasText: "Slot 0 is revoked." }).waitFor();
  await browser.close(page);
});

test("a resize whose answer was lost is not done twice", async () => {
  const proxy = await Proxy.start({ "": server });
  const pool = await server.pool({ count: 2 });
  const page = await browser.openPool(proxy, pool);
  await page.getByRole("button", { name: "Resize…" }).click();
  await dialogOf(page).getByLabel("How many slots").fill("5");
  // Nor does the page hear of it otherwise.
  proxy.isCut = ({ method, url }) => ["PUT", "POST"].includes(method) || url.endsWith("/events");
  proxy.cut();
  await page.getByText("Connection lost.").first().waitFor();
  await confirm(page, "Resize");
  await dialogOf(page).getByText("The server cannot be reached. It may be done all the same.").waitFor();
  assert.equal((await pool.view()).count, 5);
  proxy.isCut = ({ url }) => url.endsWith("/events");
  await confirm(page, "Resize");
  await page.locator(".toast", { hasText: "The pool has 5 slots." }).waitFor();
  assert.equal((await pool.view()).count, 5);
  await browser.close(page);
  proxy.stop();
});

test("a resize of a pool that somebody else has resized meanwhile is asked for again", async () => {
  const pool = await server.pool({ count: 4 });
  const page = await browser.openPool(server, pool);
  await page.getByRole("button", { name: "Resize…" }).click();
  await dialogOf(page).getByLabel("How many slots").fill("5");
  await pool.put({ count: 9 });
  await dialogOf(page).getByText("It has 9 slots now.").waitFor();
  await confirm(page, "Resize");
  await dialogOf(page).getByText("It has 9 slots by now. Confirm again if your number is still right.").waitFor();
  assert.equal((await pool.view()).count, 9);
  await confirm(page, "Resize");
  await page.locator(".toast", { hasText: "The pool has 5 slots." }).waitFor();
  assert.equal((await pool.view()).count, 5);
  await browser.close(page);
});

test("a resize does not make a pool that is gone", async () => {
  const pool = await server.pool({ count: 4 });
  const page = await browser.openPool(server, pool);
  await page.getByRole("button", { name: "Resize…" }).click();
  await dialogOf(page).getByLabel("How many slots").fill("5");
  const asked = [];
  await page.route(`**${pool.path}`, async (route) => {
    asked.push(route.request().method());
    if (asked.length === 1) await server.call("DELETE", pool.path);
    await route.continue();
  });
  const answer = page.waitForResponse((response) => response.url().endsWith(pool.path));
  await confirm(page, "Resize");
  assert.equal((await answer).status(), 404);
  await page.locator(".notice", { hasText: "the pool was deleted" }).waitFor();
  assert.deepEqual(asked, ["GET"]);
  assert.equal((await server.fetch("GET", pool.path)).status, 404);
  await browser.close(page);
});

test("a dialog that is left while its call is under way says that, and how it ends", async () => {
  const pool = await server.pool({ count: 2 });
  await pool.borrow({});
  await pool.borrow({});
  const page = await browser.openPool(server, pool);
  for (const { position, reply, says } of [
    { position: 0, says: "Slot 0 is revoked." },
    { position: 1, reply: { status: 502, json: { error: "database command failed" } }, says: "Revoke slot 1? database command failed" },
  ]) {
    let answer;
    await page.route("**/revoke", (route) => {
      answer = () => (reply ? route.fulfill(reply) : route.continue());
    });
    await page.getByRole("button", { name: `Revoke: slot ${position}` }).click();
    await confirm(page, "Revoke");
    await eventually(() => answer, "the call");
    await confirm(page, "Close");
    await page.locator(".toast", { hasText: "It is under way, and may still be done." }).waitFor();
    await answer();
    await page.locator(".toast", { hasText: says }).waitFor();
    await page.unroute("**/revoke");
  }
  await browser.close(page);
});

test("a reason is as long as the server takes it, in whatever characters", async () => {
  const pool = await server.pool({ count: 1 });
  const page = await browser.openPool(server, pool);
  await page.getByRole("button", { name: "Take out of service: slot 0" }).click();
  const field = dialogOf(page).getByLabel("Reason");
  await field.fill("😀".repeat(257));
  await confirm(page, "Take out of service");
  await dialogOf(page).getByText("reason must have at most 256 characters").waitFor();
  await field.fill("😀".repeat(256));
  await confirm(page, "Take out of service");
  await page.locator(".toast", { hasText: "Slot 0 is out of service." }).waitFor();
  assert.equal((await pool.view()).out[0].reason, "😀".repeat(256));
  await browser.close(page);
});

test("after an action by keyboard the focus is where it was, or as near as can be", async () => {
  const pool = await server.pool({ count: 2 });
  await pool.borrow({ holder: { name: "anna" } });
  await pool.wait({ slots: 2, holder: { name: "first" } });
  await pool.wait({ slots: 2, holder: { name: "second" } });
  const page = await browser.openPool(server, pool);
  const focus = () => page.evaluate(() => document.activeElement.dataset.position ?? document.activeElement.id);
  const press = async (button, done) => {
    await page.getByRole("button", { name: button }).focus();
    await page.keyboard.press("Enter");
    await dialogOf(page).waitFor();
    await page.locator("#dialog-confirm").focus();
    await page.keyboard.press("Enter");
    await page.locator(".toast", { hasText: done }).waitFor();
    // However the answer and the event come.
    await page.getByRole("button", { name: button }).waitFor({ state: "hidden" });
  };
  await press("Remove from the queue: number 2, second", "The waiter was removed.");
  await eventually(async () => (await focus()) === "queue-title", "the focus on the queue’s heading");
  await press("Take out of service: slot 1", "Slot 1 is out of service.");
  await eventually(async () => (await focus()) === "1", "the focus on slot 1");
  await press("Revoke: slot 0", "Slot 0 is revoked.");
  await eventually(async () => (await focus()) === "0", "the focus on slot 0");
  // Nor is it lost where what it is on goes by itself.
  const lease = await pool.borrow({ holder: { name: "bob" } });
  await page.getByRole("button", { name: "Revoke: slot 0" }).focus();
  await pool.giveBack(lease);
  await eventually(async () => (await focus()) === "0", "the focus on slot 0");
  await browser.close(page);
});

test("an action that is cancelled has changed nothing", async () => {
  const pool = await server.pool({ count: 2 });
  await pool.borrow({});
  const page = await browser.openPool(server, pool);
  for (const button of ["Revoke: slot 0", "Take out of service: slot 1", "Resize…"]) {
    for (const leave of [() => confirm(page, "Cancel"), () => page.keyboard.press("Escape")]) {
      await page.getByRole("button", { name: button }).click();
      await dialogOf(page).waitFor();
      await leave();
      assert.equal(await dialogOf(page).count(), 0);
    }
  }
  const { count, in_use: used } = await pool.view();
  assert.deepEqual({ count, used }, { count: 2, used: 1 });
  await browser.close(page);
});

test("an action that the server cannot do is not taken for done", async () => {
  const pool = await server.pool({ count: 1 });
  await pool.borrow({});
  const page = await browser.openPool(server, pool);
  const answers = [
    { reply: { status: 502, json: { error: "database command failed" } }, says: "database command failed" },
    { reply: { status: 502, contentType: "text/html", body: "<h1>Bad Gateway</h1>" }, says: "The server cannot be reached: something before it answers 502." },
  ];
  for (const { reply, says } of answers) {
    await page.route("**/revoke", (route) => route.fulfill(reply));
    await page.getByRole("button", { name: "Revoke: slot 0" }).click();
    await confirm(page, "Revoke");
    await dialogOf(page).getByText(says).waitFor();
    await confirm(page, "Cancel");
    await page.unroute("**/revoke");
  }
  await page.route("**/revoke", (route) => route.abort());
  await page.getByRole("button", { name: "Revoke: slot 0" }).click();
  await confirm(page, "Revoke");
  await dialogOf(page).getByText("The server cannot be reached.").waitFor();
  await page.unroute("**/revoke");
  await confirm(page, "Revoke");
  await page.locator(".toast", { hasText: "Slot 0 is revoked." }).waitFor();
  await browser.close(page);
});

test("a borrower who is to be called is marked, and removed as others are", async () => {
  const calling = await Server.start(["--dashboard", "--callback-allow", "127.0.0.1"]);
  const pool = await calling.pool({ count: 1 });
  await pool.borrow({});
  const asked = await calling.fetch("POST", `${pool.path}/borrow`,
    { ttl: 60, wait: 3600, holder: { name: "pipeline 9" }, callback: { url: "http://127.0.0.1:9/hook" } });
  assert.equal(asked.status, 202);
  const page = await browser.openPool(calling, pool);
  assert.match(await page.locator(".waiter").innerText(), /pipeline 9[^]*by callback/);
  await page.getByRole("button", { name: "Remove from the queue: number 1, pipeline 9" }).click();
  await confirm(page, "Remove");
  await page.getByText("Nobody waits.").waitFor();
  assert.equal(await pool.waiting(), 0);
  await browser.close(page);
  await calling.stop();
});
