// In which order goals stand, and in which groups. Pure functions.
import { STATUSES, share, toPace } from "./format.js";

const rank = (goal) => (goal.status ? STATUSES.indexOf(goal.status) : STATUSES.length);
const nameOf = (goal) => goal.description || goal.metric;
const names = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });
const isNone = (value) => value === null || value === undefined;

// Who has no value stands last, whatever the direction.
function byValue(value, direction = 1) {
  return (a, b) => {
    const [x, y] = [value(a), value(b)];
    if (isNone(x) || isNone(y)) return isNone(x) - isNone(y);
    return direction * (x - y);
  };
}

const moment = (text) => (text ? Date.parse(text) : null);

// Most in need first; among equals the one that ends first.
function byNeed(a, b) {
  return rank(a) - rank(b) || String(a.endsAt ?? "").localeCompare(String(b.endsAt ?? "")) || a.id.localeCompare(b.id);
}

// The choices, by their names in the page's address.
const ORDERS = {
  need: byNeed,
  name: (a, b) => names.compare(nameOf(a), nameOf(b)),
  pace: byValue(toPace),
  progress: byValue((goal) => (isNone(goal.current) ? null : share(goal, goal.current)), -1),
  ends: byValue((goal) => moment(goal.periodEndsAt ?? goal.endsAt)),
  last: byValue((goal) => moment(goal.lastConversionAt), -1),
};

export const isOrder = (name) => Object.hasOwn(ORDERS, name);

// [[status or null, goals in order], ...] when grouped, most in need first; else one group of all, of no status.
export function arrange(goals, order, isGrouped) {
  const sorted = [...goals].sort((a, b) => ORDERS[order](a, b) || byNeed(a, b));
  if (!isGrouped) return [[null, sorted]];
  return [...STATUSES, null].map((status) => [status, sorted.filter((goal) => (goal.status ?? null) === status)]);
}
