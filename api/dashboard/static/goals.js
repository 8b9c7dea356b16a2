// The goals, kept live by one event stream. Rows are updated in place, so that focus stays; nothing is parsed as HTML.
import { STATUSES, ago, byNeed, number, outlook, share, sparkline, statusShape, statusWord, time } from "./format.js";

const SVG = "http://www.w3.org/2000/svg";
const goals = new Map();
const rows = new Map();
const byId = (id) => document.getElementById(id);
const body = byId("rows");
let filter = null;
let search = "";
let heardAt = 0;
let received = false;

function element(name, attributes = {}, ...children) {
  const made = name in { svg: 1, rect: 1, path: 1 } ? document.createElementNS(SVG, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function makeRow(id) {
  const name = element("div", { class: "name" });
  const more = element("div", { class: "small" });
  const current = element("span");
  const target = element("div", { class: "small" });
  const fill = element("rect", { class: "fill", y: 4, height: 10, rx: 3 });
  const pace = element("rect", { class: "pace", y: 0, height: 18, width: 4, rx: 1 });
  const track = element("rect", { class: "track", y: 4, height: 10, width: 300, rx: 3 });
  const bar = element("svg", { class: "bar", viewBox: "0 0 300 18", preserveAspectRatio: "none", role: "img" }, track, fill, pace);
  const status = element("span", { class: "status" });
  const line = element("path");
  const spark = element("svg", { class: "spark", viewBox: "0 0 100 20", preserveAspectRatio: "none", "aria-hidden": "true" }, line);
  const last = element("span", { class: "small" });
  const row = element(
    "tr",
    { "data-id": id, tabindex: "0" },
    element("td", {}, name, more),
    element("td", { class: "number", "data-label": "Current" }, current, target),
    element("td", {}, bar),
    element("td", { "data-label": "Status" }, status),
    element("td", {}, spark),
    element("td", { "data-label": "Last conversion" }, last),
  );
  return { row, name, more, current, target, fill, pace, bar, status, line, last };
}

function set(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function attribute(node, name, value) {
  if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

function showRow(goal) {
  let parts = rows.get(goal.id);
  if (!parts) {
    parts = makeRow(goal.id);
    rows.set(goal.id, parts);
    body.append(parts.row);
  }
  const unit = goal.unit ? ` ${goal.unit}` : "";
  set(parts.name, goal.description || goal.metric);
  set(parts.more, outlook(goal));
  set(parts.current, number(goal.current));
  set(parts.target, `of ${number(goal.target)}${unit}`);
  const gone = share(goal, goal.current);
  const expected = share(goal, goal.expected);
  attribute(parts.fill, "width", (gone * 300).toFixed(1));
  attribute(parts.pace, "x", Math.min(296, expected * 300).toFixed(1));
  attribute(parts.bar, "data-status", goal.status ?? "");
  const said = `${number(goal.current)} of ${number(goal.target)}${unit}; expected by now ${number(goal.expected)}`;
  attribute(parts.bar, "aria-label", said);
  const word = statusWord(goal.status);
  if (parts.word && parts.word !== word) byId("changes").textContent = `${goal.description || goal.metric}: ${word}`;
  parts.word = word;
  attribute(parts.status, "data-status", goal.status ?? "");
  set(parts.status, `${statusShape(goal.status)} ${word}${goal.statusSource === "manual" ? " (set by hand)" : ""}`);
  attribute(parts.line, "d", sparkline(goal.recent ?? []));
  set(parts.last, ago(goal.lastConversionAt));
  parts.row.hidden = !isShown(goal);
}

function isShown(goal) {
  const text = `${goal.description ?? ""} ${goal.metric}`.toLowerCase();
  return (filter === null || goal.status === filter) && text.includes(search);
}

function sort() {
  const order = [...goals.values()].sort(byNeed).map((goal) => goal.id);
  const present = [...body.children].map((row) => row.dataset.id);
  const differs = order.some((id, index) => present[index] !== id);
  const isBusy = body.matches(":hover") || body.contains(document.activeElement);
  byId("reorder").hidden = !(differs && isBusy);
  if (differs && !isBusy) body.append(...order.map((id) => rows.get(id).row));
}

function showTiles() {
  const tiles = byId("tiles");
  if (!tiles.children.length) {
    for (const status of [null, ...STATUSES]) {
      const tile = element("button", { type: "button" }, element("strong"), element("span", { class: "small" }));
      tile.addEventListener("click", () => {
        filter = filter === status ? null : status;
        showAll();
      });
      tiles.append(tile);
    }
  }
  [null, ...STATUSES].forEach((status, index) => {
    const tile = tiles.children[index];
    const found = [...goals.values()].filter((goal) => status === null || goal.status === status).length;
    set(tile.firstChild, String(found));
    set(tile.lastChild, status === null ? "All goals" : `${statusShape(status)} ${statusWord(status)}`);
    attribute(tile, "aria-pressed", String(filter === status));
  });
}

function showAll() {
  for (const goal of goals.values()) showRow(goal);
  showTiles();
  sort();
  byId("empty").hidden = !(received && goals.size === 0);
  const fresh = [...goals.values()].map((goal) => goal.freshAsOf).filter(Boolean).sort()[0];
  set(byId("fresh"), fresh ? `Every event up to ${time(fresh)} is counted.` : "");
}

function showState(state) {
  const banner = byId("banner");
  const text = state.stale
    ? `The counters do not answer; values are as of ${time(heardAt)}.`
    : state.rebuilding
      ? "The goals are being counted again from the log. Numbers appear when that is done."
      : "";
  set(banner, text);
  banner.hidden = !text;
}

function connection(state, text) {
  attribute(byId("connection"), "data-state", state);
  attribute(document.body, "data-connection", state);
  set(byId("connection"), text);
}

function receive(message) {
  const { state, order, goals: changed } = JSON.parse(message.data);
  heardAt = Date.now();
  received = true;
  for (const goal of changed) goals.set(goal.id, goal);
  if (order) {
    for (const id of [...goals.keys()].filter((known) => !order.includes(known))) {
      goals.delete(id);
      rows.get(id)?.row.remove();
      rows.delete(id);
    }
  }
  showAll();
  showState(state);
}

async function connect(wait = 500) {
  const source = new EventSource("/api/goals/stream");
  source.addEventListener("open", () => {
    heardAt = Date.now();
    connection("live", "live");
  });
  source.addEventListener("goals", receive);
  source.addEventListener("ended", () => location.replace("/sign-in"));
  source.addEventListener("error", async () => {
    source.close();
    connection("reconnecting", heardAt ? `reconnecting, as of ${time(heardAt)}` : "reconnecting");
    try {
      const answer = await fetch("/session");
      if (answer.status === 401) {
        location.replace("/sign-in");
        return;
      }
    } catch {
      // The server is away: try again below.
    }
    setTimeout(() => connect(Math.min(wait * 2, 8000)), wait + Math.random() * wait);
  });
}

byId("search").addEventListener("input", (event) => {
  search = event.target.value.trim().toLowerCase();
  showAll();
});
byId("reorder").addEventListener("click", () => {
  document.activeElement.blur();
  body.append(...[...goals.values()].sort(byNeed).map((goal) => rows.get(goal.id).row));
  byId("reorder").hidden = true;
});
byId("sign-out").addEventListener("click", async () => {
  await fetch("/session", { method: "DELETE" });
  location.replace("/sign-in");
});
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && document.activeElement.tagName !== "INPUT") {
    event.preventDefault();
    byId("search").focus();
  } else if (event.key === "Escape") {
    byId("search").value = search = "";
    filter = null;
    document.activeElement.blur();
    showAll();
  }
});
setInterval(() => {
  for (const goal of goals.values()) set(rows.get(goal.id).last, ago(goal.lastConversionAt));
}, 5000);
connect();
