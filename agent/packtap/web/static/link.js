// How well the bus is heard, and what still waits to be delivered.

import { draw, el } from "./dom.js";
import { UNKNOWN, count, span } from "./words.js";

/** Hours of room below which the row is marked. */
const LITTLE_H = 24;

/** Draw the link of a pack's agent. */
export function showLink(node, pack) {
  const link = pack.link;
  // An age that counts on by itself would redraw this each second.
  const state = link && { ...link, oldest_s: link.oldest_s === null ? null : Math.round(link.oldest_s / 10) };
  draw(node, state, () => {
    if (!link) return el("p", {}, "Only an agent on this machine tells about its link; none does here.");
    return [
      ...troubles(link),
      el("table", {}, el("tbody", {}, rows(pack, link).map(([name, value, isBad]) => el(
        "tr", { class: isBad ? "bad" : "" }, el("th", { scope: "row" }, name), el("td", {}, value),
      )))),
      el("details", {}, el("summary", {}, "All counters"),
        el("table", {}, el("tbody", {}, Object.entries(link.counters).map(([name, value]) => el(
          "tr", {}, el("th", { scope: "row" }, name.replaceAll("_", " ")), el("td", {}, whole(value)),
        ))))),
    ];
  });
}

function troubles(link) {
  const texts = [
    link.bus_trouble,
    link.store_trouble && `The store takes nothing: ${link.store_trouble}`,
    ...link.lines.filter((line) => !line.is_up).map((line) => `Line ${line.name} is down: ${line.reason}`),
  ];
  return texts.filter((text) => typeof text === "string" && text).map((text) => el("p", { class: "problem" }, text));
}

function rows(pack, link) {
  const counters = link.counters;
  const lost = (link.lost_messages ?? 0) + (link.lost_readings ?? 0);
  return [
    ["mode", pack.mode ?? UNKNOWN, false],
    ...(link.sharing ? [["sharing the dashboard's wire", `${link.sharing}; ${count(counters.collisions ?? 0, "collision")}, left off ${count(counters.backoffs ?? 0, "time")}`, link.sharing !== "asking"]] : []),
    ["lines", link.lines.map((line) => `${line.name} ${line.is_up ? "up" : "down"}`).join(", ") || UNKNOWN, link.lines.some((line) => !line.is_up)],
    ["frames", `${whole(counters.frames)} frames, ${whole(link.rejects)} runs of bytes refused`, false],
    ["requests without reply", whole(counters.unanswered), false],
    ["broker", link.connected ? "connected" : `not connected${link.last_error ? `: ${link.last_error}` : ""}`, !link.connected],
    ["waiting to be sent", waiting(link), false],
    ["room in the buffer", room(link), typeof link.buffer_hours_left === "number" && link.buffer_hours_left < LITTLE_H],
    ...(link.stranded ? [["never dated", `${count(link.stranded, "message")} of a boot whose clock was never known: packtap gaps --undated shows them`, true]] : []),
    ["lost", lost ? `${count(link.lost_messages ?? 0, "message")} never sent, ${count(link.lost_readings ?? 0, "reading")} never stored` : "nothing", lost > 0],
  ];
}

function whole(value) {
  return typeof value === "number" ? value.toLocaleString("en") : UNKNOWN;
}

function room(link) {
  const hours = link.buffer_hours_left;
  return typeof hours === "number" ? `for ${span(hours * 3600)} without delivery` : UNKNOWN;
}

function waiting(link) {
  if (typeof link.waiting !== "number") return UNKNOWN;
  if (!link.waiting) return "nothing";
  const oldest = typeof link.oldest_s === "number" ? `, the oldest ${span(link.oldest_s)} old` : "";
  const undated = link.undated ? `, ${link.undated} of them until the clock is known` : "";
  return `${count(link.waiting, "message")}${oldest}${undated}`;
}
