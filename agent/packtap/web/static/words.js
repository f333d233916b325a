// Numbers, times and ages as people read them. What is not known is "not reported", never 0.

export const UNKNOWN = "not reported";

/** Return a number with so many decimals, or the words for an unknown one. */
export function number(value, decimals = 0, unit = "") {
  if (typeof value !== "number") return UNKNOWN;
  return `${value.toFixed(decimals)}${unit ? `\u00a0${unit}` : ""}`;
}

/** Return a number with its sign; the minus is a real one. */
export function signed(value, decimals = 0, unit = "") {
  if (typeof value !== "number") return UNKNOWN;
  const sign = value > 0 ? "+" : value < 0 ? "\u2212" : "\u00b1";
  return `${sign}${Math.abs(value).toFixed(decimals)}${unit ? `\u00a0${unit}` : ""}`;
}

/** Return a length of time: "4 s", "3 min", "5 h", "12 days". */
export function span(seconds) {
  if (typeof seconds !== "number") return "an unknown time";
  const s = Math.max(0, seconds);
  if (s < 100) return `${Math.round(s)}\u00a0s`;
  if (s < 5940) return `${Math.round(s / 60)}\u00a0min`;
  if (s < 172800) return `${Math.round(s / 3600)}\u00a0h`;
  return `${Math.round(s / 86400)}\u00a0days`;
}

/** Return "1 event", "3 events". */
export function count(n, one, many = `${one}s`) {
  return `${n.toLocaleString("en")}\u00a0${n === 1 ? one : many}`;
}

/** Return a moment in the reader's own time zone. */
export function moment(ms) {
  if (typeof ms !== "number") return "at an unknown time";
  return new Date(ms).toLocaleString(undefined, {
    year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23",
  });
}

// Ages go on by themselves between two messages, and go on when no message comes any more.

const OLD_S = 10;

/** Return an element that says how old a value is, and goes on counting. */
export function age(seconds, prefix = "", suffix = " ago") {
  const node = document.createElement("span");
  node.className = "age";
  if (typeof seconds !== "number") {
    node.textContent = "age unknown";
    return node;
  }
  node.dataset.at = String(performance.now() - seconds * 1000);
  node.dataset.prefix = prefix;
  node.dataset.suffix = suffix;
  tell(node);
  return node;
}

function tell(node) {
  const seconds = (performance.now() - Number(node.dataset.at)) / 1000;
  node.textContent = `${node.dataset.prefix}${span(seconds)}${node.dataset.suffix}`;
  node.classList.toggle("old", seconds > OLD_S);
}

setInterval(() => document.querySelectorAll("[data-at]").forEach(tell), 1000);
