// The one event stream of a page, and what the page says about its connection.
// Three different messages: the page is disconnected; the counters do not answer; the pipeline lags.
import { attribute, byId, set } from "./dom.js";
import { time } from "./format.js";

const LAGS_AFTER_MS = 10_000;
let heardAt = 0;
let isConnected = false;
let state = {};
let freshAsOf = null;

// `receive({state, order, goals})` is called with the whole at first, then with what changed.
export function follow(receive) {
  connect(receive, 500);
  setInterval(showBanner, 1000);
}

// Tell up to when all events are counted; null when nothing was ever read.
export function setFreshAsOf(moment) {
  freshAsOf = moment;
}

function connect(receive, wait) {
  const source = new EventSource("/api/goals/stream");
  source.addEventListener("open", () => {
    wait = 500;
    show("live", "live");
  });
  source.addEventListener("goals", (message) => {
    heardAt = Date.now();
    const found = JSON.parse(message.data);
    state = found.state;
    receive(found);
    showBanner();
  });
  source.addEventListener("ended", signedOut);
  source.addEventListener("error", async () => {
    source.close();
    show("reconnecting", "reconnecting");
    try {
      // An event source tells nothing of its error: ask whether we are still signed in.
      if ((await fetch("/session")).status === 401) return signedOut();
    } catch {
      // The server is away: try again below.
    }
    setTimeout(() => connect(receive, Math.min(wait * 2, 8000)), wait + Math.random() * wait);
  });
}

function signedOut() {
  show("signed-out", "signed out");
  location.replace(`/sign-in?next=${encodeURIComponent(location.pathname)}`);
}

function show(name, text) {
  isConnected = name === "live";
  attribute(byId("connection"), "data-state", name);
  attribute(document.body, "data-connection", name);
  set(byId("connection"), text);
  showBanner();
}

function showBanner() {
  const [kind, text] = message();
  const banner = byId("banner");
  set(banner, text);
  attribute(banner, "data-kind", kind);
  banner.hidden = !text;
  attribute(document.body, "data-state", kind);
}

function message() {
  const behind = freshAsOf === null ? 0 : Date.now() - Date.parse(freshAsOf);
  if (!isConnected && heardAt) return ["disconnected", `No connection since ${time(heardAt)}. Values may be old; reconnecting by itself.`];
  if (state.stale) return ["stale", `The counters do not answer. Values are as of ${time(freshAsOf ?? heardAt)}.`];
  if (state.rebuilding) return ["rebuilding", "The goals are being counted again from the log. Numbers appear when that is done."];
  if (isConnected && behind > LAGS_AFTER_MS) {
    return ["lagging", `Counting stands still: complete up to ${time(freshAsOf)}. Events wait in the log and nothing is lost; see Pipeline.`];
  }
  return ["", ""];
}
