// What was raised and cleared, latest first, page by page.

import { draw, el } from "./dom.js";
import { ask } from "./live.js";
import { moment, span } from "./words.js";

const PAGE = 20;

/** Draw the list of events; asks for it when something was raised or cleared. */
export function showEvents(node, key, pack) {
  const open = pack.events.map((event) => [event.id, event.saved]);
  const state = JSON.stringify([open, Boolean(pack.history)]);
  if (node.asked === state) return;
  node.asked = state;
  node.shown ??= el("ol", { class: "eventlist" });
  load(node, key);
}

async function load(node, key) {
  const list = node.shown;
  let found;
  try {
    found = await ask("api/events", { ...key, limit: PAGE });
  } catch {
    draw(node, "none", () => el("p", {}, "No event is stored yet."));
    node.asked = null;
    return;
  }
  if (!found.events.length) {
    draw(node, "empty", () => el("p", {}, "No event so far."));
    return;
  }
  list.replaceChildren(...found.events.map(item));
  const more = el("button", { type: "button", class: "more", onclick: () => older(more, list, key) }, "Earlier events");
  more.last = found.events.at(-1).n;
  node.drawn = null;
  draw(node, found.events, () => [list, found.events.length === PAGE ? more : null]);
}

async function older(button, list, key) {
  const found = await ask("api/events", { ...key, limit: PAGE, before: button.last }).catch(() => ({ events: [] }));
  list.append(...found.events.map(item));
  if (found.events.length) button.last = found.events.at(-1).n;
  if (found.events.length < PAGE) button.remove();
}

function item(event) {
  const raised = event.raised_ms;
  const lasted = event.cleared_ms && raised ? `, cleared after ${span((event.cleared_ms - raised) / 1000)}` : ", cleared";
  return el(
    "li", { class: `${event.severity} ${event.is_open ? "open" : "over"}` },
    el("span", { class: `tag ${event.severity}` }, event.severity),
    el("span", { class: "when" }, moment(raised) + (event.is_open ? ", still open" : lasted)),
    el("p", {}, event.text),
  );
}
