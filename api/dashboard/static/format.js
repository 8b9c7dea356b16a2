// Numbers, times and statuses in words, in the reader's language and time zone. Pure functions.
export const STATUSES = ["behind", "at_risk", "on_track", "completed"];
const WORDS = { behind: "Behind", at_risk: "At risk", on_track: "On track", completed: "Completed" };
const SHAPES = { behind: "▼", at_risk: "▲", on_track: "●", completed: "✓" };
const DAY_MS = 86_400_000;
const NEAR_MS = 20 * DAY_MS;
const plain = new Intl.NumberFormat(undefined, { maximumFractionDigits: 2 });
const cents = new Intl.NumberFormat(undefined, { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const millionths = new Intl.NumberFormat(undefined, { minimumFractionDigits: 2, maximumFractionDigits: 6 });
const MOST_EXACT = 1e9; // above it a double does not hold six decimals
const brief = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });
const percents = new Intl.NumberFormat(undefined, { style: "percent", maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const minutes = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric" });
const briefDay = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const dayAndTime = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
const whole = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

const withMinus = (text) => text.replace("-", "−");
const isNone = (value) => value === null || value === undefined;

// A quotient or an estimate: whole, or with two decimals.
export const number = (value) => (isNone(value) ? "–" : withMinus((Number.isInteger(value) ? plain : cents).format(value)));
// What was counted or is wanted: whole, or to the last of the six decimals that sums have. The command line and alerts
// say it the same way (app/domain/figures.py).
export const exact = (value) => (isNone(value) || Number.isInteger(value) || Math.abs(value) > MOST_EXACT ? number(value) : withMinus(millionths.format(value)));
// A value of the goal: a rate is a quotient, all else is exact.
export const reached = (goal, value = goal.current) => (goal.aggregation === "rate" ? number : exact)(value);
export const tenths = (value) => (isNone(value) ? "–" : withMinus(plain.format(Math.round(value * 10) / 10)));
export const compact = (value) => (isNone(value) ? "–" : withMinus(Math.abs(value) < 10_000 ? plain.format(value) : brief.format(value)));
export const percent = (value) => (isNone(value) ? "–" : withMinus(percents.format(value)));
export const signed = (value, format = number) => (isNone(value) ? "–" : `${value > 0 ? "+" : ""}${format(value)}`);
// Somebody's text within a sentence of ours: it must not turn the direction of what stands around it.
const isolated = (text) => (/^[ -~]*$/.test(text) ? text : `\u2068${text.replace(/[\u202a-\u202e\u2066-\u2069]/g, "")}\u2069`);
const withUnit = (text, unit) => (unit ? `${text} ${isolated(unit)}` : text);
export const reachedAmount = (goal, value = goal.current) => (isNone(value) ? number(value) : withUnit(reached(goal, value), goal.unit));
export const targetAmount = (goal) => withUnit(exact(goal.target), goal.unit);
// A value that was computed for a goal: nobody makes half a conversion.
export const figure = (goal, value) => (isNone(value) ? "–" : number(["count", "unique"].includes(goal.aggregation) ? Math.round(value) : value));
export const short = (goal, value, written = figure) => (Math.abs(value) < 10_000 ? written(goal, value) : compact(value));
export const statusWord = (status) => WORDS[status] ?? "Waiting";
export const statusShape = (status) => SHAPES[status] ?? "◌";
export const time = (moment) => clock.format(new Date(moment));
export const hourAndMinute = (moment) => minutes.format(new Date(moment));
export const date = (moment) => day.format(new Date(moment));
export const shortDate = (moment) => briefDay.format(new Date(moment));
export const dateAndTime = (moment) => dayAndTime.format(new Date(moment));
export const fullTime = (moment) => whole.format(new Date(moment));

export function span(ms) {
  const minutesLong = Math.round(ms / 60_000);
  if (minutesLong < 60) return `${Math.max(1, minutesLong)} min`;
  const hours = Math.round(ms / 3_600_000);
  if (hours < 48) return `${hours} h`;
  const days = Math.round(ms / DAY_MS);
  return days < 2 * 365 ? `${days} days` : `${number(Math.round(days / 365.25))} years`;
}

export function ago(moment, now = Date.now()) {
  if (!moment) return "none yet";
  const seconds = Math.max(0, Math.round((now - Date.parse(moment)) / 1000));
  if (seconds < 5) return "just now";
  if (seconds < 60) return `${seconds} s ago`;
  return `${span(seconds * 1000)} ago`;
}

// A moment with as much of it as its distance asks for: only the time when it is today.
function isSameDay(at, other) {
  return new Date(at).toDateString() === new Date(other).toDateString();
}

export function moment(at, now = Date.now()) {
  const distance = Math.abs(new Date(at).getTime() - now);
  if (isSameDay(at, now)) return hourAndMinute(at);
  return distance < NEAR_MS ? dateAndTime(at) : date(at);
}

// When the goal, or its period, ends. From afar a deadline that is a date stays that date, also where the reader's
// clock shows the next day already when it is over.
export function ending(goal, now = Date.now()) {
  const ends = Date.parse(goal.periodEndsAt ?? goal.endsAt);
  const parts = /^(\d{4})-(\d\d)-(\d\d)$/.exec(goal.period ? "" : (goal.deadline ?? ""));
  if (!parts || Math.abs(ends - now) < NEAR_MS) return moment(ends, now);
  const [, year, month, dayOfMonth] = parts.map(Number);
  const noon = new Date(2000, month - 1, dayOfMonth, 12);
  noon.setFullYear(year, month - 1, dayOfMonth);
  return date(noon);
}

export function outlook(goal, now = Date.now()) {
  if (goal.problem) return "its definition cannot be read";
  if (goal.rebuilding) return "being counted again from the log";
  if (goal.backfilling) return `counting what came before, ${percent(goal.backfillProgress)} read`;
  if (isNone(goal.current)) return "waiting for the first event";
  const ends = Date.parse(goal.periodEndsAt ?? goal.endsAt);
  if (Date.parse(goal.startsAt) > now) return `starts ${moment(goal.startsAt, now)}`;
  const isOver = Date.parse(goal.endsAt) < now;
  if (isOver) return goal.status === "completed" ? `ended ${ending(goal, now)}` : `ended, missed by ${reachedAmount(goal, Math.abs(goal.target - goal.current))}`;
  if (goal.status === "completed" && goal.direction !== "at_most") return `reached; ends ${ending(goal, now)}`;
  if (goal.projectedAt && goal.direction !== "at_most") {
    const at = Date.parse(goal.projectedAt);
    const away = at <= ends ? `${span(ends - at)} early` : `${span(at - ends)} late`;
    const when = isSameDay(goal.projectedAt, now) ? "at" : "on";
    return `reaches ${targetAmount(goal)} ${when} ${moment(goal.projectedAt, now)}, ${away}`;
  }
  if (!isNone(goal.projected)) return `heads for ${withUnit(figure(goal, goal.projected), goal.unit)} by ${ending(goal, now)}`;
  if (!goal.lastConversionAt) return "waiting for the first event";
  return `until ${ending(goal, now)}`;
}

// 0..1 along the way from the baseline to the target, for the bar and its pace marker.
export function share(goal, value) {
  const start = goal.startValue ?? 0;
  const way = goal.target - start;
  if (isNone(value) || way === 0) return 0;
  return Math.min(1, Math.max(0, (value - start) / way));
}

// How far what was gained lies from what was to be gained by now: -0.2 is a fifth less. null while it is too early.
export function toPace(goal) {
  const start = goal.aggregation === "rate" ? 0 : (goal.startValue ?? 0);
  const wanted = (goal.expected ?? start) - start;
  const isEarly = share(goal, goal.expected) < 0.05;
  return isNone(goal.current) || wanted === 0 || isEarly ? null : (goal.current - start) / wanted - 1;
}

// Conversions per unit of time over the last hour, or since the goal began. `recent`: by hour, the last one going on.
export function rate(recent, startsAt, now = Date.now()) {
  if (!recent?.length) return "–";
  const gone = (now % 3_600_000) / 3_600_000;
  const hours = Math.min(1, Math.max(1 / 120, (now - Date.parse(startsAt ?? 0)) / 3_600_000));
  const hourly = (recent.at(-1) + (recent.at(-2) ?? 0) * (1 - gone)) / hours;
  if (hourly >= 7200) return `${tenths(hourly / 3600)} /s`;
  if (hourly >= 120) return `${tenths(hourly / 60)} /min`;
  return `${number(Math.round(hourly))} /h`;
}

export function sparkline(points, width = 100, height = 20) {
  const most = Math.max(1, ...points);
  const step = points.length > 1 ? width / (points.length - 1) : 0;
  return points
    .map((value, index) => `${index ? "L" : "M"}${(index * step).toFixed(1)} ${(height - 1 - (value / most) * (height - 2)).toFixed(1)}`)
    .join("");
}
