// One goal as a row of the list. Made once and updated in place, so that focus stays and nothing flickers.
import { attribute, element, set } from "./dom.js";
import { ago, figure, fullTime, number, outlook, percent, rate, reached, reachedAmount, share, signed, sparkline, statusShape, statusWord, targetAmount, toPace } from "./format.js";

const WIDTH = 300;

export function makeRow(goal) {
  const name = element("a", { href: `/goals/${goal.id}`, dir: "auto" });
  const more = element("div", { class: "small" });
  const current = element("strong");
  const target = element("span", { class: "small" });
  const fill = element("rect", { class: "fill", y: 5, height: 10 });
  const pace = element("rect", { class: "pace", y: 0, height: 20, width: 5 });
  const track = element("rect", { class: "track", y: 5, height: 10, width: WIDTH });
  const bar = element("svg", { class: "bar", viewBox: `0 0 ${WIDTH} 20`, preserveAspectRatio: "none", role: "img" }, track, fill, pace);
  const status = element("span", { class: "status" });
  const gap = element("span");
  const line = element("path");
  const spark = element("svg", { class: "spark", viewBox: "0 0 100 20", preserveAspectRatio: "none", role: "img" }, line);
  const pulse = element("span");
  const last = element("time", { class: "small" });
  const row = element(
    "tr",
    { "data-id": goal.id },
    element("td", { class: "state" }, status),
    element("th", { class: "name", scope: "row" }, name, more),
    element("td", { class: "progress" }, bar),
    element("td", { class: "number", "data-label": "Current" }, element("span", {}, current, " ", target)),
    element("td", { class: "number", "data-label": "To pace" }, gap),
    element("td", { class: "trend" }, spark),
    element("td", { class: "number", "data-label": "Rate" }, pulse),
    element("td", { class: "number", "data-label": "Last conversion" }, last),
  );
  return { row, name, more, current, target, fill, pace, bar, status, gap, line, spark, pulse, last };
}

export function showRow(parts, goal) {
  const name = goal.description || goal.metric;
  set(parts.name, name);
  set(parts.more, outlook(goal));
  set(parts.current, reached(goal));
  set(parts.target, `of ${targetAmount(goal)}`);
  attribute(parts.fill, "width", (share(goal, goal.current) * WIDTH).toFixed(1));
  attribute(parts.pace, "x", Math.min(WIDTH - 5, Math.max(0, share(goal, goal.expected) * WIDTH - 2.5)).toFixed(1));
  attribute(parts.row, "data-status", goal.status ?? "");
  attribute(parts.bar, "aria-label", `${reachedAmount(goal)} of ${targetAmount(goal)}; expected by now ${figure(goal, goal.expected)}`);
  attribute(parts.status, "data-status", goal.status ?? "");
  set(parts.status, `${statusShape(goal.status)} ${statusWord(goal.status)}`);
  attribute(parts.status, "title", goal.statusSource === "manual" ? "set by hand" : "");
  parts.status.classList.toggle("manual", goal.statusSource === "manual");
  set(parts.gap, signed(toPace(goal), percent));
  attribute(parts.line, "d", sparkline(goal.recent ?? []));
  attribute(parts.spark, "aria-label", `${number((goal.recent ?? []).reduce((sum, one) => sum + one, 0))} conversions in the last 24 hours`);
  attribute(parts.last, "datetime", goal.lastConversionAt ?? "");
  attribute(parts.last, "title", goal.lastConversionAt ? fullTime(goal.lastConversionAt) : "");
  showTimes(parts, goal);
}

// What changes though no event comes.
export function showTimes(parts, goal) {
  set(parts.pulse, rate(goal.recent, goal.startsAt));
  set(parts.last, ago(goal.lastConversionAt));
}
