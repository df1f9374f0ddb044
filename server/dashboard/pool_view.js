// One pool.

import * as actions from "./actions.js";
import { call, poolPath } from "./api.js";
import { Trends } from "./charts.js";
import { checkQuestion, closeDialog } from "./dialog.js";
import { announce, byId, make, placesOf, returnTo, setHidden, setText, stamp } from "./dom.js";
import { clockTime, count, duration } from "./format.js";
import { Live } from "./live.js";
import { QueueList } from "./queue.js";
import { poolAt, renamePool } from "./session.js";
import { SlotList, slotsOf } from "./slots.js";
import { Tiles } from "./tiles.js";

// A pool may change all the time.
const payloadPause = 3000;

export class PoolView {
  constructor(main, number) {
    this.main = main;
    this.number = number;
    this.id = poolAt(number).id;
    this.state = null;
    this.live = new Live(this.id, {
      state: (state, skew) => this.receive(state, skew),
      link: (link) => this.showLink(link),
      paused: () => { if (this.isOk) this.showConnecting(); },
      gone: (error) => this.showGone(error),
    });
    this.ticker = setInterval(() => this.tick(), 1000);
    this.onTryNow = () => this.live.tryNow();
    byId("try-now").addEventListener("click", this.onTryNow);
    this.showConnecting();
    byId("link-state").hidden = false;
  }

  close() {
    this.isClosed = true;
    this.live.close();
    this.trends?.close();
    clearInterval(this.ticker);
    cancelAnimationFrame(this.frame);
    byId("try-now").removeEventListener("click", this.onTryNow);
    byId("link-state").hidden = true;
    byId("lost").hidden = true;
    closeDialog();
  }

  get name() {
    return this.state?.name ?? poolAt(this.number)?.name ?? "Pool";
  }

  leaseAt(position) {
    return this.state.holders.find((lease) => lease.positions.includes(position)) ?? null;
  }

  outAt(position) {
    return (this.state.out ?? []).find((out) => out.position === position) ?? null;
  }

  waiterNamed(name) {
    return this.state.queue.find((waiter) => waiter.waiter === name) ?? null;
  }

  /// In seconds since 1970, as the server counts.
  now() {
    return (Date.now() + this.skew) / 1000;
  }

  receive(state, skew) {
    const before = this.state;
    this.state = state;
    this.skew = skew;
    this.receivedAt = Date.now();
    if (!before) this.build();
    this.keepPayloads();
    renamePool(this.number, state.name);
    // Of states that come faster than the screen shows them, the last one counts. A tab in the background draws
    // nothing, and keeps no more than that one.
    if (before) {
      cancelAnimationFrame(this.frame);
      this.frame = requestAnimationFrame(() => this.draw());
    } else {
      this.draw();
    }
  }

  build() {
    const { content, parts } = stamp("pool-template");
    this.parts = parts;
    this.main.replaceChildren(content);
    this.tiles = new Tiles(parts.tiles);
    this.slots = new SlotList(parts.slots, parts["no-slots"]);
    this.queue = new QueueList(parts.queue, parts["no-queue"]);
    this.trends = new Trends(this.id, () => this.now(), parts.trends, parts.charts);
    parts.resize.addEventListener("click", () => actions.resize(this));
    parts["to-queue"].addEventListener("click", () => byId("queue-title").focus());
    parts.slots.addEventListener("click", (event) => this.slotClicked(event));
    parts.queue.addEventListener("click", (event) => this.waiterClicked(event));
    const filter = () => {
      const text = byId("find").value.trim().toLowerCase();
      this.slots.filter({ kind: byId("slots-filter").value, text });
      this.queue.filter(text);
    };
    byId("slots-filter").addEventListener("change", filter);
    byId("find").addEventListener("input", filter);
  }

  slotClicked(event) {
    const button = event.target.closest("button[data-action]");
    if (!button) return;
    const position = Number(button.closest("li").dataset.position);
    const act = { revoke: actions.revoke, out: actions.takeOut, in: actions.putBack }[button.dataset.action];
    act(this, position);
  }

  waiterClicked(event) {
    const button = event.target.closest("button[data-action]");
    const waiter = button && this.waiterNamed(button.closest("li").dataset.waiter);
    if (waiter) actions.removeWaiter(this, waiter);
  }

  /// What the slots stand for: no state has it. It may have changed with each, and is asked for from time to time.
  async keepPayloads() {
    this.isPayloadOld = true;
    if (this.isAsking) return;
    this.isAsking = true;
    while (this.isPayloadOld && this.isOk && !this.isClosed) {
      this.isPayloadOld = false;
      await this.fetchPayloads();
      await new Promise((resolve) => { setTimeout(resolve, payloadPause); });
    }
    this.isAsking = false;
  }

  async fetchPayloads() {
    try {
      const { slots } = await call("GET", `${poolPath(this.id)}/slots`);
      if (!slots.some((payload) => payload !== null) && !this.payloads) return;
      this.payloads = slots;
      this.draw();
    } catch {
      // The page does without them until then.
      this.isPayloadOld = true;
    }
  }

  draw() {
    const { state, parts } = this;
    if (!parts.name.isConnected) return;
    setText(parts.name, this.name);
    document.title = `${this.name} · Sema`;
    const places = placesOf(document.activeElement ?? document.body);
    const slots = slotsOf(state, this.payloads);
    this.tiles.show(this.figures(slots));
    this.slots.show(slots, state.count, this.now());
    this.queue.show(state.queue, this.receivedAt);
    returnTo(places);
    checkQuestion();
  }

  figures(slots) {
    const { state } = this;
    const outs = state.out?.length ?? 0;
    const resting = slots.filter((slot) => slot.kind === "resting").length;
    const inService = state.count - (state.out ?? []).filter((out) => out.position < state.count).length;
    const longest = state.queue.reduce((most, waiter) => Math.max(most, waiter.waiting_for), 0);
    const isFull = state.available === 0;
    return [
      { label: "In use", value: `${state.in_use} of ${state.count}`, note: count(state.available, "free slot"),
        share: state.count > 0 ? state.in_use / state.count : 0, tone: isFull ? "full" : "" },
      { label: "Waiting", value: state.queue.length.toLocaleString("en"),
        note: state.queue.length > 0 ? `the longest for ${duration(longest)}` : "nobody" },
      { label: "A newcomer waits", value: state.eta === null ? "unknown" : state.eta === 0 ? "not at all"
        : `about ${duration(state.eta)}`, note: state.eta !== null ? ""
        : inService === 0 ? "no slot is in service" : "until some leases have ended" },
      { label: "Out of service", value: String(outs), note: resting > 0 ? `${resting} resting` : "",
        tone: outs > 0 ? "warn" : "" },
    ];
  }

  tick() {
    if (this.retryAt) {
      const left = Math.max(0, Math.ceil((this.retryAt - Date.now()) / 1000));
      setText(byId("lost-next"), `Trying again in ${left} s.`);
    }
    if (!this.state || document.hidden) return;
    this.slots.tick(this.now());
    this.queue.tick(Date.now());
  }

  showConnecting() {
    this.isOk = null;
    byId("link-state").className = "link-state";
    setText(byId("link-text"), "Connecting");
    document.body.classList.toggle("stale", this.state !== null);
  }

  showLink({ ok, nextAt }) {
    const wasOk = this.isOk;
    this.isOk = ok;
    this.retryAt = ok ? null : nextAt;
    byId("link-state").className = `link-state ${ok ? "ok" : "bad"}`;
    setText(byId("link-text"), ok ? "Live" : "Connection lost");
    setHidden(byId("lost"), ok);
    if (ok && wasOk === false) announce("Connected again.");
    if (!ok && wasOk !== false) {
      const since = this.receivedAt ? clockTime(new Date(this.receivedAt)) : "never";
      setText(byId("lost-since"), since);
      announce("Connection lost.");
    }
    document.body.classList.toggle("stale", !ok);
  }

  showGone(error) {
    this.isOk = false;
    byId("lost").hidden = true;
    byId("link-state").hidden = true;
    closeDialog();
    const what = error.message === "no such pool" ? "There is no such pool on this server." : `It is not shown: ${error.message}.`;
    this.main.replaceChildren(
      make("h1", { textContent: this.name }),
      make("p", { className: "notice", textContent: what }),
      make("p", {}, make("a", { href: "#/", textContent: "Back to the start" })));
    announce(what);
  }
}
