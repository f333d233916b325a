// The cells as bars: each one's deviation from the median, the only scale on which a weak one shows.

import { draw, el, svg } from "./dom.js";
import { UNKNOWN, age, number, signed } from "./words.js";

const SCALES_MV = [20, 50, 100, 200, 500, 1000, 2000, 5000];

/** Draw the cells of a pack. */
export function showCells(node, pack) {
  draw(node, pack.cells, (cells) => {
    if (!cells) {
      return el("p", {}, `Cells: ${UNKNOWN}. A stock ESC never asks for them; they come where a fleet box or an app reads them, or on a bench.`);
    }
    const largest = Math.max(0, ...cells.rows.map((row) => Math.abs(row.dev_mv ?? 0)));
    const scale = SCALES_MV.find((mv) => mv >= largest) ?? largest;
    return [
      el("p", { class: "median" },
        el("span", {}, "median ", el("b", {}, cells.median_mv === null ? UNKNOWN : volts(cells.median_mv))),
        el("span", {}, "spread ", el("b", {}, number(cells.spread_mv, 0, "mV"))),
        age(cells.age_s)),
      el("table", { class: "bars" },
        el("caption", { class: "unseen" }, `Voltage of each cell and its deviation from the median; bars reach to ${scale} mV`),
        el("colgroup", {}, ["n", "bar", "mv", "dev"].map((name) => el("col", { class: `col-${name}` }))),
        el("thead", { class: "unseen" }, el("tr", {}, ["cell", "bar", "voltage", "deviation"].map((name) => el("th", { scope: "col" }, name)))),
        el("tbody", {}, cells.rows.map((row) => line(row, scale)))),
      el("p", { class: "note" }, `Bars: deviation from the median, \u00b1${scale} mV.`),
    ];
  });
}

function line(row, scale) {
  const names = [row.severity, ...row.marks].filter(Boolean);
  return el(
    "tr", { class: row.severity ?? "" },
    el("th", { scope: "row" }, String(row.n)),
    el("td", { class: "bar" }, bar(row.dev_mv, scale)),
    el("td", { class: "mv" }, row.mv === null ? UNKNOWN : volts(row.mv)),
    el("td", { class: "dev" }, row.dev_mv === null ? "" : signed(row.dev_mv, 0, "mV"),
      names.length ? el("span", { class: "marks" }, names.join(", ")) : null),
  );
}

function bar(deviation, scale) {
  const picture = svg("svg", { viewBox: "-100 0 200 16", preserveAspectRatio: "none", "aria-hidden": "true" });
  picture.append(svg("rect", { class: "track", x: -100, y: 5, width: 200, height: 6, rx: 3 }));
  if (deviation !== null) {
    const length = Math.max(1.2, Math.min(100, (100 * Math.abs(deviation)) / scale));
    picture.append(svg("rect", { class: "fill", x: deviation < 0 ? -length : 0, y: 3, width: length, height: 10, rx: 1.5 }));
  }
  picture.append(svg("line", { class: "middle", x1: 0, x2: 0, y1: 0, y2: 16, "vector-effect": "non-scaling-stroke" }));
  return picture;
}

function volts(mv) {
  return `${(mv / 1000).toFixed(3)}\u00a0V`;
}
