// The states of a pool as they change, over `GET /l/{id}/events`. It is read with fetch(), not with EventSource, which
// shows neither a status nor a silence: both are needed to say what is wrong.

import { CallError, poolPath, request } from "./api.js";

// The server sends something at least every 15 seconds.
const longestSilence = 40_000;
const firstPause = 500;
const longestPause = 30_000;
// A tab that nobody looks at gives its connection back: a browser has few for one server.
const longestHidden = 60_000;

/// The server's clock may be set while a connection lasts. Each lease shows the time, rounded: what differs by less is
/// no news.
function skewOf({ holders: [lease] }, known) {
  if (!lease) return known;
  const skew = 1000 * (lease.expires_at_unix - lease.expires_in) - Date.now();
  return Math.abs(skew - known) < 2000 ? known : skew;
}

export class Live {
  /// Calls `state(state, skew)` of the listener, with the milliseconds that the server's clock is ahead; `link({ ok,
  /// nextAt })` where the connection is there or is lost; `paused()` where it was given back until somebody looks; and
  /// `gone(error)` where there is nothing to wait for.
  constructor(id, listener) {
    this.path = `${poolPath(id)}/events`;
    this.listener = listener;
    this.pause = firstPause;
    this.onVisibility = () => this.visibilityChanged();
    this.onOnline = () => this.tryNow();
    document.addEventListener("visibilitychange", this.onVisibility);
    window.addEventListener("online", this.onOnline);
    this.connect();
  }

  close() {
    this.isClosed = true;
    document.removeEventListener("visibilitychange", this.onVisibility);
    window.removeEventListener("online", this.onOnline);
    this.stop();
  }

  tryNow() {
    if (this.isClosed || this.controller) return;
    this.stop();
    this.connect();
  }

  stop() {
    clearTimeout(this.retryTimer);
    clearTimeout(this.hiddenTimer);
    clearTimeout(this.silenceTimer);
    const controller = this.controller;
    this.controller = null;
    controller?.abort();
  }

  visibilityChanged() {
    clearTimeout(this.hiddenTimer);
    if (!document.hidden) {
      this.pause = firstPause;
      return this.tryNow();
    }
    this.hiddenTimer = setTimeout(() => {
      this.stop();
      this.listener.paused();
    }, longestHidden);
  }

  heard() {
    clearTimeout(this.silenceTimer);
    const controller = this.controller;
    this.silenceTimer = setTimeout(() => controller?.abort(), longestSilence);
  }

  async connect() {
    const controller = new AbortController();
    this.controller = controller;
    this.heard();
    let failure = null;
    try {
      const response = await request("GET", this.path, { signal: controller.signal });
      const at = Date.parse(response.headers.get("Date"));
      this.skew = Number.isNaN(at) ? 0 : at - Date.now();
      await this.read(response.body.getReader(), controller);
    } catch (error) {
      failure = error;
    }
    // What stopped it has taken care of the rest.
    if (this.controller !== controller) return;
    this.controller = null;
    clearTimeout(this.silenceTimer);
    if (this.isGone) return;
    const isFinal = failure instanceof CallError && [400, 401, 403, 404].includes(failure.status);
    if (isFinal) return this.listener.gone(failure);
    this.retry();
  }

  retry() {
    const pause = this.pause * (0.5 + Math.random());
    this.pause = Math.min(this.pause * 2, longestPause);
    this.listener.link({ ok: false, nextAt: Date.now() + pause });
    this.retryTimer = setTimeout(() => this.connect(), pause);
  }

  async read(reader, controller) {
    const decoder = new TextDecoder();
    let text = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done || this.controller !== controller) return;
      this.heard();
      text += decoder.decode(value, { stream: true });
      let end;
      while ((end = text.indexOf("\n\n")) >= 0) {
        this.take(text.slice(0, end));
        text = text.slice(end + 2);
      }
    }
  }

  take(event) {
    let name = "message";
    let data = "";
    for (const line of event.split("\n")) {
      if (line.startsWith("event: ")) name = line.slice(7);
      if (line.startsWith("data: ")) data += line.slice(6);
    }
    if (name === "deleted") {
      this.isGone = true;
      this.listener.gone(new CallError(404, "the pool was deleted"));
    } else if (name === "state") {
      this.pause = firstPause;
      this.listener.link({ ok: true });
      const state = JSON.parse(data);
      this.skew = skewOf(state, this.skew);
      this.listener.state(state, this.skew);
    }
  }
}
