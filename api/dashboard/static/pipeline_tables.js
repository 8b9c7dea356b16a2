// The pipeline's tables. Rows are made once a key and updated in place, so that focus stays.
import { attribute, element, set } from "./dom.js";
import { ago, fullTime, number, percent, tenths, time } from "./format.js";
import { rejectedOf } from "./flow.js";
import { duration, generationState, partitionState, workerState } from "./pipeline_state.js";

// One row an item, in the items' order; `make` gives its cells, `update` fills them.
function keyed(body, items, keyOf, make, update) {
  const present = new Map([...body.children].map((row) => [row.dataset.key, row]));
  items.forEach((item, index) => {
    const key = String(keyOf(item));
    let row = present.get(key);
    if (!row) row = element("tr", { "data-key": key }, ...make(item));
    present.delete(key);
    if (body.children[index] !== row) body.insertBefore(row, body.children[index] ?? null);
    update(row, item);
  });
  for (const row of present.values()) row.remove();
}

const cell = (label, kind = "") => element("td", { class: kind, "data-label": label });
const name = () => element("th", { scope: "row" });

function showState(node, { kind, shape, text }) {
  attribute(node, "data-kind", kind);
  attribute(node, "class", "sign");
  set(node, `${shape} ${text}`);
}

const stateCell = () => element("td", { "data-label": "State" }, element("span"));

export function showPartitions(body, rows, now) {
  keyed(body, rows, (row) => `${row.topic}/${row.partition}`, () => [name(), stateCell(), cell("Lag", "number whole"), cell("Complete up to"), ...["Checkpoint", "End of log", "Received", "Rejected"].map((label) => cell(label, "number whole"))], (tr, row) => {
    set(tr.children[0], `${row.topic} / ${row.partition}`);
    showState(tr.children[1].firstChild, partitionState(row, now));
    set(tr.children[2], number(row.lag));
    set(tr.children[3], row.freshAsOf ? `${time(row.freshAsOf)}, ${ago(row.freshAsOf, now)}` : "nothing yet");
    [row.checkpoint, row.end, row.received, row.rejected && rejectedOf(row)].forEach((value, index) => set(tr.children[4 + index], number(value)));
  });
}

export function showWorkers(body, workers, revision, now) {
  keyed(body, workers, (worker) => worker.id, () => [name(), stateCell(), cell("Messages a second", "number whole"), cell("Catalog revision", "number whole"), cell("Partitions", "number"), cell("Received", "number whole"), cell("Running for")], (tr, worker) => {
    const state = workerState(worker, now);
    const behind = revision - worker.revision;
    set(tr.children[0], worker.id);
    showState(tr.children[1].firstChild, state);
    set(tr.children[2], state.kind === "bad" ? "–" : tenths(worker.rate));
    set(tr.children[3], behind > 0 ? `${number(worker.revision)} (${behind} behind)` : number(worker.revision));
    set(tr.children[4], number(worker.partitions?.length ?? 0));
    attribute(tr.children[4], "title", (worker.partitions ?? []).join(", "));
    set(tr.children[5], number(worker.received));
    set(tr.children[6], duration((state.kind === "bad" ? worker.at : now) - worker.startedAt));
  });
}

function countedText(row, isWhole) {
  if (row.messages !== undefined) return `${number(row.counted)} of ${number(row.messages)}`;
  return isWhole ? "Kafka does not answer" : percent(row.countedShare);
}

export function showGenerations(body, { generations: rows, whole: isWhole }, scopes, now, say) {
  keyed(body, rows, (row) => row.number, makeGeneration(scopes, say), (tr, row) => {
    const share = row.countedShare ?? (row.messages ? row.counted / row.messages : row.finished ? 1 : 0);
    set(tr.children[0], String(row.number));
    showState(tr.children[1].firstChild, generationState(row, now));
    const [bar, text] = tr.children[2].firstChild.children;
    bar.value = share;
    set(text, countedText(row, isWhole) + (row.since ? `, since ${fullTime(row.since)}` : ""));
    set(tr.children[3], fullTime(row.createdAt));
    const button = tr.children[4].firstChild;
    if (button) button.hidden = !isWhole || row.shown || !row.finished;
  });
}

const makeGeneration = (scopes, say) => (row) => {
  const bar = element("progress", { max: 1, "aria-label": `generation ${row.number} counted` });
  const last = element("td");
  if (scopes.includes("admin")) {
    const button = element("button", { type: "button" }, "Show this one");
    button.addEventListener("click", () => switchTo(row.number, button, say));
    last.append(button);
  }
  return [name(), stateCell(), element("td", { "data-label": "Counted" }, element("span", { class: "counted" }, bar, element("span", { class: "small" }))), cell("Created"), last];
};

async function switchTo(number_, button, say) {
  if (button.dataset.asked === undefined) {
    // The first press asks, the second does: what is shown to everybody changes at once.
    button.dataset.asked = "";
    set(button, `Show generation ${number_} to everybody?`);
    setTimeout(() => {
      delete button.dataset.asked;
      set(button, "Show this one");
    }, 5_000);
    return;
  }
  button.disabled = true;
  try {
    const answer = await fetch(`/api/generations/${number_}/show`, { method: "POST" });
    say(answer.ok ? `Generation ${number_} is shown now.` : (await answer.json()).detail);
  } catch {
    say("The server does not answer; nothing was changed.");
  }
  button.disabled = false;
}

export function showLosses(list, losses) {
  const what = (loss) => (loss.number === undefined ? `Messages of ${loss.topic} / ${loss.partition}` : `${number(loss.number)} messages of ${loss.topic} / ${loss.partition} (offsets ${number(loss.from)} to ${number(loss.to - 1)})`);
  const texts = losses.map((loss) => `▲ ${what(loss)} left the log before they were counted, noticed ${fullTime(loss.at)}. Goals that ran then are marked incomplete.`);
  const shown = texts.length ? texts : ["✓ Nothing was lost."];
  shown.forEach((text, index) => {
    if (!list.children[index]) list.append(element("li"));
    set(list.children[index], text);
  });
  while (list.children.length > shown.length) list.lastChild.remove();
}
