// Drawing a history with uPlot: a line for each mean, a band from lowest to highest, events as dashes.

import { el } from "./dom.js";

const uPlot = globalThis.uPlot;
const S = 1000;
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

/** The size of a plot in its frame. */
export function sizeIn(frame) {
  const width = Math.max(240, frame.clientWidth);
  return { width, height: Math.round(Math.max(220, Math.min(360, width * 0.55))) };
}

/**
 * Draw; return the plot, null where there is nothing to draw.
 * @param {HTMLElement} frame
 * @param {object} what times, columns, names (in order), mark (the channel that stands out), range
 *   (milliseconds), events, shift, and what is told: say(index or null), chosen(from, to).
 */
export function drawPlot(frame, what) {
  const { times, columns, names, mark, range: [from, to] } = what;
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  frame.replaceChildren();
  if (!times.length) {
    frame.append(el("p", { class: "nothing" }, "No reading in this range."));
    return null;
  }
  const series = [{}], bands = [], data = [times], lone = [];
  for (const name of [...names].sort((a, b) => (a === mark) - (b === mark))) {
    const isMarked = name === mark && names.length > 1;
    const line = names.length === 1 ? colour("--line") : isMarked ? colour("--mark") : shade(names.indexOf(name), names.length, colour);
    const isStrong = isMarked || names.length < 3;
    const at = series.length;
    data.push(...columns[name]);
    series.push({ width: 0, points: { show: false } }, { stroke: line, width: isStrong ? 2 : 1.1, points: { show: false } }, { width: 0, points: { show: false } });
    bands.push({ series: [at + 2, at], fill: `color-mix(in srgb, ${line} ${isStrong ? 30 : 14}%, transparent)` });
    lone.push([columns[name], line]);
  }
  // A point stands in the middle of its bucket: that of the newest reading may end after the range.
  const shown = [Math.min(from / S, times[0]), Math.max(to / S, times[times.length - 1])];
  const axis = { stroke: colour("--soft"), grid: { stroke: colour("--grid"), width: 1 }, ticks: { stroke: colour("--grid"), width: 1 }, font: "12px system-ui, sans-serif" };
  const plot = new uPlot({
    ...sizeIn(frame),
    series, bands,
    legend: { show: false },
    scales: { x: { time: true, range: shown }, y: { range: (u, low, high) => padded(low, high) } },
    axes: [{ ...axis, values: TICKS }, { ...axis, size: 48 }],
    cursor: { drag: { x: true, y: false, setScale: false }, points: { show: false }, y: false },
    hooks: {
      setSelect: [(u) => selected(u, what.chosen)],
      setCursor: [(u) => what.say(u.cursor.idx ?? null)],
      draw: [(u) => drawLone(u, lone), (u) => drawEvents(u, what, colour)],
    },
  }, data, frame);
  touch(plot, what.chosen);
  return plot;
}

function shade(index, total, colour) {
  const share = total > 1 ? index / (total - 1) : 0;
  return `color-mix(in oklab, ${colour("--line")} ${Math.round(100 - 70 * share)}%, ${colour("--line2")})`;
}

/** A point between two holes has no line and no band: draw it from its lowest to its highest. */
function drawLone(u, lines) {
  const { ctx } = u;
  const ratio = devicePixelRatio;
  ctx.save();
  ctx.lineWidth = 2 * ratio;
  for (const [[low, , high], stroke] of lines) {
    ctx.strokeStyle = stroke;
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

function drawEvents(u, { events, shift }, colour) {
  const { ctx } = u;
  const [low, high] = [u.scales.x.min, u.scales.x.max];
  ctx.save();
  ctx.lineWidth = devicePixelRatio;
  ctx.setLineDash([4 * devicePixelRatio, 3 * devicePixelRatio]);
  for (const event of events) {
    const at = ((event.raised_ms ?? NaN) + shift) / S;
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

function selected(u, chosen) {
  const { left, width } = u.select;
  if (width < 8) return;
  const [from, to] = [left, left + width].map((x) => u.posToVal(x, "x") * S);
  u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
  chosen(from, to);
}

/** A finger drawn over the plot chooses a range, as the mouse does. */
function touch(u, chosen) {
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
    selected(u, chosen);
  };
  u.over.addEventListener("pointerup", end);
  u.over.addEventListener("pointercancel", () => { from = null; u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false); });
}

function padded(low, high) {
  if (low === null || high === null) return [0, 1];
  const room = (high - low) * 0.06 || Math.abs(high) * 0.01 || 1;
  return [low - room, high + room];
}
