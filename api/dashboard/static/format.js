// Numbers, times and statuses in words. Pure functions.
export const STATUSES = ["behind", "at_risk", "on_track", "completed"];
const WORDS = { behind: "Behind", at_risk: "At risk", on_track: "On track", completed: "Completed" };
const SHAPES = { behind: "▼", at_risk: "▲", on_track: "●", completed: "✓" };
const plain = new Intl.NumberFormat(undefined, { maximumFractionDigits: 2 });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric" });

export const number = (value) => (value === null || value === undefined ? "–" : plain.format(value).replace("-", "−"));
export const statusWord = (status) => WORDS[status] ?? "Waiting";
export const statusShape = (status) => SHAPES[status] ?? "◌";
export const time = (moment) => clock.format(new Date(moment));
export const date = (moment) => day.format(new Date(moment));

export function ago(moment, now = Date.now()) {
  if (!moment) return "none yet";
  const seconds = Math.max(0, Math.round((now - Date.parse(moment)) / 1000));
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} days ago`;
}

export function outlook(goal) {
  if (goal.rebuilding) return "being counted again from the log";
  if (goal.current === null) return "waiting for the first event";
  const over = Date.parse(goal.endsAt) < Date.now();
  const missing = goal.target - goal.current;
  if (over && goal.status !== "completed") return `ended, missed by ${number(missing)}`;
  if (goal.status === "completed") return `reached; ends ${date(goal.endsAt)}`;
  if (goal.projectedAt) return `reaches ${number(goal.target)} on ${date(goal.projectedAt)}`;
  if (goal.projected !== null && goal.projected !== undefined) return `heads for ${number(goal.projected)} by ${date(goal.endsAt)}`;
  return `until ${date(goal.endsAt)}`;
}

// 0..1 along the way from the baseline to the target, for the bar and its pace marker.
export function share(goal, value) {
  const start = goal.startValue ?? 0;
  const way = goal.target - start;
  if (value === null || value === undefined || way === 0) return 0;
  return Math.min(1, Math.max(0, (value - start) / way));
}

export function sparkline(points, width = 100, height = 20) {
  const most = Math.max(1, ...points);
  const step = points.length > 1 ? width / (points.length - 1) : 0;
  return points
    .map((value, index) => `${index ? "L" : "M"}${(index * step).toFixed(1)} ${(height - 1 - (value / most) * (height - 2)).toFixed(1)}`)
    .join("");
}

// Most in need first; among equals the one that ends first.
export function byNeed(a, b) {
  const rank = (goal) => (goal.status ? STATUSES.indexOf(goal.status) : STATUSES.length);
  return rank(a) - rank(b) || String(a.endsAt ?? "").localeCompare(String(b.endsAt ?? "")) || a.id.localeCompare(b.id);
}
