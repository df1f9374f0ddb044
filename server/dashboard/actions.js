// What an administrator can do to a pool, each after a confirmation.

import { CallError, call, poolPath } from "./api.js";
import { ask, field, paragraph } from "./dialog.js";
import { make, setText, tell } from "./dom.js";
import { count, nameOf } from "./format.js";

/// `view` has the pool's `id`, and its latest `state`.
export function revoke(view, position) {
  const lease = view.leaseAt(position);
  if (!lease) return;
  const others = lease.positions.filter((other) => other !== position);
  ask({
    title: `Revoke slot ${position}?`,
    body: [
      paragraph("The lease of ", [nameOf(lease.holder)], " ends at once",
        others.length > 0 ? `, with slot ${others.join(", ")} too` : "",
        ", and the next in the queue may be lent the slot. A command that still uses it is not stopped by that; ",
        "semactl run stops its own when it next renews the lease."),
      paragraph(`Fence ${lease.fence}: a lease that has come after this one is not touched.`),
    ],
    confirm: "Revoke",
    isDangerous: true,
    obstacle: () => (view.leaseAt(position)?.fence === lease.fence ? null : "This lease is over."),
    act: async () => {
      const { revoked } = await call("POST", `${poolPath(view.id)}/revoke`,
        { body: { position, fence: lease.fence } });
      if (!revoked) throw new CallError(200, "This lease is over: nothing was revoked.");
      tell(`Slot ${position} is revoked.`);
    },
  });
}

const putSlot = (view, position, body) => call("PUT", `${poolPath(view.id)}/slots/${position}`, { body });

const afterLease = (lease) => (lease
  ? paragraph("The lease of ", [nameOf(lease.holder)], " goes on. After it the slot is lent to nobody, until you put ",
    "it back.")
  : paragraph("The slot is lent to nobody, until you put it back."));

export function takeOut(view, position) {
  let lease = view.leaseAt(position);
  const effect = make("div", {}, afterLease(lease));
  const reason = field("Reason (shown to everybody)", { name: "reason" });
  ask({
    title: `Take slot ${position} out of service?`,
    body: [effect, ...reason.nodes],
    confirm: "Take out of service",
    obstacle: () => (view.outAt(position) ? "It is out of service already." : null),
    refresh: () => {
      const next = view.leaseAt(position);
      if (next?.fence === lease?.fence) return;
      lease = next;
      effect.replaceChildren(afterLease(lease));
    },
    act: async () => {
      const text = reason.input.value.trim();
      await putSlot(view, position, text ? { out: true, reason: text } : { out: true });
      tell(`Slot ${position} is out of service.`);
    },
  });
}

export function putBack(view, position) {
  const out = view.outAt(position);
  if (!out) return;
  ask({
    title: `Put slot ${position} back into service?`,
    body: [
      out.reason ? paragraph("It was taken out: ", [out.reason]) : paragraph("It was taken out without a reason."),
      paragraph("It can be lent again at once."),
    ],
    confirm: "Put back",
    obstacle: () => {
      const now = view.outAt(position);
      if (!now) return "It is in service already.";
      // The server rounds the time in each state anew.
      const isSame = Math.abs(now.since_unix - out.since_unix) <= 1 && now.reason === out.reason;
      return isSame ? null : "It was taken out anew meanwhile: read the reason on its card first.";
    },
    act: async () => {
      await putSlot(view, position, { out: false });
      tell(`Slot ${position} is back in service.`);
    },
  });
}

export function resize(view) {
  // The number that the reader has seen.
  let known = view.state.count;
  const wanted = field("How many slots", {
    name: "count", type: "number", min: 0, step: 1, required: true, value: known,
  });
  const now = make("span");
  const show = (number) => setText(now, count(number, "slot"));
  show(known);
  ask({
    title: "Resize the pool?",
    body: [
      make("p", {}, "It has ", now, " now. With fewer, no lease ends: nothing is lent until enough of them are over."),
      ...wanted.nodes,
    ],
    confirm: "Resize",
    refresh: () => show(view.state.count),
    act: async () => {
      const target = wanted.input.valueAsNumber;
      if (!Number.isInteger(target) || target < 0) throw new CallError(400, "The number of slots is a whole number.");
      // A pool that is gone is not made anew, unless it goes between these two calls; and nobody else's change is
      // undone unseen. POST /resize makes no pool, but a browser sends a POST again whose connection ends without an
      // answer, and it would add twice.
      const { count: there } = await call("GET", poolPath(view.id));
      if (there !== known && there !== target) {
        known = there;
        show(there);
        throw new CallError(409, `It has ${count(there, "slot")} by now. Confirm again if your number is still right.`);
      }
      const { count: done } = await call("PUT", poolPath(view.id), { body: { count: target } });
      tell(`The pool has ${count(done, "slot")}.`);
    },
  });
}

export function removeWaiter(view, waiter) {
  ask({
    title: `Remove number ${waiter.rank} from the queue?`,
    body: [
      paragraph([nameOf(waiter.holder)], " is answered that its request was cancelled, and is not lent a slot."),
      paragraph("It can ask again, and then stands at the end."),
    ],
    confirm: "Remove",
    isDangerous: true,
    obstacle: () => (view.waiterNamed(waiter.waiter) ? null : "It has left the queue."),
    act: async () => {
      const { cancelled } = await call("POST", `${poolPath(view.id)}/cancel`, { body: { waiter: waiter.waiter } });
      if (!cancelled) throw new CallError(200, "It has left the queue: nothing was removed.");
      tell("The waiter was removed.");
    },
  });
}
