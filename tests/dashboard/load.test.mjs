// A page with a thousand slots and five hundred waiters: how long until it is there, how long a change takes, and
// whether it grows.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, test } from "node:test";

import { Browser, Server, eventually } from "./world.mjs";

// A longer run, by hand: CHANGES=20000 node tests/dashboard/load.test.mjs
const changes = Number(process.env.CHANGES ?? 1500);
let server, browser, pool;
const leases = [];

/// Once it is granted, it is among the leases.
function queueUp(name) {
  const claim = { ttl: 36_000, wait: 3600, lease: randomUUID(), holder: { name, url: "https://ci.example.com/later" } };
  server.fetch("POST", `${pool.path}/borrow`, claim, { signal: server.waits.signal })
    .then((response) => response.json()).then((lease) => leases.push(lease), () => null);
}

before(async () => {
  browser = await Browser.start();
  server = await Server.start();
  pool = await server.pool({ count: 1000, name: "a thousand", slots: Array.from({ length: 1000 }, (_, i) => `/dev/board${i}`) });
  for (let i = 0; i < 1000; i += 50) {
    const holders = Array.from({ length: 50 }, (_, k) => ({ name: `job ${i + k} of the nightly regression`, url: `https://ci.example.com/jobs/${i + k}` }));
    leases.push(...await Promise.all(holders.map((holder) => pool.borrow({ ttl: 36_000, holder }))));
  }
  server.waits = new AbortController();
  for (let i = 0; i < 500; ++i) queueUp(`waiter ${i}`);
  await eventually(async () => (await pool.waiting()) === 500, "five hundred waiters");
});
after(async () => {
  await browser?.stop();
  await server?.stop();
});

const median = (numbers) => numbers.sort((a, b) => a - b)[Math.floor(numbers.length / 2)];

/// Milliseconds from the load of the page, whose pool is known, to the first picture that has slots and waiters.
async function paintTime(page) {
  await page.reload({ waitUntil: "commit" });
  return page.evaluate(() => new Promise((resolve) => {
    const look = () => {
      const isThere = document.querySelectorAll(".slot").length === 1000 && document.querySelectorAll(".waiter").length === 500;
      // The frame in which it is drawn is over when the next one begins.
      if (isThere) requestAnimationFrame(() => resolve(performance.now()));
      else requestAnimationFrame(look);
    };
    look();
  }));
}

/// What is in use. One collection leaves what hangs on what only the next one finds: nodes on the objects of scripts,
/// and these on nodes.
async function heap(session) {
  const least = { usedSize: Infinity, nodes: Infinity };
  for (let i = 0; i < 5; ++i) {
    await session.send("HeapProfiler.collectGarbage");
    const { usedSize } = await session.send("Runtime.getHeapUsage");
    const { nodes } = await session.send("Memory.getDOMCounters");
    least.usedSize = Math.min(least.usedSize, usedSize);
    least.nodes = Math.min(least.nodes, nodes);
  }
  return least;
}

test("the page is there within a second, and a change within 100 milliseconds", async (context) => {
  const page = await browser.openPool(server, pool);
  const paints = [];
  for (let i = 0; i < 5; ++i) paints.push(await paintTime(page));
  context.diagnostic(`first picture: ${paints.map(Math.round).join(", ")} ms`);
  assert.ok(median(paints) < 1000, `first picture: ${paints} ms`);

  // What the page takes for a state, from its arrival to the end of the frame that shows it.
  const updates = await page.evaluate(async () => {
    const times = [];
    const frame = () => new Promise(requestAnimationFrame);
    let began = 0;
    const parse = JSON.parse;
    JSON.parse = (...given) => {
      began = performance.now();
      return parse(...given);
    };
    globalThis.updateTimes = times;
    const observer = new MutationObserver(async () => {
      if (began === 0) return;
      const from = began;
      began = 0;
      document.body.offsetHeight;
      times.push(performance.now() - from);
      await frame();
    });
    observer.observe(document.querySelector(".slots"), { subtree: true, childList: true, characterData: true });
    return times;
  });
  assert.deepEqual(updates, []);
  for (let i = 0; i < 30; ++i) {
    const seen = await page.evaluate(() => globalThis.updateTimes.length);
    await pool.giveBack(leases.shift());
    await eventually(() => page.evaluate((before) => globalThis.updateTimes.length > before, seen), "the update");
  }
  const times = await page.evaluate(() => globalThis.updateTimes);
  context.diagnostic(`a change: ${median(times).toFixed(1)} ms, at most ${Math.max(...times).toFixed(1)} ms`);
  assert.ok(median(times) < 100, `a change: ${times} ms`);
  await browser.close(page);
});

test(`after ${changes} changes the page is as large as before`, async (context) => {
  const page = await browser.openPool(server, pool);
  const session = await page.context().newCDPSession(page);
  const change = async (number) => {
    for (let i = 0; i < number; ++i) {
      queueUp(`later ${i}`);
      await pool.giveBack(leases.shift());
    }
    await eventually(async () => (await pool.view()).in_use === 1000, "the last hand-off");
    await page.evaluate(() => new Promise((resolve) => { requestAnimationFrame(() => requestAnimationFrame(resolve)); }));
  };
  // Until what is compiled and cached is.
  await change(500);
  const begin = await heap(session);
  await change(changes);
  const end = await heap(session);
  context.diagnostic(`heap: ${(begin.usedSize / 1e6).toFixed(2)} MB before, ${(end.usedSize / 1e6).toFixed(2)} MB after ${changes} changes; nodes: ${begin.nodes}, ${end.nodes}`);
  assert.ok(end.usedSize < begin.usedSize * 1.1 + 200_000, `${begin.usedSize} became ${end.usedSize} bytes`);
  assert.ok(end.nodes < begin.nodes + 500, `${begin.nodes} became ${end.nodes} nodes`);
  await browser.close(page);
});
