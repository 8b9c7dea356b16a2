// Where messages went, as bands from left to right whose heights add up. The geometry is pure; `drawFlow` draws it.
import { attribute, element } from "./dom.js";

export const FATES = ["counted", "unmatched", "duplicate", "rejected"];
const HEIGHT = 220;
const GAP = 14;
const THINNEST = 3;

export const rejectedOf = (row) => Object.values(row.rejected ?? {}).reduce((sum, one) => sum + one, 0);
export const fatesOf = (row) => ({ ...Object.fromEntries(FATES.map((fate) => [fate, row[fate] ?? 0])), rejected: rejectedOf(row) });

export function total(rows) {
  const sum = { received: 0, counted: 0, unmatched: 0, duplicate: 0, rejected: {} };
  for (const row of rows) {
    for (const name of ["received", "counted", "unmatched", "duplicate"]) sum[name] += row[name] ?? 0;
    for (const [reason, number] of Object.entries(row.rejected ?? {})) sum.rejected[reason] = (sum.rejected[reason] ?? 0) + number;
  }
  return sum;
}

// Per fate its band: from y and height on the left to y and height on the right. Something is never drawn as nothing.
export function bands(fates) {
  const whole = FATES.reduce((sum, fate) => sum + fates[fate], 0);
  const room = HEIGHT - GAP * (FATES.length - 1);
  const wanted = FATES.map((fate) => (fates[fate] > 0 ? Math.max(THINNEST, (fates[fate] / whole) * room) : 0));
  const scale = room / Math.max(room, wanted.reduce((sum, one) => sum + one, 0));
  let left = (HEIGHT - wanted.reduce((sum, one) => sum + one * scale, 0)) / 2;
  let right = 0;
  return FATES.map((fate, index) => {
    const height = wanted[index] * scale;
    const band = { fate, left, right, height };
    left += height;
    right += height + GAP;
    return band;
  });
}

export function bandPath({ left, right, height }, from = 26, to = 534) {
  const middle = (from + to) / 2;
  const [a, b, c, d] = [left, right, right + height, left + height].map((y) => y.toFixed(1));
  return `M${from} ${a}C${middle} ${a} ${middle} ${b} ${to} ${b}V${c}C${middle} ${c} ${middle} ${d} ${from} ${d}Z`;
}

export function drawFlow(svg, fates) {
  const found = bands(fates);
  if (!svg.children.length) {
    svg.append(element("rect", { class: "source", x: 0, width: 20, rx: 3 }));
    for (const { fate } of found) {
      svg.append(element("path", { class: "band", "data-fate": fate }), element("rect", { class: "end", "data-fate": fate, x: 540, width: 20, rx: 3 }));
    }
  }
  const top = found[0].left;
  attribute(svg.children[0], "y", top.toFixed(1));
  attribute(svg.children[0], "height", Math.max(0, HEIGHT - 2 * top).toFixed(1));
  found.forEach((band, index) => {
    attribute(svg.children[1 + 2 * index], "d", band.height ? bandPath(band) : "");
    attribute(svg.children[2 + 2 * index], "y", band.right.toFixed(1));
    attribute(svg.children[2 + 2 * index], "height", band.height.toFixed(1));
  });
}
