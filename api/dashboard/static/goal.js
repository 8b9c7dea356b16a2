// A goal's page: the figures and the chart, kept live; recent conversions; status changes.
import { actual, figures, projection } from "./burn_up.js";
import { Chart } from "./chart.js";
import { attribute, byId, element, given, set } from "./dom.js";
import { ago, compact, date, ending, figure, fullTime, moment, number, outlook, percent, reached, reachedAmount, share, short, signed, span, statusShape, statusWord, targetAmount, toPace } from "./format.js";
import { follow, setFreshAsOf } from "./live.js";

const REFRESH_MS = 5000;
const READ_AGAIN_MS = 5000;
const SEEN_EVERY_MS = 1000;
const MOST_SEEN = 1800;
const MOST_ROWS = 62;
const MOST_CHANGES = 12;
const MOST_LOOKS = 12;
const LONG_FIGURE = 12;
let goal = given("goal-data");
let seen = [];
let refreshedAt = 0;
let isWaiting = false;
let looksLeft = 0;
let readAgain = 0;
const chart = new Chart(byId("chart"), byId("readout"));

function show() {
  const line = actual(goal, seen);
  const projected = projection(goal, line);
  const end = goal.periodEndsAt ?? goal.endsAt;
  set(byId("current"), reached(goal));
  attribute(byId("current"), "data-long", String(byId("current").textContent.length > LONG_FIGURE));
  set(byId("outlook"), outlook(goal));
  const [, fill, pace] = byId("bar").children;
  attribute(fill, "width", (share(goal, goal.current) * 300).toFixed(1));
  attribute(pace, "x", Math.min(296, Math.max(0, share(goal, goal.expected) * 300 - 2)).toFixed(1));
  attribute(byId("bar"), "aria-label", `${reachedAmount(goal)} of ${targetAmount(goal)}; expected by now ${figure(goal, goal.expected)}`);
  attribute(document.querySelector(".facts"), "data-status", goal.status ?? "");
  showStatus();
  set(byId("expected"), figure(goal, goal.expected));
  const gap = toPace(goal);
  set(byId("gap"), gap === null ? "too early to judge" : `${signed(gap, percent)} to pace`);
  set(byId("projected"), figure(goal, goal.projected));
  set(byId("range"), projected?.low != null ? `likely ${compact(Math.round(projected.low))} to ${compact(Math.round(projected.high))}` : goal.projected === null ? "too early to say" : "");
  showNeeded(end);
  set(byId("ends-label"), line.isOver ? "Ended" : "Ends");
  set(byId("ends"), ending(goal));
  set(byId("left"), line.isOver ? ago(end) : `in ${span(Date.parse(end) - Date.now())}`);
  chart.draw(goal, line, projected);
  showFigures(line);
  showPeriods();
  set(byId("fresh"), goal.freshAsOf ? `Complete up to ${fullTime(goal.freshAsOf)}: every event until then is counted.` : "");
}

function showStatus() {
  const pill = byId("status").firstElementChild;
  const text = `${statusShape(goal.status)} ${statusWord(goal.status)}`;
  if (pill.textContent !== text) set(byId("changes"), `${goal.description || goal.metric}: ${statusWord(goal.status)}`);
  set(pill, text);
  attribute(pill, "data-status", goal.status ?? "");
  pill.classList.toggle("manual", goal.statusSource === "manual");
}

function showNeeded(end) {
  const missing = goal.current === null ? null : (goal.target - goal.current) * (goal.direction === "at_most" && (goal.startValue ?? 0) > goal.target ? -1 : 1);
  const days = (Date.parse(end) - Date.now()) / 86_400_000;
  set(byId("needed"), missing === null ? "–" : missing > 0 ? reached(goal, missing) : goal.direction === "at_most" ? "over the limit" : "nothing");
  const written = goal.aggregation === "sum" ? (value) => short(goal, value) : compact;
  const each = days > 2 ? `${written(missing / days)} a day` : `${written(missing / Math.max(days * 24, 1 / 60))} an hour`;
  set(byId("needed-rate"), missing > 0 && days > 0 && goal.aggregation !== "rate" ? each : "");
}

function showFigures(line) {
  if (!document.querySelector(".figures").open) return;
  const rows = figures(goal, line).slice(-MOST_ROWS).reverse();
  byId("figures").replaceChildren(
    ...rows.map((row) =>
      element("tr", {}, element("th", { scope: "row" }, moment(row.at)), ...[row.gained === null ? "–" : signed(row.gained, (value) => reached(goal, value)), reached(goal, row.actual), figure(goal, row.expected), signed(row.actual - row.expected, (value) => figure(goal, value))].map((text) => element("td", { class: "number" }, text))),
    ),
  );
}

function showPeriods() {
  const rows = (goal.periods ?? []).slice(-24).reverse();
  byId("periods")?.replaceChildren(
    ...rows.map((one) =>
      element("tr", {}, element("th", { scope: "row" }, date(one.startsAt)), element("td", { class: "number" }, reachedAmount(goal, one.current)), element("td", { class: "number" }, percent(one.progress))),
    ),
  );
}

function showChanges() {
  const changes = (goal.statusChanges ?? []).slice(-MOST_CHANGES).reverse();
  byId("no-changes").hidden = changes.length > 0;
  byId("status-changes").replaceChildren(
    ...changes.map((change) =>
      element("li", {}, element("span", { class: "status", "data-status": change.to ?? "" }, `${statusShape(change.to)} ${statusWord(change.to)}`), element("time", { class: "small", datetime: change.at, title: fullTime(change.at) }, moment(change.at)), element("p", {}, change.reason)),
    ),
  );
}

async function showConversions() {
  const state = byId("conversions-state");
  try {
    const answer = await fetch(`/api/goals/${goal.id}/conversions?limit=12`);
    if (!answer.ok) throw new Error((await answer.json()).detail);
    const { seen: searched, conversions } = await answer.json();
    byId("conversions").hidden = conversions.length === 0;
    state.hidden = conversions.length > 0;
    set(state, noneOf(searched));
    byId("conversions").tBodies[0].replaceChildren(...conversions.map(conversionRow));
  } catch (error) {
    state.hidden = false;
    set(state, `✕ The log cannot be read now. ${error.message}`);
    clearTimeout(readAgain);
    readAgain = setTimeout(showConversions, READ_AGAIN_MS);
  }
}

// Also what was counted leaves the log some day, and nothing is searched where nothing feeds the goal any more.
function noneOf(searched) {
  if (searched) return `None among the last ${number(searched)} events.`;
  if (!goal.lastConversionAt) return "Waiting for the first event.";
  return `None to be read back from the log any more; what was counted stays. Last: ${fullTime(goal.lastConversionAt)}.`;
}

function conversionRow(event) {
  const who = event.userId ?? event.visitorId ?? event.sessionId ?? "–";
  const where = event.url ? element("span", { class: "quiet" }, ` ${event.url}`) : "";
  return element(
    "tr",
    {},
    element("th", { scope: "row" }, element("time", { datetime: event.occurredAt, title: fullTime(event.occurredAt) }, moment(event.occurredAt))),
    element("td", { class: "code", dir: "auto" }, element("span", {}, event.type, where)),
    element("td", { "data-label": "Who", dir: "auto" }, element("span", { class: "clip" }, who)),
    element("td", { "data-label": "Counted by", dir: "auto" }, event.conversionGoals.map((one) => one.name).join(", ")),
  );
}

// The history by hour, the changes and the conversions, as soon as something moved, but not more often than they matter.
async function refresh() {
  if (isWaiting) return;
  isWaiting = true;
  await new Promise((resolve) => setTimeout(resolve, Math.max(0, refreshedAt + REFRESH_MS - Date.now())));
  refreshedAt = Date.now();
  isWaiting = false;
  const answer = await fetch(`/api/goals/${goal.id}`).catch(() => null);
  if (!answer?.ok) return;
  goal = await answer.json();
  show();
  showChanges();
  await showConversions();
  // A change is recorded a moment after it is seen, and nothing else may move any more: look again.
  const isRecorded = goal.statusChanges?.at(-1)?.to === goal.status;
  if (!isRecorded && looksLeft-- > 0) refresh();
}

function receive({ order, goals }) {
  if (order && !order.includes(goal.id)) {
    location.replace("/");
    return;
  }
  const found = goals.find((one) => one.id === goal.id);
  if (!found) return;
  if (found.status !== goal.status) looksLeft = MOST_LOOKS;
  const hasMoved = found.current !== goal.current || found.status !== goal.status || found.revision !== goal.revision;
  const isNewPeriod = found.periodStartsAt !== goal.periodStartsAt;
  goal = { ...goal, ...found };
  const at = Date.parse(found.freshAsOf ?? 0);
  if (isNewPeriod) seen = [];
  if (found.current !== null && at > (seen.at(-1)?.[0] ?? 0) + SEEN_EVERY_MS) seen = [...seen.slice(-MOST_SEEN), [at, found.current]];
  setFreshAsOf(found.freshAsOf);
  show();
  if (hasMoved) refresh();
}

document.querySelector(".figures").addEventListener("toggle", show);
show();
showChanges();
showConversions();
refreshedAt = Date.now();
follow(receive);
