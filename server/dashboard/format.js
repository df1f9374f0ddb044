// Texts for people.

const second = 1;
const minute = 60;
const hour = 3600;
const day = 86400;

/// A number of seconds, to two digits or so.
export function duration(seconds) {
  const time = Math.max(0, Math.floor(seconds));
  if (time < 100) return `${time / second} s`;
  if (time < 100 * minute) return `${Math.floor(time / minute)} min`;
  const [large, small, names] = time < 2 * day ? [hour, minute, ["h", "min"]] : [day, hour, ["d", "h"]];
  const rest = Math.floor((time % large) / small);
  return `${Math.floor(time / large)} ${names[0]}${rest > 0 ? ` ${rest} ${names[1]}` : ""}`;
}

export const clockTime = (date) =>
  date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });

export const count = (number, one, many = `${one}s`) => `${number.toLocaleString("en")} ${number === 1 ? one : many}`;

/// The address of a link that a holder gave; null where it is none that a browser may be sent to.
export function webAddress(text) {
  try {
    const url = new URL(text);
    return url.protocol === "http:" || url.protocol === "https:" ? url.href : null;
  } catch {
    return null;
  }
}

export const nameOf = (holder) => holder?.name || "unnamed";

/// A slot's payload, which is a text or an object.
export function payloadText(payload) {
  if (payload === null || payload === undefined) return "";
  return typeof payload === "string" ? payload : JSON.stringify(payload);
}
