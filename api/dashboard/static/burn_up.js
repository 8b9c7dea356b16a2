// What a goal's chart shows, from the goal as the API gives it. Pure functions; times are epoch milliseconds.
const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const MOST_POINTS = 1200;
const SURE = 1.645; // standard deviations of a normal distribution within which nine of ten values lie

// {start, end, asOf, points: [[at, value]], isOver}: the actual line, ending in exactly the goal's current value.
// `seen` are [at, value] that this page saw itself: finer than the hours of the history.
export function actual(goal, seen = [], now = Date.now()) {
  const start = Date.parse(goal.periodStartsAt ?? goal.startsAt);
  const end = Date.parse(goal.periodEndsAt ?? goal.endsAt);
  const fresh = goal.freshAsOf ? Date.parse(goal.freshAsOf) : start;
  const asOf = Math.min(end, Math.max(start, Math.min(fresh, now)));
  const watched = seen.filter(([at]) => at > start && at < asOf);
  const history = cumulative(goal, start, Math.min(asOf, watched[0]?.[0] ?? asOf));
  const points = thinned([...history, ...watched], MOST_POINTS);
  if (goal.current !== null && goal.current !== undefined) {
    if (points.at(-1)?.[0] === asOf) points.pop();
    points.push([asOf, goal.current]);
  }
  return { start, end, asOf, points, isOver: now > end };
}

// The value at the end of each hour of the history before `until`.
function cumulative(goal, start, until) {
  const isRate = goal.aggregation === "rate";
  let value = isRate ? 0 : (goal.startValue ?? 0);
  let of = 0;
  const points = isRate ? [] : [[start, value]];
  for (const hour of goal.history?.hourly ?? []) {
    const ends = Date.parse(hour.at) + HOUR;
    if (ends <= start) continue;
    if (ends > until) break;
    value += hour.value;
    of += hour.denominator ?? 0;
    if (!isRate) {
      // A quiet stretch is level, not a slope.
      if (points.at(-1)[0] < ends - HOUR) points.push([ends - HOUR, points.at(-1)[1]]);
      points.push([ends, value]);
    } else if (of > 0) points.push([ends, (100 * value) / of]);
  }
  return points.filter(([at], index) => index === 0 || at > points[index - 1][0]);
}

// Every k-th point and the last, when there are too many to be told apart.
export function thinned(points, most) {
  const every = Math.ceil(points.length / most);
  return every <= 1 ? points : points.filter((_, index) => index % every === 0 || index === points.length - 1);
}

// The straight line from start to target; a rate is expected at any time.
export function expectedAt(goal, start, end, at) {
  if (goal.aggregation === "rate") return goal.target;
  const from = goal.startValue ?? 0;
  return from + (goal.target - from) * Math.min(1, Math.max(0, (at - start) / (end - start)));
}

// {value, low, high} at the end, or null while it is too early or over. The range holds nine of ten outcomes when the
// time to come varies as the whole days (or hours) so far did; low and high are null when there are too few of them.
export function projection(goal, line) {
  if (goal.projected === null || goal.projected === undefined || line.asOf >= line.end) return null;
  const none = { value: goal.projected, low: null, high: null };
  if (goal.aggregation === "rate") return none;
  const gains = bucketGains(goal, line.start, line.asOf);
  if (!gains) return none;
  const mean = gains.values.reduce((sum, one) => sum + one, 0) / gains.values.length;
  const variance = gains.values.reduce((sum, one) => sum + (one - mean) ** 2, 0) / (gains.values.length - 1);
  const ahead = (line.end - line.asOf) / gains.length;
  const behind = (line.asOf - line.start) / gains.length;
  // What is to come varies, and so does the pace that it is measured by.
  const deviation = Math.sqrt(variance * ahead * (1 + ahead / behind));
  const low = goal.projected - SURE * deviation;
  const neverShrinks = goal.aggregation !== "sum" && low < goal.current;
  return { value: goal.projected, low: neverShrinks ? goal.current : low, high: goal.projected + SURE * deviation };
}

// Gains of the whole days between start and asOf, when there are at least seven; else of the whole hours.
function bucketGains(goal, start, asOf) {
  const length = asOf - start >= 7 * DAY ? DAY : HOUR;
  const first = Math.ceil(start / HOUR) * HOUR;
  const number = Math.floor((asOf - first) / length);
  if (number < 6) return null;
  const values = new Array(number).fill(0);
  for (const hour of goal.history?.hourly ?? []) {
    const index = Math.floor((Date.parse(hour.at) - first) / length);
    if (index >= 0 && index < number) values[index] += hour.value;
  }
  return { length, values };
}

// The value of the line at a moment: straight between its points, null outside of them.
export function valueAt(points, at) {
  if (!points.length || at < points[0][0] || at > points.at(-1)[0]) return null;
  const after = points.findIndex(([t]) => t >= at);
  const [t1, v1] = points[after];
  if (after === 0 || t1 === at) return v1;
  const [t0, v0] = points[after - 1];
  return v0 + ((v1 - v0) * (at - t0)) / (t1 - t0);
}

// Rows for the table, oldest first: {at, gained, actual, expected}, by day or, for a short time, by hour.
export function figures(goal, line) {
  const step = line.end - line.start > 3 * DAY ? DAY : HOUR;
  const rows = [];
  let before = goal.aggregation === "rate" ? null : (goal.startValue ?? 0);
  for (const at of boundaries(line.start, line.asOf, step)) {
    const value = valueAt(line.points, at);
    if (value === null) continue;
    rows.push({ at, gained: before === null ? null : value - before, actual: value, expected: expectedAt(goal, line.start, line.end, at) });
    before = goal.aggregation === "rate" ? null : value;
  }
  return rows;
}

// Local midnights (or whole hours) after `start`, then `until` itself.
function boundaries(start, until, step) {
  const found = [];
  const date = new Date(start);
  const next = (k) =>
    step === DAY
      ? new Date(date.getFullYear(), date.getMonth(), date.getDate() + k).getTime()
      : new Date(date.getFullYear(), date.getMonth(), date.getDate(), date.getHours() + k).getTime();
  for (let k = 1; next(k) < until; k += 1) found.push(next(k));
  return [...found, until];
}

// The range of values that the chart has to hold. A projection far beyond everything else is cut off.
export function valueRange(goal, line, projected) {
  const from = goal.aggregation === "rate" ? 0 : (goal.startValue ?? 0);
  const must = [from, goal.target, ...line.points.map(([, value]) => value)];
  const high = Math.max(...must);
  const low = Math.min(...must);
  const limit = high + (high - low);
  const wanted = projected ? [projected.value, projected.high ?? projected.value].map((value) => Math.min(value, limit)) : [];
  const least = projected ? [projected.value, projected.low ?? projected.value].map((value) => Math.max(value, low - (high - low) / 2)) : [];
  return [Math.min(low, ...least), Math.max(high, ...wanted)];
}
