// Which page is shown: `#/` asks for a pool, `#/pools` has all, `#/pool/2` is the third that was opened in this tab.

import { prepareDialog } from "./dialog.js";
import { byId, make } from "./dom.js";
import { PoolView } from "./pool_view.js";
import { PoolsView } from "./pools_view.js";
import { poolAt, token } from "./session.js";
import { StartView } from "./start_view.js";

let view = null;

function showTrail() {
  const links = [];
  if (!(view instanceof StartView) && token()) {
    const all = make("a", { href: "#/pools", textContent: "All pools" });
    if (view instanceof PoolsView) all.setAttribute("aria-current", "page");
    links.push(all);
  }
  byId("trail").replaceChildren(...links);
}

function viewOf(main, path) {
  if (path === "/pools" && token()) return new PoolsView(main);
  const number = /^\/pool\/(\d+)$/.exec(path)?.[1];
  if (number !== undefined && poolAt(Number(number))) return new PoolView(main, Number(number));
  // The start page leads to a view by a change of the address, which must not be that view's already.
  if (path !== "/") history.replaceState(null, "", "#/");
  return new StartView(main);
}

function show() {
  const path = location.hash.startsWith("#/") ? location.hash.slice(1) : "/";
  const main = byId("main");
  view?.close();
  main.replaceChildren();
  document.body.classList.remove("stale");
  view = viewOf(main, path);
  showTrail();
}

prepareDialog();
document.querySelector(".skip").addEventListener("click", (event) => {
  // Its address would be taken for that of a page.
  event.preventDefault();
  byId("main").focus();
});
window.addEventListener("hashchange", () => {
  show();
  byId("main").focus({ preventScroll: true });
  window.scrollTo(0, 0);
});
show();
