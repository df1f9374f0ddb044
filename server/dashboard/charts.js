// Use and queue over time, as small charts.

import { CallError, call, poolPath } from "./api.js";
import { make, setHidden } from "./dom.js";
import { count } from "./format.js";

const spans = [
  { name: "1 hour", seconds: 3600, every: 60_000 },
  { name: "24 hours", seconds: 86_400, every: 600_000 },
  { name: "7 days", seconds: 604_800, every: 600_000 },
];

const width = 240;
const height = 48;
const namespace = "http://www.w3.org/2000/svg";

function draw(tag, attributes, ...children) {
  const element = document.createElementNS(namespace, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/// A step for each value, over `from` to `until`; `most` is at the top.
function stepPath(points, { from, until, most, step }) {
  const x = (at) => (((at - from) / (until - from)) * width).toFixed(1);
  const y = (value) => (height - (Math.min(value, most) / most) * (height - 3) - 1).toFixed(1);
  let line = "";
  let last = null;
  for (const { at, value } of points) {
    const begin = Math.max(at, from);
    line += last === null ? `M${x(begin)} ${y(value)}` : `L${x(begin)} ${y(value)}`;
    last = Math.min(at + step, until);
    line += `L${x(last)} ${y(value)}`;
  }
  const area = last === null ? "" : `${line}L${x(last)} ${height}L${x(Math.max(points[0].at, from))} ${height}Z`;
  return { line, area };
}

function chart(kind, label, values, span, statistics) {
  const numbers = values.map(({ value }) => value);
  const most = Math.max(1, ...numbers, kind === "use" ? statistics.count : 0);
  const until = statistics.until_unix;
  // Of a pool that was made since then, there is less.
  const { line, area } = stepPath(values, { from: until - span.seconds, until, most, step: statistics.step });
  const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, class: `chart of-${kind}`, role: "img",
    "aria-label": label, preserveAspectRatio: "none" },
    draw("path", { d: area, class: "area" }), draw("path", { d: line, class: "line" }));
  return make("figure", { className: "trend" }, svg, make("figcaption", { textContent: label }));
}

const round = (value) => (value >= 10 ? Math.round(value) : Math.round(value * 10) / 10).toLocaleString("en");

/// The charts of one span.
function group(span, statistics) {
  const steps = statistics.use;
  const mean = (key) => (steps.length > 0 ? steps.reduce((sum, step) => sum + step[key], 0) / steps.length : 0);
  const peak = Math.max(0, ...steps.map((step) => step.queue));
  const used = steps.map((step) => ({ at: step.at_unix, value: step.in_use }));
  const queued = steps.map((step) => ({ at: step.at_unix, value: step.queue }));
  const title = `trend-${span.seconds}`;
  const section = make("section", { className: "card span" },
    make("h3", { id: title, textContent: span.name }),
    chart("use", `${round(mean("in_use"))} of ${count(statistics.count, "slot")} in use on average`, used, span,
      statistics),
    chart("queue", `${round(mean("queue"))} waiting on average, ${round(peak)} at most`, queued, span,
      statistics));
  section.setAttribute("aria-labelledby", title);
  return section;
}

/// Shows nothing where the server keeps no history.
export class Trends {
  /// `now()` is the server's time, in seconds since 1970.
  constructor(id, now, section, charts) {
    this.id = id;
    this.now = now;
    this.section = section;
    this.groups = spans.map(() => null);
    this.charts = charts;
    this.timers = spans.map((span, index) => {
      this.update(index);
      return setInterval(() => document.hidden || this.update(index), span.every);
    });
  }

  close() {
    this.isClosed = true;
    this.timers?.forEach(clearInterval);
  }

  async update(index) {
    const span = spans[index];
    try {
      const since = Math.floor(this.now()) - span.seconds;
      const statistics = await call("GET", `${poolPath(this.id)}/statistics?since=${since}&what_if=false`);
      if (this.isClosed) return;
      // Nothing is kept: the figures are those of nobody.
      if (statistics.kept_for === 0) return setHidden(this.section, true);
      this.groups[index] = group(span, statistics);
      this.charts.replaceChildren(...this.groups.filter(Boolean));
      setHidden(this.section, false);
    } catch (error) {
      if (error instanceof CallError && error.status === 404) this.close();
    }
  }
}
