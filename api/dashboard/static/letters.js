// Dead letters by reason: what it means, what to do, samples, and sending them again.
import { attribute, byId, element, set } from "./dom.js";
import { fullTime, number } from "./format.js";

const boxes = new Map();

// `rejected`: reason -> number, from the accounting; `reasons`: reason -> [meaning, remedy]; `say(text)` tells a result.
export function showLetters(rejected, reasons, scopes, say) {
  const list = byId("letters");
  const found = Object.entries(rejected).filter(([, count]) => count > 0).sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0]));
  byId("no-letters").hidden = found.length > 0;
  for (const [reason, count] of found) {
    let box = boxes.get(reason);
    if (!box) {
      box = makeBox(reason, reasons[reason] ?? ["", ""], scopes, say);
      boxes.set(reason, box);
      list.append(box.item);
    }
    set(box.count, number(count));
  }
  for (const [reason, box] of boxes) box.item.hidden = !rejected[reason];
}

function makeBox(reason, [meaning, remedy], scopes, say) {
  const count = element("strong", { class: "number" });
  const samples = element("div", { class: "samples" });
  const details = element("details", {}, element("summary", {}, "Newest samples"), samples);
  details.addEventListener("toggle", () => {
    if (details.open) showSamples(reason, samples);
  });
  const head = element("p", { class: "reason" }, count, element("code", {}, reason), element("span", {}, meaning), element("span", { class: "quiet" }, ...prose(remedy)));
  const item = element("li", { class: "card" }, head, details);
  if (scopes.includes("write")) {
    const button = element("button", { type: "button" }, "Send again");
    attribute(button, "aria-label", `Send the dead letters with the reason ${reason} again`);
    button.addEventListener("click", () => replay(reason, button, say));
    head.append(button);
  }
  return { item, count };
}

// What stands between backticks is code, as in the reference.
const prose = (text) => text.split("`").map((part, index) => (index % 2 ? element("code", {}, part) : part));

async function showSamples(reason, box) {
  box.replaceChildren(element("p", { class: "quiet" }, "◌ Looking …"));
  try {
    const answer = await fetch(`/api/dead-letters?limit=5&reason=${encodeURIComponent(reason)}`);
    const body = await answer.json();
    if (!answer.ok) return box.replaceChildren(element("p", { class: "fault" }, body.detail));
    if (!body.letters.length) return box.replaceChildren(element("p", { class: "quiet" }, "None among the newest dead letters that name this project; scorekeeper dead-letters list looks through all."));
    box.replaceChildren(...body.letters.map(makeSample));
  } catch {
    box.replaceChildren(element("p", { class: "fault" }, "The server does not answer; close and open this again."));
  }
}

function makeSample(letter) {
  const value = letter.value ?? (letter.byReference ? "(too large for the dead-letter topic; it lies in the original one)" : "(no value)");
  const where = `${letter.id}${letter.receivedAt ? `, received ${fullTime(letter.receivedAt)}` : ""}`;
  return element("figure", {}, element("figcaption", { class: "small" }, `${where}: ${letter.detail || letter.reason}`), element("pre", { tabindex: "0", dir: "auto" }, value.slice(0, 2000)));
}

async function replay(reason, button, say) {
  button.disabled = true;
  set(button, "Sending …");
  try {
    const answer = await fetch("/api/dead-letters/replay", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ reason }),
    });
    const body = await answer.json();
    say(answer.ok ? `${number(body.replayed)} dead letters were sent again. What can be counted now is counted once.` : body.detail);
  } catch {
    say("The server does not answer. Sending again may be repeated: nothing counts twice.");
  }
  button.disabled = false;
  set(button, "Send again");
}
