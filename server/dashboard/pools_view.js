// All pools, for the administrator.

import { CallError, call } from "./api.js";
import { announce, setHidden, setShare, setText, showList, stamp } from "./dom.js";
import { clockTime, count, duration } from "./format.js";
import { dropToken, openPool, token } from "./session.js";
import { Tiles } from "./tiles.js";

// More than anybody reads: among more, a pool is looked for by its name.
const mostRows = 200;
// There are no events of all pools, so they are asked for.
const pause = 5000;

const refusals = {
  401: "This is no token.",
  403: "This is not the admin token.",
  404: "This server has no administrator: start semad with --admin-token-file.",
};

const orders = {
  queue: (a, b) => b.queue - a.queue || share(b) - share(a),
  use: (a, b) => share(b) - share(a) || b.queue - a.queue,
  name: () => 0,
};

const share = (pool) => (pool.count > 0 ? pool.in_use / pool.count : 0);
const nameOfPool = (pool) => pool.name ?? `unnamed, ${pool.id.slice(0, 8)}…`;
const byName = (a, b) => Number(a.name === null) - Number(b.name === null) ||
  nameOfPool(a).localeCompare(nameOfPool(b), "en", { numeric: true });

export class PoolsView {
  constructor(main) {
    const { content, parts } = stamp("pools-template");
    this.parts = parts;
    this.rows = new Map();
    main.replaceChildren(content);
    this.tiles = new Tiles(parts.tiles);
    this.filter = main.querySelector("#pools-filter");
    this.order = main.querySelector("#pools-order");
    this.filter.addEventListener("input", () => this.draw());
    this.order.addEventListener("change", () => this.draw());
    document.title = "All pools · Sema";
    this.refresh();
  }

  close() {
    this.isClosed = true;
    clearTimeout(this.timer);
  }

  async refresh() {
    const began = Date.now();
    if (!document.hidden) await this.fetch();
    if (this.isClosed) return;
    // A long list costs the server something: it is asked for a tenth of the time at most.
    this.timer = setTimeout(() => this.refresh(), Math.max(pause, 9 * (Date.now() - began)));
  }

  async fetch() {
    try {
      const { pools } = await call("GET", "pools", { token: token() });
      if (this.isClosed) return;
      this.pools = pools.sort(byName);
      this.at = new Date();
      setText(this.parts.error, "");
      setText(this.parts["as-of"], `as of ${clockTime(this.at)}`);
      this.draw();
    } catch (error) {
      if (this.isClosed) return;
      if (refusals[error.status]) {
        dropToken(`All pools are not shown any more. ${refusals[error.status]}`);
        location.replace("#/");
        return;
      }
      setText(this.parts.error,
        `${error.message}${this.at ? ` Shown as of ${clockTime(this.at)}.` : ""} It is tried again.`);
    }
  }

  draw() {
    if (!this.pools) return;
    const sum = (key) => this.pools.reduce((total, pool) => total + pool[key], 0);
    const [slots, used, queue] = [sum("count"), sum("in_use"), sum("queue")];
    const oldest = this.pools.reduce((most, pool) => Math.max(most, pool.oldest_wait ?? 0), 0);
    this.tiles.show([
      { label: "Pools", value: this.pools.length.toLocaleString("en") },
      { label: "Slots in use", value: `${used.toLocaleString("en")} of ${slots.toLocaleString("en")}`,
        share: slots > 0 ? used / slots : 0 },
      { label: "Waiting", value: queue.toLocaleString("en"), note: queue > 0 ? `the longest for ${duration(oldest)}` : "nobody" },
    ]);
    const wanted = this.filter.value.trim().toLowerCase();
    const found = this.pools.filter((pool) => nameOfPool(pool).toLowerCase().includes(wanted));
    found.sort(orders[this.order.value]);
    showList(this.parts.rows, this.rows, found.slice(0, mostRows), {
      key: (pool) => pool.id,
      add: (pool) => this.add(pool),
      update: (row, pool) => this.update(row, pool),
    });
    setText(this.parts.rest, found.length === 0 ? "No pool has such a name."
      : found.length > mostRows ? `The first ${mostRows} of ${count(found.length, "pool")}: look for one by its name.` : "");
    setHidden(this.parts.rest, this.parts.rest.textContent === "");
  }

  add(pool) {
    const { root, parts } = stamp("pools-row");
    parts.open.addEventListener("click", () => {
      location.hash = `#/pool/${openPool(pool.id, pool.name)}`;
    });
    return { element: root, parts };
  }

  update({ parts, element }, pool) {
    setText(parts.name, nameOfPool(pool));
    setShare(parts.bar, share(pool));
    element.classList.toggle("full", pool.available === 0 && pool.count > 0);
    setText(parts["in-use"], `${pool.in_use} of ${pool.count}`);
    setText(parts.queue, pool.queue.toLocaleString("en"));
    setText(parts.oldest, pool.queue > 0 && pool.oldest_wait != null ? duration(pool.oldest_wait) : "–");
  }
}

/// Whether the token opens the list. The exception says why not.
export async function tryToken(text) {
  // Some of what is no token a browser cannot even send.
  if (!/^[-\w.~+/]+=*$/.test(text)) throw new CallError(400, "This is no token: one has a-z, A-Z, 0-9 and -._~+/ only.");
  try {
    await call("GET", "pools", { token: text });
  } catch (error) {
    throw refusals[error.status] ? new CallError(error.status, refusals[error.status]) : error;
  }
  announce("The token is right.");
}
