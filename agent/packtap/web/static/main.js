// Which page is shown: all packs, one pack, or the question for the token.

import { el } from "./dom.js";
import { ask } from "./live.js";
import { showFleet } from "./fleet.js";
import { showPack } from "./pack.js";

const main = document.getElementById("main");
const connection = document.getElementById("connection");
const where = document.getElementById("where");
let leave = () => {};

/** Say whether live data comes. */
function connected(isLive) {
  connection.textContent = isLive ? "live" : "no connection, trying again";
  connection.classList.toggle("lost", !isLive);
  document.body.classList.toggle("lost", !isLive);
}

function askForToken(words = "") {
  leave();
  leave = () => {};
  connection.textContent = "token needed";
  where.textContent = "";
  const field = el("input", {
    id: "token", type: "password", autocomplete: "current-password", required: true,
    "aria-describedby": "token-problem",
  });
  const form = el(
    "form", { class: "card login" },
    el("h1", {}, "A token is needed"),
    el("p", {}, "Whoever set up this page has it (token_file in web.toml)."),
    el("label", { for: "token" }, "Token"),
    field,
    el("p", { id: "token-problem", class: "problem", role: "alert" }, words),
    el("button", { type: "submit" }, "Show the packs"),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    enter(field.value.trim());
  });
  main.replaceChildren(form);
  field.focus();
}

/** Trade the token for a cookie that no script can read. */
async function enter(token) {
  try {
    await ask("api/session", {}, { headers: { authorization: `Bearer ${token}` } });
  } catch (error) {
    askForToken(error.status === 401 ? "This is not the token." : error.message);
    return;
  }
  show();
}

async function show() {
  leave();
  leave = () => {};
  const [path, query] = location.hash.replace(/^#/, "").split("?");
  const names = Object.fromEntries(new URLSearchParams(query));
  let packs = null;
  if (path !== "/pack") {
    try {
      packs = await ask("api/packs");
    } catch (error) {
      if (error.status === 401) return askForToken();
      connected(false);
      main.replaceChildren(el("p", { class: "card problem" }, error.message));
      leave = again(3000);
      return;
    }
  }
  tell(packs?.notice);
  // One pack and nothing else to choose from: no list.
  const only = packs && path !== "/packs" && packs.total === 1 ? packs.packs[0] : null;
  where.textContent = "";
  if (path === "/pack" || only) {
    const key = only ?? names;
    const { agent = "", bus = "", pack = "" } = key;
    leave = showPack(main, { agent, bus, pack }, { connected, tell, refused: () => askForToken(), where });
  } else {
    leave = showFleet(main, { connected, tell, refused: () => askForToken() });
  }
}

function again(ms) {
  const timer = setTimeout(show, ms);
  return () => clearTimeout(timer);
}

/** Show the notice of the configuration. */
function tell(text) {
  const notice = document.getElementById("notice");
  notice.hidden = !text;
  notice.textContent = text ?? "";
}

window.addEventListener("hashchange", () => {
  if (location.hash === "#main") return;
  show();
  main.focus({ preventScroll: true });
  window.scrollTo(0, 0);
});

const given = /^#token=(.+)$/.exec(location.hash);
if (given) {
  // What follows # has not left the browser; it must not stay in its history either.
  history.replaceState(null, "", location.pathname);
  enter(decodeURIComponent(given[1]));
} else {
  show();
}
