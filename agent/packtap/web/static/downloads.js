// What can be taken away: the report, readings as CSV, and what the wires said around an event.

import { draw, el } from "./dom.js";
import { ask } from "./live.js";
import { UNKNOWN, moment } from "./words.js";

const AGAIN_MS = 30_000; // a recording goes on for a minute after its event

/** The card of one pack; `node` is its place on the page. */
export class Downloads {
  constructor(key, history) {
    this.key = key;
    this.history = history;
    this.links = el("div");
    this.flights = el("div", { class: "flights" });
    this.node = el("div", {}, this.links, this.flights);
    this.events = null;
    this.timer = setInterval(() => document.hidden || this.load(), AGAIN_MS);
  }

  close() {
    clearInterval(this.timer);
  }

  /** Take what is new of the pack. */
  update(pack) {
    draw(this.links, Boolean(pack.history), () => this.list(pack));
    const events = JSON.stringify([Boolean(pack.history), pack.events.map((event) => event.id)]);
    if (events === this.events) return;
    this.events = events;
    this.load();
  }

  list(pack) {
    if (!pack.history) return el("p", {}, "Nothing is stored yet.");
    const all = address("api/readings.csv", this.key);
    return [
      el("ul", { class: "links" },
        el("li", {}, el("a", { href: address("api/report", this.key), download: "" }, "Report for the customer (HTML, prints on A4)")),
        el("li", {}, el("a", { href: all, download: "" }, "All readings as CSV")),
        el("li", {}, el("a", {
          href: all, download: "",
          onclick: (event) => {
            const [from, to] = this.history.range();
            event.currentTarget.href = `${all}&${new URLSearchParams({ from, to })}`;
          },
        }, "The readings of the shown history as CSV"))),
      el("p", { class: "note" }, "The report is made of the stored readings and of what the agent knows now; it says so in itself. packtap diagnose PORT makes one of a recording of its own."),
    ];
  }

  async load() {
    let found;
    try {
      found = (await ask("api/flights", this.key)).flights;
    } catch (error) {
      if (error.status === 404) found = []; // no store knows the pack yet
      else return; // what is shown stays; the page says that the server is away
    }
    draw(this.flights, found, () => this.table(found));
  }

  table(found) {
    const head = el("h3", {}, "Flight recordings: what the wires said around a critical event");
    if (!found.length) return [head, el("p", { class: "note" }, "None beside this store.")];
    return [head, el("ul", { class: "links", "aria-label": "Flight recordings" }, found.map((flight) => this.row(flight)))];
  }

  row(flight) {
    const key = { ...this.key, flight: flight.name };
    const when = moment(flight.t_ms);
    return el("li", {},
      el("strong", {}, flight.kind.replaceAll("_", " ")), `, ${when}, ${size(flight.size)}`,
      el("div", { class: "note" }, "pack ", el("span", { class: "serial" }, flight.pack || UNKNOWN)),
      el("a", { href: address("api/flight", key), download: "", "aria-label": `capture of ${when}` }, "capture"), " \u00b7 ",
      el("a", { href: address("api/report", key), download: "", "aria-label": `report of ${when}` }, "report"));
  }
}

function address(path, key) {
  return `${path}?${new URLSearchParams(key)}`;
}

function size(bytes) {
  return bytes < 1000 ? `${bytes}\u00a0B` : bytes < 1e6 ? `${Math.round(bytes / 1000)}\u00a0kB` : `${(bytes / 1e6).toFixed(1)}\u00a0MB`;
}
