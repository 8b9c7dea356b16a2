// Keeps the log of one alert as it is now, in the words of the server. Newer messages come when they are asked for.
import { attribute, byId, element, set } from "./dom.js";
import { localise } from "./localise.js";

const EVERY_MS = 2000;
const address = `${location.pathname}/log`;

async function refresh() {
  if (document.visibilityState === "visible") {
    const answer = await fetch(address).catch(() => null);
    if (answer?.redirected) return location.replace(`/sign-in?next=${location.pathname}`);
    if (answer?.ok) {
      const lines = await answer.json();
      for (const line of lines) show(line);
      byId("newer").hidden = lines.every((line) => byId(line.id));
      localise();
    }
  }
  return setTimeout(refresh, EVERY_MS);
}

function show(line) {
  const row = byId(line.id);
  if (!row) return;
  const outcome = row.querySelector("[data-outcome]");
  if (outcome.textContent !== line.word) set(byId("said"), `${line.text} ${line.word.slice(2)}. ${line.said}.`);
  set(outcome, line.word);
  attribute(outcome, "data-status", line.tone);
  set(row.querySelector("[data-said]"), line.said);
  set(row.querySelector("[data-attempts]"), String(line.attempts));
  const next = row.querySelector("[data-next]");
  if ((next.querySelector("time")?.dateTime ?? null) === line.next) return;
  next.replaceChildren(line.next ? element("time", { datetime: line.next, "data-show": "clock" }) : "–");
}

setTimeout(refresh, EVERY_MS);
