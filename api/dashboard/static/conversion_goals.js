// Keeps the counts and last matches of the list as they are now, from the same answer that the API gives.
import { byId, element } from "./dom.js";
import { localise } from "./localise.js";

const EVERY_MS = 3000;
let tag = "";

async function refresh() {
  if (document.visibilityState === "visible") {
    const answer = await fetch("/api/conversion-goals", { headers: tag ? { "if-none-match": tag } : {} }).catch(() => null);
    if (answer?.status === 401) return location.replace("/sign-in?next=/conversion-goals");
    if (answer?.ok) {
      tag = answer.headers.get("etag") ?? "";
      for (const one of await answer.json()) show(one);
      localise();
    }
  }
  return setTimeout(refresh, EVERY_MS);
}

function show(one) {
  const row = byId(one.id);
  if (!row || one.conversions === null) return;
  row.querySelector("[data-counted]").replaceChildren(element("data", { value: one.conversions }));
  row.querySelector("[data-worth]")?.replaceChildren(element("data", { value: one.value ?? 0 }));
  const last = row.querySelector("[data-last]");
  if (one.lastConversionAt) last.replaceChildren(element("time", { datetime: one.lastConversionAt, "data-show": "ago" }));
}

setTimeout(refresh, EVERY_MS);
