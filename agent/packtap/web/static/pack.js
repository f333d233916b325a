// One pack: what is so now, how it came to be, and what it means. Worst first.

import { card, draw, el } from "./dom.js";
import { ask, follow } from "./live.js";
import { showCells } from "./cells.js";
import { Downloads } from "./downloads.js";
import { showDiagnosis, showHealth } from "./diagnosis.js";
import { showEvents } from "./events.js";
import { showLink } from "./link.js";
import { History } from "./history.js";
import { UNKNOWN, age, count, moment, number } from "./words.js";

/** The figures of the head: name, label, decimals, unit. */
const FIGURES = [
  ["voltage_v", "voltage", 2, "V"],
  ["current_a", "current", 2, "A"],
  ["soc_pct", "charge", 0, "%"],
  ["temperature_1_c", "temperature 1", 0, "°C"],
  ["temperature_2_c", "temperature 2", 0, "°C"],
  ["remaining_capacity_mah", "capacity left", 0, "mAh"],
];

/** Registers that stand elsewhere on the page, or say nothing to a person. */
const ELSEWHERE = new Set([
  ...FIGURES.map(([name]) => name),
  "cell_voltages_mv", "status", "balancing_cells", "undervoltage_cells", "overvoltage_cells",
]);

/** Show the page of a pack; returns what ends it. */
export function showPack(main, key, page) {
  const name = key.pack || "pack not heard yet";
  document.title = `packtap: ${name}`;
  page.where.textContent = "";
  const parts = {
    verdict: el("div", { class: "verdict" }),
    figures: el("div", { class: "figures" }),
    flags: el("div", { class: "flags" }),
    cells: el("div"),
    events: el("div"),
    diagnosis: el("div"),
    health: el("div"),
    link: el("div"),
    about: el("div"),
  };
  const history = new History(key);
  const downloads = new Downloads(key, history);
  main.replaceChildren(
    el("h1", { class: "serial" }, name),
    el("p", { class: "place" }, [key.agent, key.bus].filter(Boolean).join(" / ")),
    parts.verdict,
    el(
      "div", { class: "columns" },
      el(
        "div", { class: "column" },
        card("Now", "now", parts.figures, parts.flags),
        card("Cells", "cells", parts.cells),
      ),
      el(
        "div", { class: "column wide" },
        card("History", "history", history.node),
        card("Events", "events", parts.events),
        card("Diagnosis", "diagnosis", parts.diagnosis, parts.health),
      ),
      el(
        "div", { class: "column" },
        card("Link and buffer", "link", parts.link),
        card("About this pack", "about", parts.about),
        card("Downloads", "downloads", downloads.node),
      ),
    ),
  );
  const known = new Set();
  let isFirst = true;

  function update(pack) {
    page.tell(pack.notice);
    if (pack.moved_to) {
      // Its serial has been read: from now on it is known by that.
      location.replace(`#/pack?${new URLSearchParams({ agent: key.agent, bus: key.bus, pack: pack.moved_to })}`);
      return;
    }
    main.classList.toggle("stale", pack.state !== "live");
    announce(pack.events, known, isFirst);
    draw(parts.verdict, [pack.worst, pack.events, pack.safety, pack.state, pack.state_text, pack.problems], () => verdict(pack));
    drawFigures(parts.figures, pack);
    draw(parts.flags, [pack.flags, pack.faults, pack.doubts], () => flags(pack));
    showCells(parts.cells, pack);
    showEvents(parts.events, key, pack);
    showDiagnosis(parts.diagnosis, pack.diagnosis);
    showHealth(parts.health, pack.health);
    showLink(parts.link, pack);
    draw(parts.about, [pack.identity, others(pack), pack.history, pack.pack_before], () => about(pack));
    history.update(pack);
    downloads.update(pack);
    isFirst = false;
  }

  function trouble(problem) {
    draw(parts.verdict, problem, () => el("p", { class: "card banner unknown" }, problem.error));
  }

  const query = new URLSearchParams(key);
  const stop = follow(`api/stream?${query}`, { pack: update, trouble }, page.connected);
  const check = setInterval(() => {
    if (document.body.classList.contains("lost")) ask("api/pack", key).catch((e) => e.status === 401 && page.refused());
  }, 5000);
  return () => {
    stop();
    clearInterval(check);
    history.close();
    downloads.close();
    main.classList.remove("stale");
  };
}

/** Tell screen readers about what is newly raised, once and politely. */
function announce(events, known, isFirst) {
  const fresh = events.filter((event) => !known.has(event.id));
  for (const event of fresh) known.add(event.id);
  if (!isFirst && fresh.length) {
    document.getElementById("announce").textContent = fresh.map((event) => `${event.severity}: ${event.text}`).join(" ");
  }
}

const HEADS = {
  critical: "Critical: stop using this pack",
  warning: "Warning: act soon",
  info: "Worth knowing",
  "": "Nothing is raised",
};

function verdict(pack) {
  const parts = [];
  const isPresent = pack.state === "live";
  const severity = pack.worst || (isPresent ? "fine" : "unknown");
  const old = isPresent ? "" : " (as last known)";
  const head = el("h2", {}, HEADS[pack.worst] + old);
  const lines = [];
  if (!pack.worst && isPresent) lines.push("All checks that could be made are quiet. That is no proof that the pack is safe.");
  if (pack.state === "silent") lines.push(`These are not live: ${pack.state_text}.`);
  if (pack.state === "stored") {
    const since = pack.history?.last_ms ? `The last reading is of ${moment(pack.history.last_ms)}.` : "";
    lines.push(`No agent shows this pack live here${pack.state_text ? `: ${pack.state_text}` : ""}. ${since}`);
  }
  if (!pack.clock_known) lines.push("This device does not know the time yet: times on this page come from your browser's clock, and readings wait until the time is known.");
  parts.push(el(
    "section", { class: `card banner ${severity}`, "aria-label": "Verdict" },
    head,
    pack.events.length ? el("ul", { class: "raised" }, pack.events.map(raised)) : null,
    lines.map((line) => el("p", {}, line)),
    pack.safety ? el("p", { class: "safety" }, el("strong", {}, "Safety. "), pack.safety) : null,
  ));
  for (const problem of pack.problems) {
    if (!pack.state_text || !problem.endsWith(pack.state_text)) parts.push(el("p", { class: "problem" }, problem));
  }
  return parts;
}

function raised(event) {
  return el(
    "li", { class: event.severity },
    el("span", { class: `tag ${event.severity}` }, event.severity),
    el("strong", { class: "title" }, event.title),
    typeof event.since_s === "number" ? age(event.since_s, "for ", "") : null,
    event.saved ? null : el("span", { class: "age old" }, "not saved yet"),
    el("p", {}, event.text),
  );
}

function drawFigures(node, pack) {
  const items = FIGURES.map(([name, label, decimals, unit]) => {
    const item = pack.values[name];
    return { label, text: item ? number(shown(name, item.v), decimals, unit) : null, age_s: item?.age_s,
      words: name === "current_a" && item ? pack.current.text : "" };
  });
  draw(node, items, () => el(
    "dl", { class: "figures" },
    items.map((item) => el(
      "div", { class: item.text === null ? "figure none" : "figure" },
      el("dt", {}, item.label),
      el("dd", {},
        el("span", { class: "value" }, item.text ?? UNKNOWN),
        item.words ? el("span", { class: "words" }, item.words) : null,
        item.text === null ? null : age(item.age_s)),
    )),
  ));
}

/** The sign of a current is said in words. */
function shown(name, value) {
  return name === "current_a" ? Math.abs(value) : value;
}

function flags(pack) {
  const names = [...new Set([...pack.faults, ...pack.flags])];
  return [
    names.length
      ? el("p", { class: "chips" }, el("span", { class: "label" }, "flags of the BMS "),
        names.map((flag) => el("span", { class: pack.faults.includes(flag) ? "chip fault" : "chip" }, flag.replaceAll("_", " "))))
      : el("p", { class: "chips" }, el("span", { class: "label" }, `flags of the BMS: ${UNKNOWN}`)),
    pack.doubts.length
      ? el("ul", { class: "doubts" }, pack.doubts.map((doubt) => el("li", {}, doubt)))
      : null,
  ];
}

/** The registers that have no other place on the page. */
function others(pack) {
  return Object.fromEntries(Object.entries({ ...pack.identity, ...pack.values }).filter(([name]) => !ELSEWHERE.has(name)));
}

function about(pack) {
  const rest = Object.entries(others(pack));
  const held = pack.history;
  return [
    rest.length
      ? el("table", {}, el("tbody", {}, rest.map(([name, item]) => el(
        "tr", {}, el("th", { scope: "row" }, label(name)), el("td", {}, value(item.v)), el("td", {}, age(item.age_s)),
      ))))
      : el("p", {}, `Serial, capacity and cycles: ${UNKNOWN}.`),
    el("p", { class: "note" }, held
      ? `${count(held.readings, "reading")} in the store${held.first_ms ? `, since ${moment(held.first_ms)}` : ""}${held.undated ? `; ${count(held.undated, "reading")} wait for a known clock` : ""}.`
      : "The store has no reading of this pack yet."),
    pack.pack_before ? el("p", { class: "note" }, `Before it, pack ${pack.pack_before} was on this bus.`) : null,
  ];
}

const UNITS = { v: "V", mv: "mV", a: "A", w: "W", c: "°C", mah: "mAh", wh: "Wh", mohm: "mΩ", pct: "%", s: "s", ms: "ms" };

function label(name) {
  const words = name.split("_");
  const unit = words.length > 1 ? UNITS[words.at(-1)] : undefined;
  const text = (unit ? words.slice(0, -1) : words).join(" ");
  return unit ? `${text} (${unit})` : text;
}

function value(given) {
  if (given === null || given === undefined) return UNKNOWN;
  return Array.isArray(given) ? given.map((item) => item ?? "?").join(", ") || "none" : String(given);
}
