// The pipeline's state, read again every second while the page is seen. The same reading as `scorekeeper status`.
import { attribute, byId, element, given, set } from "./dom.js";
import { drawFlow, FATES, fatesOf, total } from "./flow.js";
import { fullTime, number, percent, time } from "./format.js";
import { showLetters } from "./letters.js";
import { alarm, signs } from "./pipeline_state.js";
import { showGenerations, showLosses, showPartitions, showWorkers } from "./pipeline_tables.js";

const EVERY_MS = 1_000;
const MEANINGS = {
  counted: "matched a conversion goal and counts",
  unmatched: "no conversion goal asks for it",
  duplicate: "the same event once more",
  rejected: "can never be counted: a dead letter",
};
const { project, scopes, reasons } = given("given");
let found = null;
let heardAt = 0;
let ahead = 0; // how far the server's clock is before this one, ms
let isWhole = false;

const now = () => Date.now() + ahead;

function showSigns() {
  const list = byId("signs");
  signs(found, now()).forEach((sign, index) => {
    let box = list.children[index];
    if (!box) {
      box = element("div", {}, element("dt"), element("dd", {}, element("strong"), element("span", { class: "small" })));
      list.append(box);
    }
    attribute(box, "data-kind", sign.kind);
    set(box.children[0], sign.name);
    set(box.children[1].children[0], sign.value);
    set(box.children[1].children[1], sign.remark);
  });
}

function showFlow() {
  const row = isWhole ? total(found.partitions) : { received: 0, ...found.projects[project] };
  const fates = fatesOf(row);
  drawFlow(byId("flow"), fates);
  const body = byId("fates");
  FATES.forEach((fate, index) => {
    let line = body.children[index];
    if (!line) {
      const name = element("th", { scope: "row" }, element("span", { class: "swatch", "data-fate": fate, "aria-hidden": "true" }), fate, element("span", { class: "small" }, MEANINGS[fate]));
      line = element("tr", {}, name, element("td", { class: "number" }), element("td", { class: "number" }));
      body.append(line);
    }
    set(line.children[1], number(fates[fate]));
    set(line.children[2], row.received ? percent(fates[fate] / row.received) : "–");
  });
  const sum = FATES.reduce((all, fate) => all + fates[fate], 0);
  const adds = sum === row.received;
  attribute(byId("balance"), "data-kind", adds ? "good" : "bad");
  const parts = FATES.map((fate) => number(fates[fate])).join(" + ");
  set(byId("balance"), adds ? `✓ ${parts} = ${number(row.received)} received` : `✕ ${parts} is not ${number(row.received)}: run scorekeeper verify`);
}

function show() {
  byId("loading").hidden = true;
  byId("pipeline").hidden = false;
  attribute(byId("pipeline"), "data-whole", String(found.whole));
  byId("whose").hidden = !found.whole;
  byId("shared").hidden = found.whole;
  showSigns();
  showFlow();
  showPartitions(byId("partitions"), found.partitions, now());
  showWorkers(byId("workers"), found.workers, found.revision, now());
  byId("no-workers").hidden = found.workers.length > 0;
  showLetters(found.projects[project]?.rejected ?? {}, reasons, scopes, say);
  showGenerations(byId("generations"), found, scopes, now(), say);
  showLosses(byId("losses"), found.losses);
  set(byId("fresh"), found.freshAsOf ? `Complete up to ${fullTime(found.freshAsOf)}: every event until then is counted.` : "");
}

function say(text) {
  set(byId("said"), text);
}

function showConnection(name, text) {
  attribute(byId("connection"), "data-state", name);
  set(byId("connection"), text);
}

function showBanner(kind, text) {
  const banner = byId("banner");
  set(banner, text);
  attribute(banner, "data-kind", kind);
  attribute(document.body, "data-state", kind);
  banner.hidden = !text;
}

async function read() {
  let answer;
  try {
    answer = await fetch("/api/pipeline", { signal: AbortSignal.timeout(8_000) });
  } catch {
    showConnection("reconnecting", "reconnecting");
    const since = heardAt ? ` since ${time(heardAt)}. What is shown is as of then` : "";
    return showBanner("disconnected", `No connection${since}; reconnecting by itself.`);
  }
  if (answer.status === 401) return location.replace(`/sign-in?next=${encodeURIComponent(location.pathname)}`);
  showConnection("live", "live");
  if (!answer.ok) {
    const { detail } = await answer.json();
    const since = heardAt ? ` What is shown is as of ${time(heardAt)}.` : "";
    return showBanner("stale", `${detail}${since} Nothing is lost: events wait in the log.`);
  }
  found = await answer.json();
  heardAt = Date.now();
  ahead = Date.parse(answer.headers.get("date")) - heardAt;
  if (Math.abs(ahead) < 2_000) ahead = 0;
  show();
  showBanner(...alarm(found, now()));
}

async function keepReading() {
  for (;;) {
    if (!document.hidden) await read();
    await new Promise((resolve) => {
      setTimeout(resolve, EVERY_MS);
    });
  }
}

for (const [id, whole] of [["flow-project", false], ["flow-all", true]]) {
  byId(id).addEventListener("click", () => {
    isWhole = whole;
    attribute(byId("flow-project"), "aria-pressed", String(!whole));
    attribute(byId("flow-all"), "aria-pressed", String(whole));
    if (found) showFlow();
  });
}
keepReading();
