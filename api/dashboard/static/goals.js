// The list of goals: filters, order and groups, and rows kept live by the page's event stream.
import { attribute, byId, element, set } from "./dom.js";
import { STATUSES, fullTime, statusShape, statusWord } from "./format.js";
import { arrange } from "./goal_order.js";
import { makeRow, showRow, showTimes } from "./goal_row.js";
import { queryOf, readView } from "./goals_view.js";
import { completeUpTo, follow } from "./live.js";
import { atMostEvery } from "./pacing.js";

const SETTLED_MS = 2_000;
// Nobody reads faster, and to lay out and paint hundreds of rows is what the page costs.
const PAINTED_MS = 400;
const goals = new Map();
const news = new Map();
const rows = new Map();
const words = new Map();
const table = byId("goals");
const groups = new Map();
const view = readView(location.search);
let movedAt = -SETTLED_MS;
let timer = null;

function show(goal) {
  let parts = rows.get(goal.id);
  if (!parts) {
    parts = makeRow(goal);
    rows.set(goal.id, parts);
    group(view.isGrouped ? (goal.status ?? null) : null, view.isGrouped).append(parts.row);
  }
  showRow(parts, goal);
  const word = statusWord(goal.status);
  if (words.has(goal.id) && words.get(goal.id) !== word) set(byId("changes"), `${goal.description || goal.metric}: ${word}`);
  words.set(goal.id, word);
}

function isShown(goal) {
  const text = `${goal.description ?? ""} ${goal.metric}`.toLowerCase();
  return (view.status === null || goal.status === view.status) && text.includes(view.search.trim().toLowerCase());
}

// A part of the table, made when it is first needed: of one status with a heading, or of all without one.
function group(status, isGrouped) {
  const name = isGrouped ? (status ?? "waiting") : "all";
  if (!groups.has(name)) {
    const made = element("tbody", { "data-group": name });
    if (isGrouped) {
      const word = element("span", {}, `${statusShape(status)} ${statusWord(status)} `);
      made.append(element("tr", { class: "group" }, element("th", { scope: "rowgroup", colspan: 8 }, word, element("span", { class: "small" }))));
    }
    groups.set(name, made);
  }
  return groups.get(name);
}

// The table's parts in order, each with its rows in order.
function wanted() {
  return arrange(goals.values(), view.sort, view.isGrouped).map(([status, found]) => [group(status, view.isGrouped), found.map((goal) => rows.get(goal.id).row)]);
}

const rowsIn = (part) => [...part.rows].filter((row) => row.dataset.id);

function isInPlace([part, ordered]) {
  const present = rowsIn(part);
  return part.isConnected && present.length === ordered.length && present.every((row, index) => row === ordered[index]);
}

// Only what is out of place is moved.
function move(parts) {
  for (const part of table.tBodies) if (!parts.some(([one]) => one === part)) part.remove();
  for (const [part, ordered] of parts) {
    if (!part.isConnected) table.append(part);
    let place = part.querySelector("tr[data-id]");
    for (const row of ordered) {
      if (row === place) place = place.nextElementSibling;
      else part.insertBefore(row, place);
    }
  }
  movedAt = performance.now();
  byId("reorder").hidden = true;
  showGroups();
}

// Rows never move under a reader's pointer or focus: then a button offers it. Else they stay for a moment when they moved.
function sort() {
  clearTimeout(timer);
  const parts = wanted();
  const isBusy = [...table.tBodies].some((part) => part.matches(":hover") || part.contains(document.activeElement));
  const isMoving = !parts.every(isInPlace);
  byId("reorder").hidden = !(isMoving && isBusy);
  if (!isMoving || isBusy) return;
  const rest = movedAt + SETTLED_MS - performance.now();
  if (rest > 0) timer = setTimeout(sort, rest);
  else move(parts);
}

function showTiles() {
  const tiles = byId("tiles");
  if (!tiles.children.length) tiles.append(...[...STATUSES, null].map(makeTile));
  [...STATUSES, null].forEach((status, index) => {
    const tile = tiles.children[index];
    const found = [...goals.values()].filter((goal) => status === null || goal.status === status).length;
    set(tile.children[1], String(found));
    attribute(tile, "aria-pressed", String(view.status === status));
  });
}

function makeTile(status) {
  const shape = element("span", { class: "shape", "aria-hidden": "true" }, status ? statusShape(status) : "");
  const word = element("span", {}, status ? statusWord(status) : "All goals");
  const tile = element("button", { type: "button", "data-status": status ?? "" }, shape, element("strong"), word);
  tile.addEventListener("click", () => look({ status: view.status === status ? null : status }));
  return tile;
}

function showAll() {
  let shown = 0;
  for (const goal of goals.values()) {
    const fits = isShown(goal);
    rows.get(goal.id).row.hidden = !fits;
    shown += fits;
  }
  showTiles();
  showGroups();
  byId("loading").hidden = true;
  table.hidden = shown === 0;
  byId("controls").hidden = goals.size === 0;
  byId("none").hidden = goals.size === 0 || shown > 0;
  byId("empty").hidden = goals.size > 0;
}

// A group says how many it shows, and is not there when it shows none.
function showGroups() {
  for (const part of table.tBodies) {
    const shown = rowsIn(part).filter((row) => !row.hidden).length;
    part.hidden = shown === 0;
    if (part.querySelector(".group")) set(part.querySelector(".group .small"), shown === 1 ? "1 goal" : `${shown} goals`);
  }
}

// The reader asks for another view: what it moves is moved at once.
function look(changes) {
  Object.assign(view, changes);
  history.replaceState(null, "", location.pathname + queryOf(view));
  if ("sort" in changes || "isGrouped" in changes) move(wanted());
  showChoices();
  showAll();
}

function showChoices() {
  byId("sort").value = view.sort;
  byId("group").checked = view.isGrouped;
  if (byId("search").value.trim() !== view.search.trim()) byId("search").value = view.search;
  const order = byId("sort").selectedOptions[0].textContent.toLowerCase();
  set(table.caption, `Goals with their progress, ${order}${view.isGrouped ? ", grouped by status" : ""}`);
}

function receive({ order, goals: changed }) {
  for (const goal of changed) news.set(goal.id, goal);
  if (order) forget(new Set(order));
  paint();
}

function forget(present) {
  for (const id of news.keys()) if (!present.has(id)) news.delete(id);
  for (const id of goals.keys()) {
    if (present.has(id)) continue;
    goals.delete(id);
    words.delete(id);
    rows.get(id).row.remove();
    rows.delete(id);
  }
}

const paint = atMostEvery(PAINTED_MS, () => {
  for (const goal of news.values()) {
    goals.set(goal.id, goal);
    show(goal);
  }
  news.clear();
  sort();
  showAll();
  const fresh = completeUpTo();
  set(byId("fresh"), fresh ? `Complete up to ${fullTime(fresh)}: every event until then is counted.` : "");
});

const showEverything = () => look({ status: null, search: "" });

byId("search").addEventListener("input", (event) => look({ search: event.target.value }));
byId("sort").addEventListener("change", (event) => look({ sort: event.target.value }));
byId("group").addEventListener("change", (event) => look({ isGrouped: event.target.checked }));
byId("show-all").addEventListener("click", showEverything);
byId("reorder").addEventListener("click", () => {
  document.activeElement.blur();
  move(wanted());
});
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && !document.activeElement.matches("input, textarea, select")) {
    event.preventDefault();
    byId("search").focus();
  } else if (event.key === "Escape" && goals.size && !document.activeElement.matches("select")) {
    document.activeElement.blur();
    showEverything();
  }
});
setInterval(() => {
  for (const goal of goals.values()) showTimes(rows.get(goal.id), goal);
}, 5000);
showChoices();
follow(receive);
