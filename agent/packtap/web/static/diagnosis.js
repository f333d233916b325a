// Which causes explain what was seen, what speaks for and against each, and what to try next.

import { draw, el } from "./dom.js";
import { age } from "./words.js";

const FEW = 0.01;

/** Draw the diagnosis; null is "not known yet". */
export function showDiagnosis(node, diagnosis) {
  draw(node, diagnosis, (known) => {
    if (!known || !known.causes.length) {
      return el("p", {}, "Not known yet: no agent has told its diagnosis of this pack.");
    }
    const likely = known.causes.filter((cause) => cause.probability >= FEW);
    const rest = known.causes.length - likely.length;
    return [
      known.danger.length ? el("div", { class: "danger" }, known.danger.map((text) => el("p", {}, text))) : null,
      el("ol", { class: "causes" }, likely.map((cause, index) => item(cause, index === 0))),
      rest ? el("p", { class: "note" }, `${rest} more below 1\u00a0%. Probabilities of all causes sum to 100\u00a0%.`) : null,
      known.next_test
        ? el("div", { class: "next" }, el("h3", {}, "What to try next"), el("p", {}, known.next_test.action),
          known.next_test.counts_if ? el("p", { class: "note" }, `It counts if: ${known.next_test.counts_if}`) : null)
        : null,
      known.cannot_judge.length
        ? el("details", {}, el("summary", {}, `What cannot be judged yet (${known.cannot_judge.length})`),
          el("ul", {}, known.cannot_judge.map((one) => el("li", {}, one))))
        : null,
    ];
  });
}

function item(cause, isOpen) {
  const percent = Math.round(100 * cause.probability);
  const details = el(
    "details", {},
    el("summary", {},
      el("span", { class: "cause" }, cause.words),
      el("progress", { max: 100, value: percent, "aria-hidden": "true" }),
      el("span", { class: "percent" }, percent < 1 ? "< 1\u00a0%" : `${percent}\u00a0%`)),
    cause.defect ? el("p", { class: "note" }, `Most likely of these: ${cause.defect}.`) : null,
    evidence("For", cause.evidence_for),
    evidence("Against", cause.evidence_against),
  );
  details.open = isOpen;
  return el("li", {}, details);
}

function evidence(title, lines) {
  if (!lines.length) return el("p", { class: "note" }, `${title}: nothing.`);
  return el("div", { class: "evidence" }, el("h3", {}, title), el("ul", {}, lines.map((line) => el("li", {}, line))));
}

/** Draw the derived quantities; nothing if none is known. */
export function showHealth(node, health) {
  draw(node, health && { ...health, age_s: null }, () => (health
    ? [
      el("h3", {}, "Health, worked out from the history ", health.age_s === null ? null : age(health.age_s)),
      health.rows.length
        ? el("table", {}, el("tbody", {}, health.rows.map((row) => el(
          "tr", { title: row.means }, el("th", { scope: "row" }, row.name), el("td", {}, row.text)))))
        : null,
      health.columns.length
        ? el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Health of each cell" }, el("table", {},
          el("thead", {}, el("tr", {}, ["cell", ...health.columns].map((name) => el("th", { scope: "col" }, name)))),
          el("tbody", {}, health.cells.map(([cell, ...values]) => el("tr", {}, el("th", { scope: "row" }, cell), values.map((value) => el("td", {}, value)))))))
        : null,
    ]
    : []));
}
