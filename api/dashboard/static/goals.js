// The list of goals: filters, order, and rows kept live by the page's event stream.
import { attribute, byId, element, set } from "./dom.js";
import { STATUSES, byNeed, fullTime, statusShape, statusWord } from "./format.js";
import { makeRow, showRow, showTimes } from "./goal_row.js";
import { completeUpTo, follow } from "./live.js";

const goals = new Map();
const rows = new Map();
const words = new Map();
const body = byId("rows");
let filter = null;
let search = "";

function show(goal) {
  let parts = rows.get(goal.id);
  if (!parts) {
    parts = makeRow(goal);
    rows.set(goal.id, parts);
    body.append(parts.row);
  }
  showRow(parts, goal);
  const word = statusWord(goal.status);
  if (words.has(goal.id) && words.get(goal.id) !== word) set(byId("changes"), `${goal.description || goal.metric}: ${word}`);
  words.set(goal.id, word);
}

function isShown(goal) {
  const text = `${goal.description ?? ""} ${goal.metric}`.toLowerCase();
  return (filter === null || goal.status === filter) && text.includes(search);
}

// Rows never move under a reader's pointer or focus: then a button offers it.
function sort() {
  const order = [...goals.values()].sort(byNeed).map((goal) => goal.id);
  const differs = order.some((id, index) => body.children[index]?.dataset.id !== id);
  const isBusy = body.matches(":hover") || body.contains(document.activeElement);
  byId("reorder").hidden = !(differs && isBusy);
  if (differs && !isBusy) body.append(...order.map((id) => rows.get(id).row));
}

function showTiles() {
  const tiles = byId("tiles");
  if (!tiles.children.length) tiles.append(...[...STATUSES, null].map(makeTile));
  [...STATUSES, null].forEach((status, index) => {
    const tile = tiles.children[index];
    const found = [...goals.values()].filter((goal) => status === null || goal.status === status).length;
    set(tile.children[1], String(found));
    attribute(tile, "aria-pressed", String(filter === status));
  });
}

function makeTile(status) {
  const shape = element("span", { class: "shape", "aria-hidden": "true" }, status ? statusShape(status) : "");
  const word = element("span", {}, status ? statusWord(status) : "All goals");
  const tile = element("button", { type: "button", "data-status": status ?? "" }, shape, element("strong"), word);
  tile.addEventListener("click", () => {
    filter = filter === status ? null : status;
    showAll();
  });
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
  sort();
  byId("loading").hidden = true;
  byId("goals").hidden = shown === 0;
  byId("tiles").hidden = byId("search").parentElement.hidden = goals.size === 0;
  byId("none").hidden = goals.size === 0 || shown > 0;
  byId("empty").hidden = goals.size > 0;
}

function receive({ order, goals: changed }) {
  for (const goal of changed) {
    goals.set(goal.id, goal);
    show(goal);
  }
  for (const id of order ? [...goals.keys()].filter((known) => !order.includes(known)) : []) {
    goals.delete(id);
    words.delete(id);
    rows.get(id).row.remove();
    rows.delete(id);
  }
  showAll();
  const fresh = completeUpTo();
  set(byId("fresh"), fresh ? `Complete up to ${fullTime(fresh)}: every event until then is counted.` : "");
}

function showEverything() {
  byId("search").value = search = "";
  filter = null;
  showAll();
}

byId("search").addEventListener("input", (event) => {
  search = event.target.value.trim().toLowerCase();
  showAll();
});
byId("show-all").addEventListener("click", showEverything);
byId("reorder").addEventListener("click", () => {
  document.activeElement.blur();
  body.append(...[...goals.values()].sort(byNeed).map((goal) => rows.get(goal.id).row));
  byId("reorder").hidden = true;
});
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && !document.activeElement.matches("input, textarea, select")) {
    event.preventDefault();
    byId("search").focus();
  } else if (event.key === "Escape" && goals.size) {
    document.activeElement.blur();
    showEverything();
  }
});
setInterval(() => {
  for (const goal of goals.values()) showTimes(rows.get(goal.id), goal);
}, 5000);
follow(receive);
