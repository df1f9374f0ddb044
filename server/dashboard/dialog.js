// The one dialog of the page, in which everything that changes something is confirmed.

import { byId, make, placesOf, returnTo, setText, tell } from "./dom.js";

let asked = null;

/// Asks for a confirmation. `question` has a `title`, `body` (nodes), the `confirm` button's text, whether that
/// `isDangerous`, and `act`, which does it: its exception is shown, and then the dialog stays. The pool changes while
/// somebody reads: `obstacle`, where there is one, says why it cannot be done any more, or null; `refresh`, where there
/// is one, brings the body up to date.
export function ask(question) {
  const dialog = byId("dialog");
  if (dialog.open) return;
  asked = question;
  question.places = placesOf(document.activeElement ?? document.body);
  byId("dialog-title").textContent = question.title;
  byId("dialog-body").replaceChildren(...question.body);
  const confirm = byId("dialog-confirm");
  confirm.textContent = question.confirm;
  confirm.className = question.isDangerous ? "danger" : "primary";
  showState();
  dialog.showModal();
  (dialog.querySelector("#dialog-body input") ?? byId("dialog-cancel")).focus();
}

/// To be called when the pool has changed.
export function checkQuestion() {
  if (!asked || asked.isBusy) return;
  asked.refresh?.();
  showState();
}

function showState() {
  const { isBusy, failure } = asked;
  const obstacle = isBusy ? null : asked.obstacle?.() ?? null;
  setText(byId("dialog-error"), obstacle ?? failure ?? "");
  byId("dialog-confirm").disabled = Boolean(isBusy) || obstacle !== null;
  // What is under way is not called back.
  setText(byId("dialog-cancel"), isBusy ? "Close" : "Cancel");
}

export function closeDialog() {
  byId("dialog").close();
}

async function confirmed(question) {
  question.isBusy = true;
  question.failure = null;
  showState();
  try {
    await question.act();
  } catch (error) {
    question.failure = error.message;
    // An answer that was lost is none that says no.
    if (error.status === 0) question.failure += " It may be done all the same.";
  }
  question.isBusy = false;
  if (asked !== question) {
    if (question.failure) tell(`${question.title} ${question.failure}`);
  } else if (question.failure) {
    showState();
  } else {
    closeDialog();
  }
}

export function prepareDialog() {
  byId("dialog-form").addEventListener("submit", (event) => {
    event.preventDefault();
    if (asked && !byId("dialog-confirm").disabled) confirmed(asked);
  });
  byId("dialog-cancel").addEventListener("click", closeDialog);
  byId("dialog").addEventListener("close", () => {
    if (asked.isBusy) tell("It is under way, and may still be done.");
    returnTo(asked.places);
    asked = null;
    byId("dialog-body").replaceChildren();
  });
}

/// A paragraph, some of whose parts are names of others: those are given as `[name]`.
export function paragraph(...parts) {
  const nodes = parts.map((part) =>
    Array.isArray(part) ? make("strong", {}, make("bdi", { textContent: part[0] })) : part);
  return make("p", {}, ...nodes);
}

/// A field with its label: `input` is where the value is.
export function field(label, properties) {
  const input = make("input", { id: `field-${properties.name}`, autocomplete: "off", ...properties });
  return { input, nodes: [make("label", { htmlFor: input.id, textContent: label }), input] };
}
