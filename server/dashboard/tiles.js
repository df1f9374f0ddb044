// Figures at the head of a page.

import { make, setClass, setShare, setText } from "./dom.js";

/// Shows `tiles`: each with a `label`, a `value`, perhaps a `note`, a `share` for a bar, and a `tone`.
export class Tiles {
  constructor(element) {
    this.element = element;
    this.tiles = [];
  }

  show(tiles) {
    while (this.tiles.length > tiles.length) this.tiles.pop().root.remove();
    tiles.forEach((tile, index) => this.update((this.tiles[index] ??= this.add()), tile));
  }

  add() {
    const label = make("p", { className: "tile-label" });
    const value = make("p", { className: "tile-value" });
    const note = make("p", { className: "tile-note" });
    const bar = make("span", { className: "use-part" });
    const use = make("span", { className: "use" }, bar);
    use.setAttribute("aria-hidden", "true");
    const root = make("div", { className: "tile" }, label, value, note, use);
    this.element.append(root);
    return { root, label, value, note, use, bar };
  }

  update(shown, { label, value, note = "", share = null, tone = "" }) {
    setText(shown.label, label);
    setText(shown.value, value);
    setText(shown.note, note);
    shown.note.hidden = note === "";
    shown.use.hidden = share === null;
    if (share !== null) setShare(shown.bar, share);
    setClass(shown.root, tone ? `tile ${tone}` : "tile");
  }
}
