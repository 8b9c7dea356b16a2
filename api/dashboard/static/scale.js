// Axes and paths. Pure functions of numbers; times are epoch milliseconds, calendar steps are the reader's.
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const CLOCK_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720].map((minutes) => minutes * MINUTE);
const DAY_STEPS = [1, 2, 7, 14];
const MONTH_STEPS = [1, 2, 3, 6, 12, 24, 60, 120];

// A value of the domain -> a position in the range.
export const linear = ([d0, d1], [r0, r1]) => (value) => (d1 === d0 ? r0 : r0 + ((value - d0) / (d1 - d0)) * (r1 - r0));

// Round numbers that cover [low, high]: the first at or below low, the last at or above high.
export function numberTicks(low, high, most = 5) {
  if (!(high > low)) high = low + 1;
  const rough = (high - low) / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((times) => times * power).find((one) => one >= rough * 0.999999);
  const first = Math.floor(low / step + 1e-9);
  const last = Math.ceil(high / step - 1e-9);
  return Array.from({ length: last - first + 1 }, (_, index) => Number(((first + index) * step).toPrecision(12)));
}

// Local clock times, midnights or firsts of months within [start, end], at most `most`: {at, kind}, kind being
// "time", "day", "month" or "year".
export function timeTicks(start, end, most = 8) {
  const length = end - start;
  const clock = CLOCK_STEPS.find((step) => length / step <= most);
  if (clock !== undefined) return clockTicks(start, end, clock);
  const days = DAY_STEPS.find((step) => length / (step * DAY) <= most);
  if (days !== undefined) return dayTicks(start, end, days);
  const months = MONTH_STEPS.find((step) => length / (step * 30.44 * DAY) <= most) ?? 12 * manyYears(length / (365.25 * DAY) / most);
  return monthTicks(start, end, months);
}

// The least of 20, 50, 100, 200, 500 … that is not below `least`.
function manyYears(least) {
  const power = 10 ** Math.max(1, Math.floor(Math.log10(least)));
  return [1, 2, 5, 10].map((times) => times * power).find((one) => one >= least);
}

function clockTicks(start, end, step) {
  const found = [];
  // Counted from each local midnight, so that a change of the clock moves no tick off its hour.
  for (let midnight = localMidnight(start); midnight <= end; midnight = nextMidnight(midnight, 1)) {
    const next = nextMidnight(midnight, 1);
    for (let minute = 0; minute < 24 * 60; minute += step / MINUTE) {
      const date = new Date(midnight);
      date.setMinutes(minute);
      const at = date.getTime();
      if (at >= start && at <= end && at < next && at !== found.at(-1)?.at) found.push({ at, kind: minute === 0 ? "day" : "time" });
    }
  }
  return found;
}

function dayTicks(start, end, step) {
  const found = [];
  let at = localMidnight(start);
  // Weeks begin on Monday.
  if (step % 7 === 0) at = nextMidnight(at, -((new Date(at).getDay() + 6) % 7));
  for (; at <= end; at = nextMidnight(at, step)) if (at >= start) found.push({ at, kind: "day" });
  return found;
}

function monthTicks(start, end, step) {
  const found = [];
  const first = new Date(start);
  for (let month = 0; ; month += 1) {
    const date = new Date(first.getFullYear(), first.getMonth() + month, 1);
    if (date.getTime() > end) return found;
    const isTick = (date.getFullYear() * 12 + date.getMonth()) % step === 0;
    if (isTick && date.getTime() >= start) found.push({ at: date.getTime(), kind: date.getMonth() === 0 ? "year" : "month" });
  }
}

function localMidnight(at) {
  const date = new Date(at);
  return new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();
}

function nextMidnight(at, days) {
  const date = new Date(at);
  return new Date(date.getFullYear(), date.getMonth(), date.getDate() + days).getTime();
}

export const linePath = (points) => points.map(([x, y], index) => `${index ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");

export const areaPath = (points, base) =>
  points.length ? `${linePath(points)}L${points.at(-1)[0].toFixed(1)} ${base.toFixed(1)}L${points[0][0].toFixed(1)} ${base.toFixed(1)}Z` : "";

// Move labels apart: positions in, positions out, at least `gap` from each other and within [low, high], order kept.
export function spread(positions, gap, low, high) {
  const order = positions.map((at, index) => ({ at: Math.min(high, Math.max(low, at)), index })).sort((a, b) => a.at - b.at);
  for (let i = 1; i < order.length; i += 1) order[i].at = Math.max(order[i].at, order[i - 1].at + gap);
  for (let i = order.length - 1, most = high; i >= 0; i -= 1, most = order[i + 1].at - gap) order[i].at = Math.min(order[i].at, most);
  const placed = [];
  for (const { at, index } of order) placed[index] = at;
  return placed;
}
