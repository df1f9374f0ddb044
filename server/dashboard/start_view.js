// Where a pool, or all of them, are asked for.

import { CallError, call, poolPath } from "./api.js";
import { make, setText, stamp } from "./dom.js";
import { tryToken } from "./pools_view.js";
import { forgetAll, keepToken, openPool, openedPools, token, whyDropped } from "./session.js";

const uuid = /^(urn:uuid:)?\{?([0-9a-f]{8})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{12})\}?$/i;

export class StartView {
  constructor(main) {
    const { content, parts } = stamp("start-template");
    main.replaceChildren(content);
    this.parts = parts;
    document.title = "Sema";
    this.onSubmit(parts.one, "#pool-error", (form) => this.openOne(form.elements.id.value));
    this.onSubmit(parts.all, "#token-error", (form) => this.openAll(form.elements.token.value));
    setText(main.querySelector("#token-error"), whyDropped() ?? "");
    parts.forget.addEventListener("click", () => {
      forgetAll();
      this.showRecent();
      parts.one.elements.id.focus();
    });
    this.showRecent();
  }

  close() {
    this.isClosed = true;
  }

  onSubmit(form, errorPart, act) {
    const error = form.querySelector(errorPart);
    form.noValidate = true;
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const button = form.querySelector("button");
      setText(error, "");
      button.disabled = true;
      try {
        await act(form);
      } catch (why) {
        setText(error, why.message);
        form.querySelector("input").focus();
      } finally {
        button.disabled = false;
      }
    });
  }

  async openOne(text) {
    const found = uuid.exec(text.trim());
    if (!found) throw new CallError(400, "This is no UUID: it has 32 hex digits, with hyphens or without.");
    const id = found.slice(2).join("-").toLowerCase();
    try {
      await call("GET", poolPath(id));
    } catch (error) {
      throw error.status === 404 ? new CallError(404, "There is no such pool on this server.") : error;
    }
    if (!this.isClosed) location.hash = `#/pool/${openPool(id)}`;
  }

  async openAll(text) {
    const given = text.trim();
    if (!given) throw new CallError(400, "The token is missing.");
    await tryToken(given);
    if (this.isClosed) return;
    keepToken(given);
    location.hash = "#/pools";
  }

  showRecent() {
    const pools = openedPools();
    this.parts.recent.hidden = pools.length === 0 && !token();
    const links = pools.map((pool, number) =>
      make("li", {}, make("a", { href: `#/pool/${number}` },
        make("bdi", { textContent: pool.name ?? `pool ${number + 1}` }))));
    if (token()) links.unshift(make("li", {}, make("a", { href: "#/pools", textContent: "All pools" })));
    this.parts["recent-list"].replaceChildren(...links);
  }
}
