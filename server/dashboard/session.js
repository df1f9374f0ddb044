// What this tab knows until it is closed: UUIDs of pools, which are secrets, and the admin token. None of it is ever
// part of an address, since addresses are logged, kept and shown. An address names a pool by its number in this tab.

// Several servers may be below one address, behind a proxy: what one is given is not sent to another.
const place = new URL(".", document.baseURI).pathname;
const poolsKey = `sema.pools:${place}`;
const tokenKey = `sema.token:${place}`;
let dropped = null;
let pools = JSON.parse(sessionStorage.getItem(poolsKey) ?? "[]");

const save = () => sessionStorage.setItem(poolsKey, JSON.stringify(pools));

export const openedPools = () => pools;
export const poolAt = (number) => pools[number];

/// The pool's number, of one that was opened before or is opened now.
export function openPool(id, name) {
  let number = pools.findIndex((pool) => pool.id === id);
  if (number < 0) number = pools.push({ id, name: name ?? null }) - 1;
  save();
  return number;
}

export function renamePool(number, name) {
  if (!pools[number] || pools[number].name === name) return;
  pools[number].name = name;
  save();
}

export const token = () => sessionStorage.getItem(tokenKey);

/// Why the last token was dropped, until there is another; null where it was on demand.
export const whyDropped = () => dropped;

export function keepToken(text) {
  dropped = null;
  sessionStorage.setItem(tokenKey, text);
}

export function dropToken(why = null) {
  dropped = why;
  sessionStorage.removeItem(tokenKey);
}

export function forgetAll() {
  pools = [];
  sessionStorage.removeItem(poolsKey);
  dropToken();
}
