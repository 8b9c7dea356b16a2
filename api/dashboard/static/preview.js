// What a definition would count among the newest events, while it is typed. The server says it; this shows it.
import { attribute, byId, element, set } from "./dom.js";
import { ago, number, percent } from "./format.js";

const SHOWN_DATA = 160;

export class Preview {
  constructor() {
    this.asked = null;
  }

  // `form`: URLSearchParams of the form. An answer that was overtaken by another question is dropped.
  async show(form) {
    this.asked?.abort();
    byId("preview").hidden = !form.get("eventType").trim();
    if (byId("preview").hidden) return;
    const asked = (this.asked = new AbortController());
    attribute(byId("preview"), "aria-busy", "true");
    try {
      const answer = await fetch("/conversion-goals/preview", { method: "POST", body: form, signal: asked.signal });
      const found = await answer.json();
      if (answer.ok) render(found);
      else say(found.faults ? "…" : "▲", found.faults ? Object.values(found.faults).join(" ") : found.detail);
    } catch (error) {
      if (error.name !== "AbortError") say("◍", "The server does not answer. What you typed is still here.");
      else return;
    }
    attribute(byId("preview"), "aria-busy", "false");
  }
}

function say(symbol, text) {
  set(byId("preview-verdict"), `${symbol} ${text}`);
  byId("preview-bar").setAttribute("hidden", "");
  byId("preview-body").replaceChildren();
}

function render(found) {
  const share = found.ofType ? found.matched / found.ofType : 0;
  const of = found.ofType === found.seen ? `the last ${number(found.seen)} events` : `the last ${number(found.ofType)} of this type`;
  set(byId("preview-verdict"), found.seen === 0 ? "◌ No event came yet." : `${number(found.matched)} of ${of} would count${found.ofType ? ` (${percent(share)})` : ""}.`);
  const bar = byId("preview-bar");
  bar.toggleAttribute("hidden", found.seen === 0);
  attribute(bar.lastElementChild, "width", (share * 300).toFixed(1));
  byId("preview-body").replaceChildren(...warnings(found), ...difference(found), ...funnel(found), ...samples(found));
}

function warnings(found) {
  return found.warnings.map((text) => element("p", { class: "warning" }, element("span", { "aria-hidden": "true" }, "▲ "), text));
}

// What an edit gains and loses, before it is saved.
function difference(found) {
  if (found.gained === undefined) return [];
  if (found.gained + found.lost === 0) return [element("p", { class: "quiet" }, `The change makes no difference for these events: ${number(found.unchanged)} count before and after.`)];
  const title = element("h3", {}, "What the change does");
  const counts = element("p", { class: "difference" }, element("strong", { class: "gained" }, `+${number(found.gained)} gained`), element("strong", { class: "lost" }, `−${number(found.lost)} lost`), element("span", { class: "quiet" }, `${number(found.unchanged)} as before`));
  return [title, counts, ...list("Gained", found.gainedSamples, "+"), ...list("Lost", found.lostSamples, "−")];
}

// How many events each requirement lets through, taken by itself.
function funnel(found) {
  const rows = found.clauses.filter((clause) => clause.path !== "eventType");
  if (!rows.length || !found.ofType) return [];
  const items = rows.map((clause) => element("li", {}, element("span", { class: "ask", dir: "auto" }, clause.text), element("span", { class: "small" }, `${number(clause.held)} of ${number(clause.of)}`)));
  return [element("h3", {}, "Each requirement by itself"), element("ul", { class: "funnel" }, ...items)];
}

function samples(found) {
  const missed = found.missed.map(({ event, why }) => [event, why]);
  return [...list("Would count", found.samples, "✓"), ...list("Nearest misses", missed.map(([event]) => event), "✕", missed.map(([, why]) => why))];
}

function list(title, events, symbol, reasons = []) {
  if (!events.length) return [];
  return [element("h3", {}, title), element("ul", { class: "samples" }, ...events.map((event, index) => sample(event, symbol, reasons[index])))];
}

function sample(event, symbol, reason) {
  const data = JSON.stringify(event.data);
  const where = event.url ? element("span", { class: "where", dir: "auto" }, event.url) : "";
  const shown = data === "{}" ? "" : element("code", { dir: "auto" }, data.length > SHOWN_DATA ? `${data.slice(0, SHOWN_DATA)}…` : data);
  const why = reason ? element("span", { class: "why", dir: "auto" }, reason) : "";
  return element("li", {}, element("span", { class: "symbol", "aria-hidden": "true" }, symbol), element("div", {}, why, where, shown), element("span", { class: "small" }, ago(event.occurredAt)));
}
