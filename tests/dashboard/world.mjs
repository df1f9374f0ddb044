// A real semad and a real browser, for the tests beside this.
//
// Where they are: SEMAD, the program; CHROMIUM, the browser, else the system's; NODE_MODULES, the folder with
// playwright-core and axe-core (script/bootstrap test fetches it).

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import http from "node:http";
import { createRequire } from "node:module";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";

const project = path.resolve(import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname), "../..");
export const modules = process.env.NODE_MODULES ?? path.join(project, "build/tools/browser/node_modules");
const require = createRequire(path.join(modules, "x.js"));
const { chromium } = require("playwright-core");
const axeSource = require("axe-core").source;

/// For what happens on a machine that does much else.
export const patience = 30_000;
export const adminToken = "t0ken-of-the-administrator-of-these-tests";
export const documents = path.join(project, "docs/dashboard");

/// Until `condition` holds, which may be a promise.
export async function eventually(condition, what = "it") {
  const deadline = Date.now() + patience;
  for (;;) {
    const value = await condition();
    if (value) return value;
    assert.ok(Date.now() < deadline, `${what} did not come true within ${patience / 1000} s`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/// A port that nobody gets who asks for any free one, so that it stays a server's while that is down.
async function ownPort() {
  for (;;) {
    const port = 15_000 + Math.floor(Math.random() * 15_000);
    const isFree = await new Promise((resolve) => {
      const probe = net.createServer().once("error", () => resolve(false));
      probe.listen(port, "127.0.0.1", () => probe.close(() => resolve(true)));
    });
    if (isFree) return port;
  }
}

export class Server {
  /// `options` are added to semad's command line.
  static async start(options = ["--dashboard"]) {
    const server = new Server();
    server.folder = await mkdtemp(path.join(tmpdir(), "sema-dashboard-"));
    const token = path.join(server.folder, "token");
    await writeFile(token, `${adminToken}\n`, { mode: 0o600 });
    server.command = ["--store", `sqlite:${server.folder}/semad.db`, "--admin-token-file", token, "--max-wait", "1h", ...options];
    server.port = await ownPort();
    await server.run();
    return server;
  }

  async run() {
    const semad = process.env.SEMAD ?? path.join(project, "build/dev/server/semad");
    this.process = spawn(semad, ["--listen", `127.0.0.1:${this.port}`, ...this.command], { stdio: ["ignore", "ignore", "pipe"] });
    this.log = "";
    this.process.stderr.on("data", (text) => { this.log += text; });
    this.ended = new Promise((resolve) => this.process.once("exit", resolve));
    const url = await eventually(() => {
      assert.equal(this.process.exitCode, null, this.log);
      return /listening on (http:\S+?),? /.exec(this.log)?.[1];
    }, "the start of semad");
    this.url = url;
    this.port = new URL(url).port;
  }

  /// As a crash does. run() starts it again, where it was.
  async kill() {
    this.process.kill("SIGKILL");
    await this.ended;
  }

  /// No thread of it runs once this is done: the signal alone takes effect a little later.
  async halt() {
    this.process.kill("SIGSTOP");
    const threads = `/proc/${this.process.pid}/task`;
    await eventually(async () => {
      const all = await Promise.all((await readdir(threads)).map((each) => readFile(path.join(threads, each, "stat"), "utf8").catch(() => "")));
      return all.every((stat) => stat.slice(stat.lastIndexOf(")")).startsWith(") T"));
    }, "the halt");
  }

  goOn() { this.process.kill("SIGCONT"); }

  async stop() {
    this.waits?.abort();
    this.process.kill("SIGTERM");
    await this.ended;
    await rm(this.folder, { recursive: true, force: true });
  }

  fetch(method, where, body, options = {}) {
    return fetch(this.url + where, { method, body: body && JSON.stringify(body), ...options });
  }

  /// The answer of a call that is done.
  async call(method, where, body) {
    const response = await this.fetch(method, where, body);
    const answer = await response.json();
    assert.equal(response.status, 200, `${method} ${where}: ${JSON.stringify(answer)}`);
    return answer;
  }

  async pool(fields) {
    const id = randomUUID();
    await this.call("PUT", `/l/${id}`, fields);
    return new Pool(this, id);
  }
}

export class Pool {
  constructor(server, id) {
    this.server = server;
    this.id = id;
    this.path = `/l/${id}`;
  }

  put(fields) { return this.server.call("PUT", this.path, fields); }
  borrow(fields) { return this.server.call("POST", `${this.path}/borrow`, { ttl: 3600, ...fields }); }
  giveBack({ lease }) { return this.server.call("POST", `${this.path}/return`, { lease }); }
  view() { return this.server.call("GET", `${this.path}/holders`); }
  async waiting() { return (await this.view()).queue.length; }

  /// A borrow that has to wait, once it stands in the queue. What it answers is its `answer`.
  async wait(fields) {
    this.server.waits ??= new AbortController();
    const lease = randomUUID();
    const before = await this.waiting();
    const answer = this.server.fetch("POST", `${this.path}/borrow`, { ttl: 3600, wait: 3600, lease, ...fields },
      { signal: this.server.waits.signal }).then(async (response) => ({ status: response.status, ...(await response.json()) }),
      () => null);
    await eventually(async () => (await this.waiting()) > before, "the wait");
    return { lease, answer };
  }
}

/// One address with a semad below each path, as a proxy makes it. `isCut(request)` says which calls get no answer.
export class Proxy {
  static async start(servers) {
    const proxy = new Proxy();
    proxy.isCut = () => false;
    proxy.http = http.createServer((request, response) => {
      const [prefix, server] = Object.entries(servers).find(([path]) => request.url.startsWith(path));
      const call = http.request({ port: server.port, host: "127.0.0.1", method: request.method, headers: request.headers,
        path: request.url.slice(prefix.length) }, (answer) => {
        if (proxy.isCut(request)) return response.destroy();
        response.writeHead(answer.statusCode, answer.headers);
        response.flushHeaders();
        answer.pipe(response);
      });
      call.on("error", () => response.destroy());
      response.on("close", () => call.destroy());
      request.pipe(call);
    });
    await new Promise((resolve) => { proxy.http.listen(0, "127.0.0.1", resolve); });
    // A test that fails does not stop it.
    proxy.http.unref();
    proxy.url = `http://127.0.0.1:${proxy.http.address().port}`;
    return proxy;
  }

  /// Ends all connections.
  cut() { this.http.closeAllConnections(); }

  stop() {
    this.http.close();
    this.cut();
  }
}

export class Browser {
  static async start() {
    const browser = new Browser();
    const known = ["/usr/bin/chromium-headless-shell", "/usr/bin/chromium", "/usr/bin/chromium-browser"];
    const executablePath = process.env.CHROMIUM ?? known.find((each) => existsSync(each));
    browser.chromium = await chromium.launch({
      executablePath,
      // A container's root has no sandbox, and its /dev/shm is small.
      args: ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--js-flags=--expose-gc"],
    });
    return browser;
  }

  /// A page of the dashboard in a window of this width. What the page logs as an error fails the test, in close().
  /// `clock`: the test can put the page's clock forward.
  async open(server, { width = 1280, height = 900, scheme = "light", where = "/dashboard/", clock = false } = {}) {
    const context = await this.chromium.newContext({
      viewport: { width, height }, colorScheme: scheme, locale: "en-GB", timezoneId: "UTC", reducedMotion: "reduce",
    });
    context.setDefaultTimeout(patience);
    const page = await context.newPage();
    if (clock) await page.clock.install();
    page.faults = [];
    page.on("pageerror", (error) => page.faults.push(String(error)));
    page.on("console", (message) => {
      // A call that was refused, or a server that is away, is logged by the browser itself.
      if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) page.faults.push(message.text());
    });
    await page.goto(server.url + where);
    return page;
  }

  /// The same, with a pool shown.
  async openPool(server, pool, options) {
    const page = await this.open(server, options);
    await this.showPool(page, pool);
    return page;
  }

  /// A page that asks for a pool shows this one.
  async showPool(page, pool) {
    await page.getByLabel("The pool’s UUID").fill(pool.id);
    await page.getByRole("button", { name: "Show the pool" }).click();
    await page.getByRole("heading", { name: "Slots" }).waitFor();
  }

  async close(page) {
    const { faults } = page;
    await page.context().close();
    assert.deepEqual(faults, []);
  }

  stop() { return this.chromium.close(); }
}

/// What axe finds wrong with the page as it is.
export async function accessibilityFaults(page) {
  await page.evaluate(axeSource);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => `${node.target} ${node.failureSummary}`).join(" | ")}`);
}
