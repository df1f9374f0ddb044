// The calls of the HTTP interface, which is on the same server: docs/http-api.md describes them.

const root = new URL("../", document.baseURI);

/// A call that was not done. `status` is 0 where there was no answer of a semad: the server cannot be reached, or
/// something before it answered.
export class CallError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

const unreachable = () => new CallError(0, "The server cannot be reached.");
const silent = () => new CallError(0, "The server does not answer. Perhaps it hangs, or this browser has no connection " +
  "left: it has six for one server, and each window that shows a pool takes one.");

// Until an answer begins, and until the longest list is there after that.
const longestWait = 20_000;
const longestAnswer = 120_000;

export const poolPath = (id) => `l/${id}`;

/// The response of a call that was done; the reason of any other, as an exception.
export async function request(method, path, { body, token, signal } = {}) {
  const headers = {};
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (token) headers.Authorization = `Bearer ${token}`;
  let response;
  try {
    response = await fetch(new URL(path, root), {
      method, headers, signal, cache: "no-store", credentials: "same-origin", redirect: "error",
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw unreachable();
  }
  if (response.ok) return response;
  throw await reasonOf(response);
}

/// A proxy before a server that is away answers in its own words.
async function reasonOf(response) {
  try {
    const { error } = await response.json();
    if (typeof error === "string") return new CallError(response.status, error);
  } catch {
    // No JSON.
  }
  return new CallError(0, `The server cannot be reached: something before it answers ${response.status}.`);
}

/// The answer of a call.
export async function call(method, path, options) {
  const controller = new AbortController();
  let timer = setTimeout(() => controller.abort(), longestWait);
  try {
    const response = await request(method, path, { ...options, signal: controller.signal });
    clearTimeout(timer);
    timer = setTimeout(() => controller.abort(), longestAnswer);
    return await response.json();
  } catch (error) {
    if (error instanceof CallError) throw error;
    throw controller.signal.aborted ? silent() : unreachable();
  } finally {
    clearTimeout(timer);
  }
}
