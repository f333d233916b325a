// All packs, worst first.

import { draw, el } from "./dom.js";
import { ask, follow } from "./live.js";
import { UNKNOWN, age, count, number } from "./words.js";

/** Show the list; returns what ends it. */
export function showFleet(main, page) {
  document.title = "packtap: all packs";
  const search = el("input", {
    type: "search", id: "search", placeholder: "Serial, agent or bus", autocomplete: "off", spellcheck: "false",
  });
  const summary = el("p", { class: "summary", role: "status" });
  const problems = el("div", { class: "problems" });
  const list = el("ul", { class: "packs" });
  main.replaceChildren(
    el("h1", {}, "All packs, worst first"),
    el("div", { class: "search" }, el("label", { for: "search" }, "Find a pack"), search),
    summary, problems, list,
  );
  let stop = () => {};
  const start = () => {
    stop();
    const query = new URLSearchParams({ q: search.value });
    stop = follow(`api/stream?${query}`, { packs: update, trouble: (t) => update({ packs: [], problems: [t.error] }) }, page.connected);
  };
  let typing = 0;
  search.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(start, 250);
  });
  const check = setInterval(() => {
    if (document.body.classList.contains("lost")) ask("api/packs").catch((e) => e.status === 401 && page.refused());
  }, 5000);

  function update(found) {
    page.tell(found.notice);
    const bad = found.packs.filter((pack) => pack.critical).length;
    draw(summary, [found.total, found.matching, bad], () => words(found, bad));
    draw(problems, found.problems, (texts) => texts.map((text) => el("p", { class: "problem" }, text)));
    draw(list, found.packs, (packs) => packs.map(row));
  }

  start();
  return () => {
    stop();
    clearInterval(check);
  };
}

function words(found, bad) {
  if (!found.total) return "No pack is known yet. Is an agent running, and is its store named in web.toml?";
  const parts = [found.matching === found.total ? count(found.total, "pack") : `${found.matching} of ${count(found.total, "pack")}`];
  if (bad) parts.push(`${bad} with an open critical event`);
  return parts.join(", ");
}

function row(pack) {
  const severity = pack.critical ? "critical" : pack.warning ? "warning" : "fine";
  const { agent, bus } = pack;
  const address = `#/pack?${new URLSearchParams({ agent, bus, pack: pack.pack })}`;
  return el(
    "li", { class: `pack ${severity}` },
    el(
      "a", { href: address },
      el("span", { class: `tag ${severity}` }, severity === "fine" ? "nothing raised" : severity),
      el("strong", { class: "serial" }, pack.pack || "pack not heard yet"),
      el("span", { class: "place" }, `${[pack.site, agent, bus].filter(Boolean).join(" / ")}`),
    ),
    pack.worst ? el("p", { class: "worst" }, pack.worst) : null,
    el(
      "dl", { class: "facts" },
      fact("spread", number(pack.spread_mv, 0, "mV")),
      fact("voltage", number(pack.voltage_v, 1, "V")),
      fact("charge", number(pack.soc_pct, 0, "%")),
      fact("last reading", typeof pack.age_s === "number" ? age(pack.age_s) : UNKNOWN),
    ),
  );
}

function fact(name, value) {
  return el("div", {}, el("dt", {}, name), el("dd", {}, value));
}
