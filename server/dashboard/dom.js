// Building and changing the page. All that comes from elsewhere becomes text, never markup.

export const byId = (id) => document.getElementById(id);

/// A copy of what the template with that id holds, with its parts by their names.
export function stamp(id) {
  const content = byId(id).content.cloneNode(true);
  const parts = {};
  for (const element of content.querySelectorAll("[data-part]")) parts[element.dataset.part] = element;
  return { content, root: content.firstElementChild, parts };
}

/// An element with these properties and children; a text child stays a text.
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/// Writes only what differs: what is written again costs a layout, and screen readers would say it again.
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function setHidden(element, hidden) {
  if (element.hidden !== hidden) element.hidden = hidden;
}

export function setClass(element, name) {
  if (element.className !== name) element.className = name;
}

/// How much of a bar is filled, 0 to 1.
export function setShare(element, share) {
  const text = Math.min(Math.max(share, 0), 1).toFixed(3);
  if (element.style.getPropertyValue("--share") !== text) element.style.setProperty("--share", text);
}

/// Has `list` show `items`, each as the same entry as before: `key` names an item, `add(item)` makes its entry, which
/// has an `element`, and `update(entry, item)` brings that up to date. `entries` is a map that is kept between calls.
export function showList(list, entries, items, { key, add, update }) {
  const names = items.map(key);
  const stays = new Set(names);
  for (const [name, entry] of entries) {
    if (stays.has(name)) continue;
    entry.element.remove();
    entries.delete(name);
  }
  let next = list.firstElementChild;
  items.forEach((item, index) => {
    let entry = entries.get(names[index]);
    if (!entry) {
      entry = add(item);
      entries.set(names[index], entry);
    }
    update(entry, item);
    if (next === entry.element) {
      next = next.nextElementSibling;
    } else {
      list.insertBefore(entry.element, next);
    }
  });
}

const isShown = (element) => element.isConnected && !element.closest("[hidden]");

/// Where the focus that is at `element` can be when that goes: there, at the entry of its list, at that list's heading.
export function placesOf(element) {
  return [element, element.closest("li"), element.closest("section")?.querySelector("h2")].filter(Boolean);
}

/// Brings the focus back to the first of these places that is still there, where it is lost.
export function returnTo(places) {
  if (document.activeElement === places[0] && isShown(places[0])) return;
  places.find(isShown)?.focus({ preventScroll: true });
}

let toastTimer;

/// Says what was done, on the screen and by a screen reader.
export function tell(text) {
  announce(text);
  const toast = byId("toast");
  toast.textContent = text;
  toast.hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { toast.hidden = true; }, 5000);
}

export function announce(text) {
  byId("announcer").textContent = text;
}
