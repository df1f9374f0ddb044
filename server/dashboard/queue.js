// The waiters, by rank.

import { setHidden, setText, showList, stamp } from "./dom.js";
import { duration, nameOf } from "./format.js";
import { mostShown, showHolder } from "./slots.js";

class WaiterEntry {
  constructor(waiter) {
    const { root, parts } = stamp("waiter-template");
    this.element = root;
    this.parts = parts;
    root.dataset.waiter = waiter.waiter;
    showHolder(parts.who, waiter.holder);
  }

  update(waiter, receivedAt) {
    this.waiter = waiter;
    this.receivedAt = receivedAt;
    setText(this.parts.rank, String(waiter.rank));
    const marks = [];
    if (waiter.callback) marks.push("by callback");
    if (waiter.away) marks.push("away");
    if (waiter.slots > 1) marks.push(`${waiter.slots} slots`);
    if (waiter.priority !== 0) marks.push(`priority ${waiter.priority}`);
    setText(this.parts.marks, marks.join(" · "));
    setHidden(this.parts.marks, marks.length === 0);
    const label = `Remove from the queue: number ${waiter.rank}, ${nameOf(waiter.holder)}`;
    if (this.label !== label) this.parts.remove.setAttribute("aria-label", label);
    this.label = label;
  }

  tick(localNow) {
    const passed = (localNow - this.receivedAt) / 1000;
    const { waiting_for: waited, eta } = this.waiter;
    const forecast = eta === null || eta === undefined ? "" : ` · about ${duration(eta - passed)} to go`;
    setText(this.parts.times, `waits ${duration(waited + passed)}${forecast}`);
  }
}

export class QueueList {
  constructor(list, empty) {
    this.list = list;
    this.empty = empty;
    this.entries = new Map();
  }

  show(queue, localNow) {
    showList(this.list, this.entries, queue.slice(0, mostShown), {
      key: (waiter) => waiter.waiter,
      add: (waiter) => new WaiterEntry(waiter),
      update: (entry, waiter) => entry.update(waiter, localNow),
    });
    this.length = queue.length;
    this.tick(localNow);
    this.filter(this.wanted ?? "");
  }

  tick(localNow) {
    for (const entry of this.entries.values()) entry.tick(localNow);
  }

  filter(text) {
    this.wanted = text;
    let shown = 0;
    for (const { element, waiter } of this.entries.values()) {
      const hasText = nameOf(waiter.holder).toLowerCase().includes(text);
      setHidden(element, !hasText);
      if (hasText) ++shown;
    }
    const isCut = this.length > mostShown;
    setText(this.empty, isCut ? `The first ${mostShown} of ${this.length}.`
      : this.length === 0 ? "Nobody waits." : "No waiter is like that.");
    setHidden(this.empty, shown > 0 && !isCut);
  }
}
