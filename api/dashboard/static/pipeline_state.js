// What the pipeline's figures mean: states as word and sign. Pure functions of a reading.
import { ago, number, tenths, time } from "./format.js";

const LATE_MS = 2_000;
const SILENT_MS = 5_000;
const LAGS_AFTER_MS = 10_000;

export function workerState(worker, now) {
  const silent = now - worker.at;
  const seconds = Math.round(silent / 1000);
  if (silent > SILENT_MS) return { kind: "bad", shape: "◍", text: `silent for ${duration(silent)}` };
  if (silent > LATE_MS) return { kind: "warn", shape: "◐", text: `late, ${seconds} s` };
  return { kind: "good", shape: "●", text: "alive" };
}

export const isHeard = (worker, now) => now - worker.at <= SILENT_MS;

export function partitionState(row, now) {
  if (row.freshAsOf === null) return { kind: "warn", shape: "◌", text: "not read yet" };
  const behind = now - Date.parse(row.freshAsOf);
  if (behind <= LAGS_AFTER_MS) return { kind: "good", shape: "●", text: "live" };
  if (row.silentSeconds === null || row.silentSeconds * 1000 > SILENT_MS) return { kind: "bad", shape: "◍", text: "nobody reads it" };
  return { kind: "warn", shape: "▲", text: "behind" };
}

export function generationState(row, now) {
  if (row.shown) return { kind: "good", shape: "●", text: "shown" };
  if (row.finished) return { kind: "", shape: "○", text: "kept; counts on when it is shown" };
  const isCounting = row.countedAt && now - Date.parse(row.countedAt) < 10_000;
  return isCounting ? { kind: "good", shape: "◐", text: "being counted" } : { kind: "warn", shape: "◍", text: "stopped; run rebuild again" };
}

export function duration(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7_200) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3_600)} h`;
  return `${Math.floor(seconds / 86_400)} days`;
}

// The few figures that say whether all is well: name, value, remark, kind. Where other projects share the pipeline, its
// figures are left out of the reading, and what is not told is not shown.
export function signs(found, now) {
  const heard = found.workers.filter((worker) => isHeard(worker, now));
  const silent = found.workers.length - heard.length;
  const rate = heard.reduce((sum, worker) => sum + (worker.rate ?? 0), 0);
  const isFresh = found.freshAsOf !== null && now - Date.parse(found.freshAsOf) <= LAGS_AFTER_MS;
  const lost = found.losses.reduce((sum, loss) => sum + loss.number, 0);
  const old = heard.filter((worker) => worker.revision < found.revision).length;
  const all = [
    { name: "Complete up to", value: found.freshAsOf ? time(found.freshAsOf) : "–", remark: found.freshAsOf ? ago(found.freshAsOf, now) : "nothing was read yet", kind: isFresh ? "good" : "bad" },
    { name: "Lag", value: number(found.lag), remark: found.logAnswers ? "messages to count" : "as last seen; Kafka does not answer", kind: isFresh && found.logAnswers ? "good" : "warn" },
    { name: "Workers", value: String(heard.length), remark: silent ? `${silent} silent` : "all heard", kind: heard.length === 0 ? "bad" : silent ? "warn" : "good" },
    { name: "Rate", value: tenths(rate), remark: "messages a second", kind: "" },
    { name: "Catalog", value: number(found.revision), remark: old ? `${old} workers still run an older one` : heard.length ? "in use everywhere" : "in use nowhere", kind: old ? "warn" : heard.length ? "good" : "warn" },
    { name: "Lost", value: number(lost), remark: lost ? "messages; goals are marked" : "nothing", kind: lost ? "bad" : "good" },
  ];
  if (found.whole) return all;
  return all.filter(({ name }) => name === "Complete up to" || name === "Workers");
}

// What has to be said above everything else: [kind, text].
export function alarm(found, now) {
  const heard = found.workers.filter((worker) => isHeard(worker, now));
  const policy = (found.evictionPolicies ?? []).find((one) => one !== "noeviction");
  if (policy) return ["stale", `Redis evicts keys when it is full (${policy}), and counts would be lost: set maxmemory-policy to noeviction.`];
  if (!heard.length) {
    const last = Math.max(0, ...found.workers.map((worker) => worker.at));
    const since = last ? `; the last one was heard at ${time(last)}` : "";
    return ["lagging", `No worker counts${since}. Events wait in the log and nothing is lost.`];
  }
  if (found.rebuilding) return ["rebuilding", "The goals are being counted again from the log. Their numbers appear when that is done."];
  if (!found.logAnswers) return ["lagging", "Kafka does not answer: ends and lags are as the workers last saw them."];
  return ["", ""];
}
