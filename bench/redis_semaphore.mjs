// The same load as sema_load's, on npm's redis-semaphore, in the same form of output:
//
//   node redis_semaphore.mjs pairs --port N --slots N --clients N --seconds S [--wait S] [--processes N]
//   node redis_semaphore.mjs wake --port N --rounds N
//
// Every client has a connection of its own. Node runs one thread, so that many clients are divided among
// `--processes` as wrk divides its connections among threads.

import { fork } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import Redis from "ioredis";
import { Semaphore } from "redis-semaphore";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    port: { type: "string" },
    slots: { type: "string", default: "1" },
    clients: { type: "string", default: "1" },
    seconds: { type: "string", default: "1" },
    wait: { type: "string", default: "0" },
    rounds: { type: "string", default: "100" },
    processes: { type: "string", default: "1" },
  },
});
const option = Object.fromEntries(Object.entries(values).map(([name, value]) => [name, Number(value)]));
const key = "bench";

async function connect() {
  const redis = new Redis({ host: "127.0.0.1", port: option.port, lazyConnect: true, maxRetriesPerRequest: 0 });
  await redis.connect();
  return redis;
}

// No refreshing in the background: our clients keep nothing alive either. All else is the default.
function semaphore(redis, slots, wait) {
  return new Semaphore(redis, key, slots, {
    lockTimeout: 60_000,
    acquireTimeout: wait * 1000 || 10_000,
    acquireAttemptsLimit: wait > 0 ? Infinity : 1,
    refreshInterval: 0,
  });
}

// One client's life: acquire and release until the time is over. Times are in milliseconds.
async function pairs(client, end, result) {
  for (;;) {
    const start = performance.now();
    if (start >= end) return;
    if (!(await client.tryAcquire())) {
      result.conflicts += 1;
      continue;
    }
    result.borrows.push(performance.now() - start);
    await client.release();
    result.pairs.push(performance.now() - start);
  }
}

// A process with its share of the clients: says when all are connected, starts when told to.
async function worker() {
  const clients = option.clients / option.processes;
  const redises = await Promise.all(Array.from({ length: clients }, connect));
  process.send("ready");
  await once(process, "message");
  const result = { borrows: [], pairs: [], conflicts: 0 };
  const end = performance.now() + option.seconds * 1000;
  await Promise.all(redises.map((redis) => pairs(semaphore(redis, option.slots, option.wait), end, result)));
  redises.forEach((redis) => redis.disconnect());
  process.send(result, () => process.disconnect());
}

async function runPairs() {
  const workers = Array.from({ length: option.processes }, () =>
    fork(process.argv[1], ["worker", ...process.argv.slice(3)], { serialization: "advanced" }),
  );
  const failed = new Promise((_, reject) => {
    for (const each of workers) {
      each.on("exit", (status) => status === 0 || reject(new Error("a worker failed")));
    }
  });
  const next = (each) => Promise.race([once(each, "message").then(([message]) => message), failed]);
  try {
    await Promise.all(workers.map(next));
    const start = performance.now();
    const results = Promise.all(workers.map(next));
    workers.forEach((each) => each.send("go"));
    const all = await results;
    const elapsed = (performance.now() - start) / 1000;
    const borrows = all.flatMap((each) => each.borrows);
    const done = all.flatMap((each) => each.pairs);
    await check();
    report("pairs_per_second", done.length / elapsed);
    reportTimes("borrow", borrows);
    reportTimes("pair", done);
    report("conflicts", all.reduce((sum, each) => sum + each.conflicts, 0));
  } finally {
    workers.forEach((each) => each.kill());
  }
}

async function runWake() {
  const holder = semaphore(await connect(), 1, 30);
  const waiter = semaphore(await connect(), 1, 30);
  const times = [];
  for (let round = 0; round < option.rounds; ++round) {
    await holder.acquire();
    let granted = 0;
    const waiting = waiter.acquire().then(() => (granted = performance.now()));
    // Long enough for the first attempt to have failed, and not in step with the next ones.
    await sleep(3 + (round % 10));
    const returned = performance.now();
    await Promise.all([holder.release(), waiting]);
    times.push(granted - returned);
    await waiter.release();
  }
  await check();
  reportTimes("wake", times);
}

// Nobody may hold anything when all have returned.
async function check() {
  const redis = await connect();
  const left = await redis.zcard(`semaphore:${key}`);
  redis.disconnect();
  if (left !== 0) throw new Error(`${left} permits are still held`);
}

function report(name, value) {
  process.stdout.write(`${name}=${value.toFixed(1)} `);
}

function reportTimes(name, milliseconds) {
  const sorted = Float64Array.from(milliseconds).sort();
  const percentile = (share) => 1000 * sorted[Math.max(Math.ceil(share * sorted.length), 1) - 1];
  report(`${name}_p50`, percentile(0.5));
  report(`${name}_p99`, percentile(0.99));
}

const modes = { pairs: runPairs, wake: runWake, worker };
await modes[positionals[0]]();
if (positionals[0] !== "worker") {
  process.stdout.write("\n");
  process.exit(0);
}
