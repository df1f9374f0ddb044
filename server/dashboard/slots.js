// The slots of a pool, as cards.

import { make, setClass, setHidden, setShare, setText, showList, stamp } from "./dom.js";
import { duration, nameOf, payloadText, webAddress } from "./format.js";

// More than anybody reads, and what a browser draws in no time.
export const mostShown = 2000;

const words = { free: "free", held: "in use", resting: "resting", out: "out of service" };

/// What there is to show of each slot, by position. Leases beyond the pool's count are shown too, where it has shrunk.
/// Of a very large pool, free slots are left out.
export function slotsOf(state, payloads) {
  const slots = [];
  const at = (position) => (slots[position] ??= { position, lease: null, out: null, resting: null });
  for (let position = 0; position < state.count && state.count <= mostShown; ++position) at(position);
  for (const lease of state.holders) for (const position of lease.positions) at(position).lease = lease;
  for (const out of state.out ?? []) at(out.position).out = out;
  for (const resting of state.resting ?? []) at(resting.position).resting = resting;
  const shown = slots.filter(Boolean).slice(0, mostShown);
  for (const slot of shown) {
    slot.isSurplus = slot.position >= state.count;
    slot.kind = slot.lease ? "held" : slot.out ? "out" : slot.resting ? "resting" : "free";
    slot.payload = payloadText(payloads?.[slot.position]);
  }
  return shown;
}

/// A holder's name, as a link where it gave one that a browser may follow.
export function showHolder(element, holder) {
  const name = make("bdi", { textContent: nameOf(holder) });
  const href = holder?.url ? webAddress(holder.url) : null;
  const shown = href ? make("a", { href, target: "_blank", rel: "noopener noreferrer" }, name) : name;
  if (href) shown.append(make("span", { className: "visually-hidden", textContent: " (opens in a new tab)" }));
  element.title = holder?.name ?? "";
  element.replaceChildren(shown);
}

const signature = (slot) =>
  [slot.kind, slot.lease?.fence, slot.lease?.expires_at_unix, slot.lease?.positions.length, slot.out?.reason,
    slot.out?.since_unix, slot.isSurplus, slot.payload].join("\n");

class SlotCard {
  constructor(slot) {
    const { root, parts } = stamp("slot-template");
    this.element = root;
    this.parts = parts;
    root.dataset.position = slot.position;
    parts.position.textContent = `Slot ${slot.position}`;
    for (const [part, what] of [["revoke", "Revoke"], ["out", "Take out of service"], ["in", "Put back into service"]])
      parts[part].setAttribute("aria-label", `${what}: slot ${slot.position}`);
  }

  update(slot) {
    this.slot = slot;
    const text = signature(slot);
    if (text === this.shown) return;
    this.shown = text;
    const { parts } = this;
    setClass(this.element, `slot ${slot.kind}${slot.out ? " is-out" : ""}`);
    setText(parts.state, words[slot.kind]);
    setHidden(parts.who, !slot.lease);
    if (slot.lease && slot.lease.fence !== this.fence) showHolder(parts.who, slot.lease.holder);
    this.fence = slot.lease?.fence;
    setHidden(parts.left, !slot.lease);
    setText(parts.payload, slot.payload);
    parts.payload.title = slot.payload;
    setHidden(parts.payload, slot.payload === "");
    this.showNote(parts.note, this.warning(slot));
    this.showNote(parts.more, this.more(slot));
    setHidden(parts.revoke, !slot.lease);
    setHidden(parts.out, Boolean(slot.out) || slot.isSurplus);
    setHidden(parts.in, !slot.out);
  }

  showNote(element, text) {
    setText(element, text);
    setHidden(element, text === "");
  }

  warning({ out, lease }) {
    if (!out) return "";
    return lease ? `then out of service: ${out.reason || "no reason given"}` : out.reason || "no reason given";
  }

  more({ lease, isSurplus }) {
    const notes = [];
    if (lease?.positions.length > 1) notes.push(`one lease of slots ${lease.positions.join(", ")}`);
    if (isSurplus) notes.push("beyond the pool’s size");
    return notes.join(" · ");
  }

  /// What time alone changes. `now` is the server's, in seconds since 1970.
  tick(now) {
    const { lease, out, resting } = this.slot;
    const { times, left } = this.parts;
    let text = "";
    if (lease) {
      const remaining = lease.expires_at_unix - now;
      text = `held ${duration(now - lease.granted_at_unix)} · ${duration(remaining)} left`;
      const length = Math.max(lease.expires_at_unix - lease.granted_at_unix, 1);
      setShare(this.parts["left-part"], remaining / length);
      setClass(left, remaining < length / 10 ? "left ending" : "left");
    } else if (out) {
      text = `for ${duration(now - out.since_unix)}`;
    } else if (resting) {
      text = `for ${duration(resting.until_unix - now)} more`;
    }
    setText(times, text);
    setHidden(times, text === "");
  }
}

export class SlotList {
  constructor(list, empty) {
    this.list = list;
    this.empty = empty;
    this.cards = new Map();
  }

  show(slots, count, now) {
    this.isCut = count > mostShown;
    showList(this.list, this.cards, slots, {
      key: (slot) => String(slot.position),
      add: (slot) => new SlotCard(slot),
      update: (card, slot) => card.update(slot),
    });
    this.tick(now);
    this.filter(this.wanted ?? { kind: "all", text: "" });
  }

  tick(now) {
    for (const card of this.cards.values()) card.tick(now);
  }

  filter(wanted) {
    this.wanted = wanted;
    let shown = 0;
    for (const { element, slot } of this.cards.values()) {
      const isOfKind = wanted.kind === "all" || slot.kind === wanted.kind || (wanted.kind === "out" && slot.out);
      const texts = [slot.lease && nameOf(slot.lease.holder), slot.payload, slot.out?.reason];
      const hasText = wanted.text === "" || texts.some((text) => text?.toLowerCase().includes(wanted.text));
      setHidden(element, !(isOfKind && hasText));
      if (isOfKind && hasText) ++shown;
    }
    setHidden(this.empty, shown > 0 && !this.isCut);
    setText(this.empty, this.isCut ? `A pool of this size is shown without its free slots, and no more than ${mostShown}.`
      : this.cards.size === 0 ? "The pool has no slots." : "No slot is like that.");
  }
}
