// The form of a conversion goal: completion from what was seen lately, rows of conditions, and the preview while typing.
import { byId, element } from "./dom.js";
import { Preview } from "./preview.js";

const PAUSE_MS = 350;
const WITHOUT_VALUE = new Set(["$exists", "$missing"]);
const form = byId("definition");
const rows = byId("condition-rows");
const preview = new Preview();
let types = [];
let timer = 0;

// -- completion

async function learn() {
  const answer = await fetch("/api/event-types").catch(() => null);
  if (!answer?.ok) return;
  types = await answer.json();
  fill("event-types", types.map((seen) => [seen.type, `${seen.count} lately`]));
  complete();
}

function complete() {
  const chosen = types.find((seen) => seen.type === form.elements.eventType.value.trim());
  const seen = chosen ? [chosen] : types;
  fill("paths", seen.flatMap((one) => one.paths.map(({ path, count }) => [path, `${count} lately`])));
  fill("properties", seen.flatMap((one) => one.properties.map(({ path, kinds }) => [path, kinds.join(", ")])));
  [...rows.children].forEach((row, index) => completeValues(row, index, seen));
}

// The values that were seen of the row's property, written as the form reads them.
function completeValues(row, index, seen) {
  const [property, , value] = row.children;
  const found = seen.flatMap((one) => one.properties).filter((one) => one.path === property.value.trim());
  const examples = new Set(found.flatMap((one) => one.examples.map(written)));
  const id = `values-${index}`;
  if (!byId(id)) row.append(element("datalist", { id }));
  value.setAttribute("list", id);
  fill(id, [...examples].map((example) => [example, ""]));
}

function written(example) {
  if (typeof example !== "string") return String(example);
  const looksOtherwise = /^\s*$|^[\s\d"+-]|^(true|false|null)$/.test(example);
  return looksOtherwise ? JSON.stringify(example) : example;
}

function fill(id, pairs) {
  const known = new Map(pairs);
  byId(id).replaceChildren(...[...known].slice(0, 100).map(([value, label]) => element("option", { value, label: label || null })));
}

// -- rows: there is always an empty one

function tidyRows() {
  const last = rows.lastElementChild;
  if (last.children[0].value.trim()) {
    const added = last.cloneNode(true);
    added.querySelector("datalist")?.remove();
    for (const input of added.querySelectorAll("input")) input.value = "";
    added.querySelector("select").selectedIndex = 0;
    added.setAttribute("aria-label", `Condition ${rows.children.length + 1}`);
    rows.append(added);
  }
  for (const row of rows.children) row.children[2].hidden = WITHOUT_VALUE.has(row.children[1].value);
}

function changed() {
  tidyRows();
  complete();
  clearTimeout(timer);
  timer = setTimeout(() => preview.show(new URLSearchParams(new FormData(form))), PAUSE_MS);
}

form.addEventListener("input", changed);
form.addEventListener("change", changed);
learn();
changed();
