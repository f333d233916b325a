// The history as a plot: lowest, mean and highest of each point, so that a spike of one reading is
// seen in a month. The server answers with as many points as the screen is wide, and no more.

import { el } from "./dom.js";
import { ask } from "./live.js";
import { UNKNOWN, moment, number, signed, span } from "./words.js";

const uPlot = globalThis.uPlot;
const S = 1000, MIN = 60 * S, HOUR = 60 * MIN, DAY = 24 * HOUR;
const RANGES = [["15 min", 15 * MIN], ["1 h", HOUR], ["6 h", 6 * HOUR], ["1 day", DAY], ["7 days", 7 * DAY], ["30 days", 30 * DAY], ["all", Infinity]];
/** How a time axis is written: 24 hours, the day where it changes. Form: uPlot's axis values. */
const day = "\n{D} {MMM}";
const TICKS = [
  [31536000, "{YYYY}", null, null, null, null, null, null, 1],
  [2419200, "{MMM}", "\n{YYYY}", null, null, null, null, null, 1],
  [86400, "{D} {MMM}", "\n{YYYY}", null, null, null, null, null, 1],
  [3600, "{HH}:{mm}", `${day} {YYYY}`, null, day, null, null, null, 1],
  [60, "{HH}:{mm}", `${day} {YYYY}`, null, day, null, null, null, 1],
  [1, "{HH}:{mm}:{ss}", `${day} {YYYY}`, null, day, null, null, null, 1],
  [0.001, ":{ss}.{fff}", `${day} {HH}:{mm}`, null, `${day} {HH}:{mm}`, null, "\n{HH}:{mm}", null, 1],
];
const CELL = /^\d\d$/;
const cells = (plot) => Object.keys(plot.channels).filter((name) => CELL.test(name)).sort();

/** What can be plotted: channels, how a value is scaled and said. */
const QUANTITIES = {
  cells: { label: "cells", names: cells, scale: 1e-3, say: (v) => number(v, 3, "V"), axis: "V" },
  deviation: { label: "deviation", names: cells, scale: 1, say: (v) => signed(v, 0, "mV"), axis: "mV from the median" },
  spread: { label: "spread", names: () => ["cell_spread_mv"], scale: 1, say: (v) => number(v, 0, "mV"), axis: "mV, highest minus lowest cell" },
  voltage: { label: "voltage", names: () => ["voltage_v"], scale: 1, say: (v) => number(v, 2, "V"), axis: "V" },
  current: { label: "current", names: () => ["current_a"], scale: 1, say: (v) => signed(v, 2, "A"), axis: "A, + discharging, \u2212 charging" },
  charge: { label: "charge", names: () => ["soc_pct"], scale: 1, say: (v) => number(v, 0, "%"), axis: "%" },
  temperature: { label: "temperature", names: () => ["temperature_1_c", "temperature_2_c"], scale: 1, say: (v) => number(v, 0, "°C"), axis: "°C" },
};

/** The plot of one pack; `node` is its place on the page. */
export class History {
  constructor(key) {
    this.key = key;
    this.pack = null;
    this.quantity = "cells";
    this.span = HOUR; // how much is shown while it follows the present
    this.zoom = null; // or a fixed range
    this.chosen = null; // the cell that stands out, as "07"
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
    const names = q.names(plot).filter((name) => plot.channels[name]);
    this.drawLegend(names);
    this.mark = this.highlighted();
    this.state.textContent = this.describe(names);
    this.frame.dataset.points = String(plot.t.length);
    const { times, columns } = this.columns(names, q);
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const series = [{}], bands = [], data = [times];
    const ordered = [...names].sort((a, b) => (a === this.mark) - (b === this.mark));
    ordered.forEach((name) => {
      const index = names.indexOf(name);
      const isMarked = name === this.mark && names.length > 1;
      const line = names.length === 1 ? colour("--line") : isMarked ? colour("--mark") : this.shade(name, index, names.length, colour);
      const at = series.length;
      for (const column of columns[name]) data.push(column);
      series.push({ width: 0, points: { show: false } }, { stroke: line, width: isMarked || names.length < 3 ? 2 : 1.1, points: { show: false } }, { width: 0, points: { show: false } });
      bands.push({ series: [at + 2, at], fill: `color-mix(in srgb, ${line} ${isMarked || names.length < 3 ? 30 : 14}%, transparent)` });
    });
    const [from, to] = [plot.t_from + this.shift, plot.t_to + this.shift];
    this.u?.destroy();
    this.frame.replaceChildren();
    if (!times.length) {
      this.u = null;
      this.frame.append(el("p", { class: "nothing" }, "No reading in this range."));
      return;
    }
    const axis = { stroke: colour("--soft"), grid: { stroke: colour("--grid"), width: 1 }, ticks: { stroke: colour("--grid"), width: 1 }, font: "12px system-ui, sans-serif" };
    this.u = new uPlot({
      ...this.size(),
      series, bands,
      legend: { show: false },
      scales: { x: { time: true, range: [from / S, to / S] }, y: { range: (u, low, high) => padded(low, high) } },
      axes: [{ ...axis, values: TICKS }, { ...axis, size: 48 }],
      cursor: { drag: { x: true, y: false, setScale: false }, points: { show: false }, y: false },
      hooks: {
        setSelect: [(u) => this.selected(u)],
        setCursor: [(u) => this.say(u, names, q, columns, times)],
        draw: [(u) => this.drawLone(u, ordered.map((name, i) => [columns[name], series[3 * i + 2].stroke])), (u) => this.drawEvents(u, colour)],
      },
    }, data, this.frame);
    this.touch(this.u);
  }

  /** Lowest, mean and highest of each channel, scaled, with a hole where nothing was read. */
  columns(names, q) {
    const plot = this.plot;
    const hole = Math.max(2.5 * plot.bucket_ms, 2 * MIN);
    const order = []; // index of a point, or -1 for a hole
    const times = [];
    plot.t.forEach((t, i) => {
      const at = t + plot.bucket_ms / 2 + this.shift;
      if (i && t - plot.t[i - 1] > hole) {
        order.push(-1);
        times.push((plot.t[i - 1] + plot.bucket_ms * 1.5 + this.shift) / S);
      }
      order.push(i);
      times.push(at / S);
    });
    const middle = this.quantity === "deviation" ? plot.t.map((_, i) => median(names.map((n) => plot.channels[n][1][i]))) : null;
    const scaled = (column) => order.map((i) => {
      const value = i < 0 ? null : column[i];
      return value === null ? null : (value - (middle?.[i] ?? 0)) * q.scale;
    });
    const columns = Object.fromEntries(names.map((name) => [name, plot.channels[name].map(scaled)]));
    // The median of lowest values is not known: only the mean's deviation is drawn.
    if (middle) for (const name of names) columns[name] = [columns[name][1], columns[name][1], columns[name][1]];
    return { times, columns };
  }

  shade(name, index, total, colour) {
    const share = total > 1 ? index / (total - 1) : 0;
    return `color-mix(in oklab, ${colour("--line")} ${Math.round(100 - 70 * share)}%, ${colour("--line2")})`;
  }

  drawLegend(names) {
    const state = JSON.stringify([names, this.highlighted()]);
    if (this.legend.drawn === state) return;
    this.legend.drawn = state;
    const isCells = names.length > 1 && names.every((name) => CELL.test(name));
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

  say(u, names, q, columns, times) {
    const at = u.cursor.idx;
    if (at === null || at === undefined) {
      this.readout.textContent = "\u00a0";
      return;
    }
    const told = names.length > 2 ? (this.mark ? [this.mark] : []) : names;
    const parts = told.filter((name) => columns[name] && columns[name][1][at] !== null).map((name) => {
      const [low, mean, high] = columns[name].map((column) => column[at]);
      const title = CELL.test(name) ? `cell ${Number(name)} ` : "";
      return low === high ? `${title}${q.say(mean)}` : `${title}${q.say(mean)} (${q.say(low)} to ${q.say(high)})`;
    });
    if (names.length > 2) {
      const means = names.map((name) => columns[name][1][at]).filter((value) => value !== null);
      if (means.length) parts.push(`all ${q.say(Math.min(...means))} to ${q.say(Math.max(...means))}`);
    }
    this.readout.textContent = parts.length ? `${moment(times[at] * S)}: ${parts.join("; ")}` : "\u00a0";
  }

  /** A point between two holes has no line and no band: draw it from its lowest to its highest. */
  drawLone(u, lines) {
    const { ctx } = u;
    const ratio = devicePixelRatio;
    ctx.save();
    ctx.lineWidth = 2 * ratio;
    for (const [[low, , high], stroke] of lines) {
      ctx.strokeStyle = typeof stroke === "function" ? stroke(u) : stroke;
      ctx.beginPath();
      low.forEach((value, i) => {
        if (value === null || (low[i - 1] ?? null) !== null || (low[i + 1] ?? null) !== null) return;
        const x = u.valToPos(u.data[0][i], "x", true);
        if (x < u.bbox.left || x > u.bbox.left + u.bbox.width) return;
        ctx.moveTo(x, u.valToPos(value, "y", true) + ratio);
        ctx.lineTo(x, u.valToPos(high[i], "y", true) - ratio);
      });
      ctx.stroke();
    }
    ctx.restore();
  }

  drawEvents(u, colour) {
    const { ctx } = u;
    const [low, high] = [u.scales.x.min, u.scales.x.max];
    ctx.save();
    ctx.lineWidth = devicePixelRatio;
    ctx.setLineDash([4 * devicePixelRatio, 3 * devicePixelRatio]);
    for (const event of this.events ?? []) {
      const at = ((event.raised_ms ?? NaN) + this.shift) / S;
      if (!(at >= low && at <= high)) continue;
      const x = u.valToPos(at, "x", true);
      ctx.strokeStyle = colour(`--${event.severity}`) || colour("--soft");
      ctx.beginPath();
      ctx.moveTo(x, u.bbox.top);
      ctx.lineTo(x, u.bbox.top + u.bbox.height);
      ctx.stroke();
    }
    ctx.restore();
  }

  selected(u) {
    const { left, width } = u.select;
    if (width < 8) return;
    const [from, to] = [left, left + width].map((x) => u.posToVal(x, "x") * S - this.shift);
    u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.zoomTo(from, to);
  }

  /** A finger drawn over the plot chooses a range, as the mouse does. */
  touch(u) {
    let from = null;
    const x = (event) => Math.max(0, Math.min(u.over.clientWidth, event.clientX - u.over.getBoundingClientRect().left));
    u.over.addEventListener("pointerdown", (event) => {
      if (event.pointerType === "mouse") return;
      from = x(event);
    });
    u.over.addEventListener("pointermove", (event) => {
      if (event.pointerType === "mouse" || from === null) return;
      u.setCursor({ left: x(event), top: 10 });
      u.setSelect({ left: Math.min(from, x(event)), width: Math.abs(x(event) - from), top: 0, height: u.over.clientHeight }, false);
    });
    const end = () => {
      if (from === null) return;
      from = null;
      this.selected(u);
    };
    u.over.addEventListener("pointerup", end);
    u.over.addEventListener("pointercancel", () => { from = null; u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false); });
  }

  size() {
    const width = Math.max(240, this.frame.clientWidth);
    return { width, height: Math.round(Math.max(220, Math.min(360, width * 0.55))) };
  }

  fit() {
    if (this.u && this.u.width !== this.size().width) this.u.setSize(this.size());
  }

  /** The same as a table, thinned to what a person reads. */
  tabulate() {
    if (!this.details.open || !this.plot) return;
    const q = QUANTITIES[this.quantity];
    const names = q.names(this.plot).filter((name) => this.plot.channels[name]);
    const { columns, times } = this.columns(names, q);
    const rows = [...times.keys()].filter((i) => names.some((name) => columns[name][1][i] !== null));
    const step = Math.ceil(rows.length / 60) || 1;
    this.table.replaceChildren(el("table", {},
      el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "time"), names.map((name) => el("th", { scope: "col" }, CELL.test(name) ? `cell ${Number(name)}` : name)))),
      el("tbody", {}, rows.filter((_, i) => i % step === 0).reverse().map((i) => el("tr", {},
        el("th", { scope: "row" }, moment(times[i] * S)),
        names.map((name) => el("td", {}, columns[name][1][i] === null ? UNKNOWN : q.say(columns[name][1][i]))))))));
  }
}

function median(values) {
  const known = values.filter((value) => value !== null).sort((a, b) => a - b);
  const half = known.length >> 1;
  if (!known.length) return null;
  return known.length % 2 ? known[half] : (known[half - 1] + known[half]) / 2;
}

function padded(low, high) {
  if (low === null || high === null) return [0, 1];
  const room = (high - low) * 0.06 || Math.abs(high) * 0.01 || 1;
  return [low - room, high + room];
}
