// The history as a plot: lowest, mean and highest of each point, so that a spike of one reading is
// seen in a month. The server answers with as many points as the screen is wide, and no more.

import { el } from "./dom.js";
import { ask } from "./live.js";
import { drawPlot, sizeIn } from "./plot.js";
import { QUANTITIES, columnsOf, isCell, namesOf } from "./quantities.js";
import { UNKNOWN, moment, span } from "./words.js";

const S = 1000, MIN = 60 * S, HOUR = 60 * MIN, DAY = 24 * HOUR;
const RANGES = [["15 min", 15 * MIN], ["1 h", HOUR], ["6 h", 6 * HOUR], ["1 day", DAY], ["7 days", 7 * DAY], ["30 days", 30 * DAY], ["all", Infinity]];

/** The plot of one pack; `node` is its place on the page. */
export class History {
  constructor(key) {
    this.key = key;
    this.pack = null;
    this.quantity = "cells";
    this.span = HOUR; // how much is shown while it follows the present
    this.zoom = null; // or a fixed range
    this.chosen = null; // the cell that stands out, as "07"
    this.plot = null; // what was loaded last, always whole
    this.events = [];
    this.shift = 0;
    this.asking = null;
    this.askedAt = 0;
    this.build();
    this.resized = new ResizeObserver(() => this.fit());
    this.resized.observe(this.frame);
    this.dark = matchMedia("(prefers-color-scheme: dark)");
    this.recolour = () => this.paint();
    this.dark.addEventListener("change", this.recolour);
    this.timer = setInterval(() => this.follow(), 1000);
  }

  build() {
    this.ranges = el("div", { class: "segments", role: "group", "aria-label": "Range" },
      RANGES.map(([name, ms]) => el("button", { type: "button", "data-ms": ms, "aria-pressed": "false", onclick: () => this.choose(ms) }, name)));
    this.quantities = el("div", { class: "segments", role: "group", "aria-label": "Quantity" },
      Object.entries(QUANTITIES).map(([name, q]) => el("button", { type: "button", "data-name": name, "aria-pressed": String(name === this.quantity), onclick: () => this.pick(name) }, q.label)));
    this.frame = el("div", {
      class: "plot", tabindex: "0", role: "group",
      "aria-label": "Plot. Left and right arrows move, plus and minus zoom, Home shows the present. The table below holds the same.",
      onkeydown: (event) => this.key_(event),
    });
    this.readout = el("p", { class: "readout", "aria-hidden": "true" }, "\u00a0");
    this.legend = el("div", { class: "legend", role: "group", "aria-label": "Which cell stands out" });
    this.state = el("p", { class: "note", role: "status" });
    const steps = [["\u2039 Earlier", "Earlier", () => this.move(-0.5)], ["+", "Zoom in", () => this.scale(0.5)], ["\u2212", "Zoom out", () => this.scale(2)], ["Later \u203a", "Later", () => this.move(0.5)]];
    this.steps = el("div", { class: "steps" }, steps.map(([sign, name, act]) => el("button", { type: "button", "aria-label": name, title: name, onclick: act }, sign)));
    this.table = el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "History as a table" });
    this.details = el("details", { ontoggle: () => this.tabulate() }, el("summary", {}, "As a table"), this.table);
    this.node = el("div", {}, this.ranges, this.quantities, this.frame, this.readout, this.legend, this.steps, this.state, this.details);
  }

  close() {
    clearInterval(this.timer);
    this.resized.disconnect();
    this.dark.removeEventListener("change", this.recolour);
    this.asking?.abort();
    this.u?.destroy();
  }

  /** Take what is new of the pack. */
  update(pack) {
    const isFirst = this.pack === null;
    this.pack = pack;
    // A device without a clock: ages are right, dates are not. The browser's clock dates them.
    this.shift = pack.clock_known ? 0 : Date.now() - pack.t_ms;
    if (isFirst) {
      const first = pack.history?.first_ms;
      if (pack.state !== "live") this.span = 7 * DAY;
      else if (!first || pack.t_ms - first < 15 * MIN) this.span = 15 * MIN;
      this.load();
    }
    this.marked();
  }

  /** The cell that stands out: the chosen one, or the worst one. */
  highlighted() {
    if (this.chosen) return this.chosen;
    const named = this.pack?.events.find((event) => event.cell !== null)?.cell;
    if (named) return String(named).padStart(2, "0");
    const rows = this.pack?.cells?.rows.filter((row) => row.dev_mv !== null) ?? [];
    const worst = rows.reduce((a, b) => (Math.abs(b.dev_mv) > Math.abs(a?.dev_mv ?? 0) ? b : a), null);
    return worst && Math.abs(worst.dev_mv) >= 20 ? String(worst.n).padStart(2, "0") : null;
  }

  /** The range shown, UTC milliseconds by the server's clock. */
  range() {
    if (this.zoom) return this.zoom;
    const held = this.pack?.history;
    const now = this.pack ? this.pack.t_ms : Date.now();
    const end = this.pack && this.pack.state !== "live" && held?.last_ms ? held.last_ms + 1 : now;
    const first = held?.first_ms ?? end - HOUR;
    const length = this.span === Infinity ? Math.max(end - first, MIN) : this.span;
    return [Math.round(end - length), Math.round(end)];
  }

  choose(ms) {
    this.span = ms;
    this.zoom = null;
    this.load();
  }

  pick(name) {
    this.quantity = name;
    for (const button of this.quantities.children) button.setAttribute("aria-pressed", String(button.dataset.name === name));
    this.paint();
    this.tabulate();
  }

  move(share) {
    const [from, to] = this.range();
    const by = Math.round((to - from) * share);
    this.zoomTo(from + by, to + by);
  }

  scale(factor) {
    const [from, to] = this.range();
    const middle = (from + to) / 2, half = ((to - from) * factor) / 2;
    this.zoomTo(middle - half, middle + half);
  }

  zoomTo(from, to) {
    const length = Math.min(Math.max(to - from, 2 * S), 3650 * DAY);
    const middle = (from + to) / 2;
    this.zoom = [Math.round(middle - length / 2), Math.round(middle + length / 2)];
    this.load();
  }

  key_(event) {
    const acts = { ArrowLeft: () => this.move(-0.25), ArrowRight: () => this.move(0.25), "+": () => this.scale(0.5), "=": () => this.scale(0.5), "-": () => this.scale(2), Home: () => this.choose(HOUR) };
    if (!acts[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    acts[event.key]();
  }

  /** Ask again while the present is shown: often for minutes, seldom for months. */
  follow() {
    if (this.zoom || !this.pack || document.hidden || this.pack.state !== "live") return;
    const every = Math.max(3 * S, Math.min(this.range()[1] - this.range()[0], DAY) / 600);
    if (performance.now() - this.askedAt > every) this.load();
  }

  async load() {
    this.asking?.abort();
    const asking = (this.asking = new AbortController());
    this.askedAt = performance.now();
    for (const button of this.ranges.children) button.setAttribute("aria-pressed", String(!this.zoom && Number(button.dataset.ms) === this.span));
    const [from, to] = this.range();
    const points = Math.min(1000, Math.max(400, Math.round(this.frame.clientWidth * devicePixelRatio)));
    try {
      const [plot, events] = await Promise.all([
        ask("api/history", { ...this.key, from, to, points }, { signal: asking.signal }),
        ask("api/events", { ...this.key, limit: 200 }, { signal: asking.signal }),
      ]);
      this.plot = plot;
      this.events = events.events;
      this.paint();
      this.tabulate();
    } catch (error) {
      if (error.name === "AbortError") return;
      this.state.textContent = error.message;
    }
  }

  /** Draw what was loaded. */
  paint() {
    const plot = this.plot;
    if (!plot) return;
    const q = QUANTITIES[this.quantity];
    const names = namesOf(q, plot);
    this.drawLegend(names);
    this.mark = this.highlighted();
    this.state.textContent = this.describe(names);
    this.frame.dataset.points = String(plot.t.length);
    const { times, columns } = columnsOf(plot, names, q, this.shift);
    this.u?.destroy();
    this.u = drawPlot(this.frame, {
      times, columns, names, mark: this.mark,
      range: [plot.t_from + this.shift, plot.t_to + this.shift],
      events: this.events, shift: this.shift,
      say: (at) => this.say(at, names, q, columns, times),
      chosen: (from, to) => this.zoomTo(from - this.shift, to - this.shift),
    });
  }

  drawLegend(names) {
    const state = JSON.stringify([names, this.highlighted()]);
    if (this.legend.drawn === state) return;
    this.legend.drawn = state;
    const isCells = names.length > 1 && names.every((name) => isCell(name));
    const focused = this.legend.contains(document.activeElement) ? document.activeElement.dataset.name : null;
    this.legend.replaceChildren(...(isCells
      ? names.map((name) => el("button", {
        type: "button", class: "chip", "data-name": name, "aria-pressed": String(name === this.highlighted()),
        onclick: () => { this.chosen = this.chosen === name ? null : name; this.paint(); },
        "aria-label": `cell ${Number(name)}`,
      }, String(Number(name))))
      : names.length > 1 ? names.map((name) => el("span", { class: "chip" }, name.replace(/_c$/, "").replaceAll("_", " "))) : []));
    if (focused) this.legend.querySelector(`[data-name="${focused}"]`)?.focus();
  }

  /** Redraw if another cell stands out now. */
  marked() {
    if (this.u && this.highlighted() !== this.mark) this.paint();
  }

  describe(names) {
    const { t, bucket_ms: bucket } = this.plot;
    if (!t.length || !names.length) return t.length ? `${QUANTITIES[this.quantity].label}: ${UNKNOWN} in this range.` : "";
    return `In ${QUANTITIES[this.quantity].axis}. ${t.length.toLocaleString("en")} points of ${span(bucket / S)}, each with its lowest and highest value.`;
  }

  say(at, names, q, columns, times) {
    if (at === null) {
      this.readout.textContent = "\u00a0";
      return;
    }
    const told = names.length > 2 ? (this.mark ? [this.mark] : []) : names;
    const parts = told.filter((name) => columns[name] && columns[name][1][at] !== null).map((name) => {
      const [low, mean, high] = columns[name].map((column) => column[at]);
      const title = isCell(name) ? `cell ${Number(name)} ` : "";
      return low === high ? `${title}${q.say(mean)}` : `${title}${q.say(mean)} (${q.say(low)} to ${q.say(high)})`;
    });
    if (names.length > 2) {
      const means = names.map((name) => columns[name][1][at]).filter((value) => value !== null);
      if (means.length) parts.push(`all ${q.say(Math.min(...means))} to ${q.say(Math.max(...means))}`);
    }
    this.readout.textContent = parts.length ? `${moment(times[at] * S)}: ${parts.join("; ")}` : "\u00a0";
  }

  fit() {
    if (this.u && this.u.width !== sizeIn(this.frame).width) this.u.setSize(sizeIn(this.frame));
  }

  /** The same as a table, thinned to what a person reads. */
  tabulate() {
    if (!this.details.open || !this.plot) return;
    const q = QUANTITIES[this.quantity];
    const names = namesOf(q, this.plot);
    const { columns, times } = columnsOf(this.plot, names, q, this.shift);
    const rows = [...times.keys()].filter((i) => names.some((name) => columns[name][1][i] !== null));
    const step = Math.ceil(rows.length / 60) || 1;
    this.table.replaceChildren(el("table", {},
      el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "time"), names.map((name) => el("th", { scope: "col" }, isCell(name) ? `cell ${Number(name)}` : name)))),
      el("tbody", {}, rows.filter((_, i) => i % step === 0).reverse().map((i) => el("tr", {},
        el("th", { scope: "row" }, moment(times[i] * S)),
        names.map((name) => el("td", {}, columns[name][1][i] === null ? UNKNOWN : q.say(columns[name][1][i]))))))));
  }
}
