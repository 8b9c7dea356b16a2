// Draws a goal's chart as SVG at the size that it has, labels at the lines; and reads values out by pointer and keys.
import { expectedAt, valueAt, valueRange } from "./burn_up.js";
import { attribute, element, set } from "./dom.js";
import { compact, exact, hourAndMinute, moment, reached, reachedAmount, short, shortDate, signed, targetAmount } from "./format.js";
import { areaPath, linePath, linear, numberTicks, spread, timeTicks } from "./scale.js";

const HEIGHT = 320;
const TOP = 22;
const BOTTOM = 28;
const GAP = 16;
const NARROW = 480; // then the labels stand above their lines
const STEPS = 100;
const year = new Intl.DateTimeFormat(undefined, { year: "numeric" });
const month = new Intl.DateTimeFormat(undefined, { month: "short" });

export class Chart {
  constructor(box, readout) {
    this.box = box;
    this.readout = readout;
    this.at = null;
    this.svg = element("svg", { "aria-hidden": "true" });
    box.append(this.svg);
    new ResizeObserver(() => this.shown && this.draw(...this.shown)).observe(box);
    box.addEventListener("pointermove", (event) => this.read(this.timeAt(event.offsetX)));
    box.addEventListener("pointerleave", () => this.read(null));
    box.addEventListener("blur", () => this.read(null));
    box.addEventListener("keydown", (event) => this.key(event));
  }

  // `goal`, its actual `line` and its `projected` end, as burn_up.js makes them.
  draw(goal, line, projected) {
    this.shown = [goal, line, projected];
    const width = this.box.clientWidth;
    if (!width) return;
    this.svg.replaceChildren();
    for (const [name, value] of Object.entries({ width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}` })) attribute(this.svg, name, value);
    const [low, high] = valueRange(goal, line, projected);
    const ticks = numberTicks(low, high, 4);
    const labels = endLabels(goal, line, projected);
    const left = 10 + this.widest(ticks.map(compact));
    this.isNarrow = width < NARROW;
    const right = this.isNarrow ? width - 6 : width - 12 - this.widest(labels.map((label) => label.text), "label");
    this.x = linear([line.start, line.end], [left, right]);
    this.y = linear([ticks[0], ticks.at(-1)], [HEIGHT - BOTTOM, TOP]);
    this.edges = [left, right];
    this.grid(ticks, left, right);
    this.times(line, left, right);
    this.lines(goal, line, projected);
    this.labels(labels, right);
    this.expectedLabel(goal, line, projected);
    this.rule = element("line", { class: "rule", y1: TOP, y2: HEIGHT - BOTTOM, visibility: "hidden" });
    this.dot = element("circle", { class: "read", r: 4.5, visibility: "hidden" });
    this.svg.append(this.rule, this.dot);
    const summary = `${reachedAmount(goal)} of ${targetAmount(goal)}`;
    attribute(this.box, "aria-valuemax", String(STEPS));
    if (this.at === null) attribute(this.box, "aria-valuetext", summary);
    this.read(this.at);
  }

  grid(ticks, left, right) {
    for (const tick of ticks) {
      const y = this.y(tick).toFixed(1);
      this.svg.append(element("line", { class: "grid", x1: left, x2: right, y1: y, y2: y }));
      this.svg.append(element("text", { x: left - 8, y, dy: "0.32em", "text-anchor": "end" }, compact(tick)));
    }
  }

  times(line, left, right) {
    const ticks = timeTicks(line.start, line.end, Math.floor((right - left) / (this.isNarrow ? 60 : 75)));
    for (const { at, kind } of ticks) {
      const x = this.x(at);
      const text = element("text", { x: x.toFixed(1), y: HEIGHT - 8, "text-anchor": "middle" }, timeLabel(at, kind));
      this.svg.append(element("line", { class: "tick", x1: x, x2: x, y1: HEIGHT - BOTTOM, y2: HEIGHT - BOTTOM + 5 }), text);
      const half = text.getComputedTextLength() / 2;
      attribute(text, "x", Math.min(this.box.clientWidth - half - 1, Math.max(half, x)).toFixed(1));
    }
  }

  lines(goal, line, projected) {
    const [, right] = this.edges;
    const top = this.y.bind(this);
    const place = ([at, value]) => [this.x(at), Math.max(TOP - 8, Math.min(HEIGHT - BOTTOM, top(value)))];
    const straight = (name, points) => this.svg.append(element("path", { class: name, d: linePath(points.map(place)) }));
    const actual = line.points.map(place);
    const now = [line.asOf, goal.current];
    this.svg.append(element("path", { class: "area", d: areaPath(actual, this.y.call(null, goal.aggregation === "rate" ? 0 : (goal.startValue ?? 0))) }));
    if (projected?.low !== null && projected) {
      const fan = [now, [line.end, projected.high], [line.end, projected.low]].map(place);
      this.svg.append(element("path", { class: "range", d: `${linePath(fan)}Z` }));
    }
    straight("target", [[line.start, goal.target], [line.end, goal.target]]);
    if (goal.aggregation !== "rate") straight("expected", [[line.start, goal.startValue ?? 0], [line.end, goal.target]]);
    if (!line.isOver) {
      const x = this.x(line.asOf);
      this.svg.append(element("line", { class: "now", x1: x, x2: x, y1: TOP - 6, y2: HEIGHT - BOTTOM }));
      const anchor = x > right - 20 ? "end" : x < this.edges[0] + 20 ? "start" : "middle";
      this.svg.append(element("text", { class: "label", x: x.toFixed(1), y: TOP - 10, "text-anchor": anchor }, "now"));
    }
    if (projected) straight("projected", [now, [line.end, projected.value]]);
    if (actual.length) {
      this.svg.append(element("path", { class: "actual", d: linePath(actual) }));
      this.svg.append(element("circle", { class: "actual", cx: actual.at(-1)[0], cy: actual.at(-1)[1], r: 4.5 }));
    }
  }

  expectedLabel(goal, line, projected) {
    if (goal.aggregation === "rate" || this.isNarrow) return;
    const isRising = goal.target >= (goal.startValue ?? 0);
    const isEarlier = line.asOf - line.start > (line.end - line.start) / 2;
    const at = line.start + (isEarlier ? 0.3 : 0.8) * (line.end - line.start);
    // On the side of the dotted line where the other one is not.
    const other = isEarlier || !projected ? valueAt(line.points, at) : projected.value;
    const isBelow = other !== null && other > (isEarlier || !projected ? expectedAt(goal, line.start, line.end, at) : goal.target) === isRising;
    const y = this.y(expectedAt(goal, line.start, line.end, at));
    const where = isBelow ? { x: this.x(at) + 8, y: y + 16, "text-anchor": isRising ? "start" : "end" } : { x: this.x(at) - 8, y: y - 6, "text-anchor": isRising ? "end" : "start" };
    this.svg.append(element("text", { class: "label", ...where }, "Expected"));
  }

  labels(labels, right) {
    const wanted = labels.map((label) => this.y(label.value) - (this.isNarrow ? 10 : 0));
    // Above their lines, labels make room upwards only.
    const places = this.isNarrow
      ? spread(wanted.map((y) => -y), GAP, BOTTOM - HEIGHT, -6).map((y) => -y)
      : spread(wanted, GAP, TOP, HEIGHT - BOTTOM - 6);
    const where = this.isNarrow ? { x: right, "text-anchor": "end" } : { x: right + 8 };
    labels.forEach((label, index) => {
      this.svg.append(element("text", { class: `label ${label.kind}`, ...where, y: places[index].toFixed(1), dy: "0.32em" }, label.text));
    });
  }

  widest(texts, name = "") {
    let most = 0;
    for (const text of texts) {
      const probe = element("text", { class: name }, text);
      this.svg.append(probe);
      most = Math.max(most, probe.getComputedTextLength());
      probe.remove();
    }
    return Math.ceil(most);
  }

  timeAt(offset) {
    const [left, right] = this.edges ?? [0, 1];
    const [, line] = this.shown ?? [];
    return line ? line.start + Math.min(1, Math.max(0, (offset - left) / (right - left))) * (line.end - line.start) : null;
  }

  key(event) {
    if (!this.shown) return;
    const [, line] = this.shown;
    const step = ((line.end - line.start) / STEPS) * (event.shiftKey ? 10 : 1);
    const here = this.at ?? line.asOf;
    const to = { ArrowLeft: here - step, ArrowDown: here - step, ArrowRight: here + step, ArrowUp: here + step, Home: line.start, End: line.end, PageUp: here + 10 * step, PageDown: here - 10 * step }[event.key];
    if (event.key === "Escape") this.read(null);
    if (to === undefined) return;
    event.preventDefault();
    this.read(Math.min(line.end, Math.max(line.start, to)));
  }

  // Show the values at a moment; null: those of now.
  read(at) {
    this.at = at;
    if (!this.shown || !this.x) return;
    const [goal, line, projected] = this.shown;
    const found = reading(goal, line, projected, at ?? line.asOf);
    set(this.readout, found.text);
    const isShown = at === null ? "hidden" : "visible";
    attribute(this.rule, "visibility", isShown);
    attribute(this.dot, "visibility", at !== null && found.value !== null ? "visible" : "hidden");
    if (at === null) return;
    attribute(this.rule, "x1", this.x(at));
    attribute(this.rule, "x2", this.x(at));
    attribute(this.dot, "cx", this.x(at));
    if (found.value !== null) attribute(this.dot, "cy", this.y(found.value));
    attribute(this.box, "aria-valuenow", String(Math.round(((at - line.start) / (line.end - line.start)) * STEPS)));
    attribute(this.box, "aria-valuetext", found.text);
  }
}

// What stands at the right end of the lines.
export function endLabels(goal, line, projected) {
  const labels = [{ kind: "target", value: goal.target, text: `Target ${short(goal, goal.target, (_, value) => exact(value))}` }];
  if (projected) labels.push({ kind: "projected", value: projected.value, text: `Projected ${short(goal, projected.value)}` });
  else if (line.isOver && goal.current !== null) labels.push({ kind: "actual", value: goal.current, text: `Actual ${short(goal, goal.current, reached)}` });
  return labels;
}

// The values at a moment in words: {text, value}.
export function reading(goal, line, projected, at) {
  const expected = expectedAt(goal, line.start, line.end, at);
  const when = moment(at);
  const wanted = goal.aggregation === "rate" ? `target ${targetAmount(goal)}` : `expected ${short(goal, expected)}`;
  const value = valueAt(line.points, at);
  if (value !== null) {
    const gap = value - expected;
    const size = short(goal, Math.abs(gap));
    const apart = size === short(goal, 0) ? "on pace" : `${size} ${gap < 0 ? "below" : "above"}`;
    return { text: `${when}: actual ${short(goal, value, reached)}, ${wanted}, ${apart}`, value };
  }
  if (at > line.asOf && projected) {
    const share = (at - line.asOf) / (line.end - line.asOf);
    const then = goal.current + (projected.value - goal.current) * share;
    return { text: `${when}: projected ${short(goal, then)}, ${wanted}, ${signed(then - expected, (gap) => short(goal, gap))}`, value: then };
  }
  return { text: `${when}: ${wanted}`, value: null };
}

function timeLabel(at, kind) {
  if (kind === "time") return hourAndMinute(at);
  if (kind === "day") return shortDate(at);
  return kind === "year" ? year.format(at) : month.format(at);
}
