// What can be plotted, and the columns that a plot is made of.

import { number, signed } from "./words.js";

const MIN_MS = 60_000;
const CELL = /^\d\d$/;

/** Whether a channel is a cell: "01" to "16". */
export const isCell = (name) => CELL.test(name);

const cells = (plot) => Object.keys(plot.channels).filter(isCell).sort();

/** Channels, how a value is scaled and said. */
export const QUANTITIES = {
  cells: { label: "cells", names: cells, scale: 1e-3, say: (v) => number(v, 3, "V"), axis: "V" },
  deviation: { label: "deviation", names: cells, scale: 1, say: (v) => signed(v, 0, "mV"), axis: "mV from the median", offMedian: true },
  spread: { label: "spread", names: () => ["cell_spread_mv"], scale: 1, say: (v) => number(v, 0, "mV"), axis: "mV, highest minus lowest cell" },
  voltage: { label: "voltage", names: () => ["voltage_v"], scale: 1, say: (v) => number(v, 2, "V"), axis: "V" },
  current: { label: "current", names: () => ["current_a"], scale: 1, say: (v) => signed(v, 2, "A"), axis: "A, + discharging, \u2212 charging" },
  charge: { label: "charge", names: () => ["soc_pct"], scale: 1, say: (v) => number(v, 0, "%"), axis: "%" },
  temperature: { label: "temperature", names: () => ["temperature_1_c", "temperature_2_c"], scale: 1, say: (v) => number(v, 0, "°C"), axis: "°C" },
};

/** The channels of a quantity that a history holds. */
export function namesOf(q, plot) {
  return q.names(plot).filter((name) => plot.channels[name]);
}

/**
 * Lowest, mean and highest of each channel, scaled, with a hole where nothing was read.
 * @param {object} plot as the server answers.
 * @param {string[]} names of channels.
 * @param {object} q of QUANTITIES.
 * @param {number} shift milliseconds that are added to each time.
 */
export function columnsOf(plot, names, q, shift) {
  const hole = Math.max(2.5 * plot.bucket_ms, 2 * MIN_MS);
  const order = []; // index of a point, or -1 for a hole
  const times = [];
  plot.t.forEach((t, i) => {
    // The middle of a point; that of the first and the last one can lie outside of what is shown.
    const at = Math.min(Math.max(t + plot.bucket_ms / 2, plot.t_from), plot.t_to) + shift;
    if (i && t - plot.t[i - 1] > hole) {
      order.push(-1);
      times.push((plot.t[i - 1] + plot.bucket_ms * 1.5 + shift) / 1000);
    }
    order.push(i);
    times.push(at / 1000);
  });
  const middle = q.offMedian ? plot.t.map((_, i) => median(names.map((n) => plot.channels[n][1][i]))) : null;
  const scaled = (column) => order.map((i) => {
    const value = i < 0 ? null : column[i];
    return value === null ? null : (value - (middle?.[i] ?? 0)) * q.scale;
  });
  // The median of lowest values is not known: only the mean's deviation is drawn.
  const one = (column) => Array(3).fill(scaled(column));
  const columns = Object.fromEntries(names.map((name) => [name, middle ? one(plot.channels[name][1]) : plot.channels[name].map(scaled)]));
  return { times, columns };
}

function median(values) {
  const known = values.filter((value) => value !== null).sort((a, b) => a - b);
  const half = known.length >> 1;
  if (!known.length) return null;
  return known.length % 2 ? known[half] : (known[half - 1] + known[half]) / 2;
}
