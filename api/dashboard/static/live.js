// What a page knows live, and what it says about its connection. All tabs of a project share one event stream.
// Three different messages: the page is disconnected; the counters do not answer; the pipeline lags.
import { attribute, byId, set } from "./dom.js";
import { time } from "./format.js";
import { openStream } from "./stream.js";

const LAGS_AFTER_MS = 10_000;
const WORKER = "/stream-worker.js";
const project = byId("connection").dataset.project;
let heardAt = 0;
let connection = "connecting";
let state = {};
let freshAsOf = null;

// `receive({state, order, goals})` is called with the whole at first, then with what changed.
export function follow(receive) {
  const on = {
    live: () => show("live", "live"),
    lost: () => show("reconnecting", "reconnecting"),
    silent: () => show("silent", "silent"),
    signedOut,
    frame: (frame) => take(frame, receive),
  };
  if (!followShared(on)) followAlone(on);
  setInterval(showBanner, 1000);
}

// Tell up to when all events are counted; null when nothing was ever read.
export function setFreshAsOf(moment) {
  freshAsOf = moment;
}

// Up to when every event is counted, as the stream said last.
export const completeUpTo = () => freshAsOf;

function take(frame, receive) {
  // Somebody signed in to another project meanwhile, in another tab.
  if (frame.project !== project) return location.reload();
  heardAt = Date.now();
  state = frame.state;
  freshAsOf = state.freshAsOf ?? freshAsOf;
  for (const goal of frame.goals) goal.freshAsOf = freshAsOf;
  receive(frame);
  if (connection !== "live") show("live", "live");
  else showBanner();
}

function followShared(on) {
  if (typeof SharedWorker === "undefined") return false;
  let worker;
  try {
    worker = new SharedWorker(ours(), { type: "module", name: `goals of ${project}` });
  } catch {
    return false;
  }
  const { port } = worker;
  const calls = { live: on.live, lost: on.lost, silent: on.silent, "signed-out": on.signedOut, goals: ({ frame }) => on.frame(frame) };
  port.addEventListener("message", ({ data }) => calls[data.type]?.(data));
  port.start();
  const hello = () => port.postMessage("here");
  setInterval(hello, 10_000);
  addEventListener("pageshow", (event) => event.persisted && hello());
  addEventListener("pagehide", () => port.postMessage("bye"));
  let close = null;
  // A browser that knows no modules in workers says so only here.
  worker.addEventListener("error", () => (close ??= followAlone(on)));
  return true;
}

// The one script that may become a worker: the page's policy knows this name, and it makes this address only.
function ours() {
  if (!globalThis.trustedTypes) return WORKER;
  return trustedTypes.createPolicy("scorekeeper-stream", { createScriptURL: () => WORKER }).createScriptURL("");
}

// A stream of this page's own; it is given back while nobody sees the page.
function followAlone(on) {
  let close = openStream(on);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      close();
      show("paused", "paused");
    } else {
      close = openStream(on);
    }
  });
  return true;
}

function signedOut() {
  show("signed-out", "signed out");
  location.replace(`/sign-in?next=${encodeURIComponent(location.pathname)}`);
}

function show(name, text) {
  connection = name;
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
  attribute(document.body, "data-state", kind);
  banner.hidden = !text;
}

function message() {
  const behind = freshAsOf === null ? 0 : Date.now() - Date.parse(freshAsOf);
  if (connection === "silent") return ["disconnected", `The server has said nothing since ${time(heardAt || Date.now())}. Values may be old.`];
  if (connection === "reconnecting" && heardAt) return ["disconnected", `No connection since ${time(heardAt)}. Values may be old; reconnecting by itself.`];
  if (state.stale) return ["stale", `The counters do not answer. Values are as of ${time(freshAsOf ?? heardAt)}.`];
  if (state.rebuilding) return ["rebuilding", "The goals are being counted again from the log. Numbers appear when that is done."];
  if (connection === "live" && behind > LAGS_AFTER_MS) {
    return ["lagging", `Counting stands still: complete up to ${time(freshAsOf)}. Events wait in the log and nothing is lost; see Pipeline.`];
  }
  return ["", ""];
}
