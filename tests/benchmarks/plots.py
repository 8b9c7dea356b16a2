"""Plots as SVG, without a library: horizontal bars, and lines over a logarithmic axis. For light and dark pages."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

WIDTH, ROW, LEFT, RIGHT = 760, 26, 250, 110
HEIGHT, TOP, BOTTOM = 320, 40, 46
COLOURS = ("#3b82f6", "#f59e0b", "#10b981", "#ef4444", "#8b5cf6")
STYLE = "<style>text{font:13px sans-serif;fill:#888}.axis{stroke:#8888;stroke-width:1}</style>"


def bars(title: str, rows: Sequence[tuple[str, float]], strong: str = "") -> str:
    """One bar a row, as long as its value; `strong` names the row with another colour."""
    most = max(value for _, value in rows)
    parts = [_text(8, 22, title)]
    for number, (name, value) in enumerate(rows):
        y = TOP + number * ROW
        width = (WIDTH - LEFT - RIGHT) * value / most
        colour = COLOURS[1] if name == strong else COLOURS[0]
        parts.append(_text(LEFT - 8, y + 15, name, "end"))
        parts.append(f'<rect x="{LEFT}" y="{y + 3}" width="{width:.1f}" height="{ROW - 8}" fill="{colour}"/>')
        parts.append(_text(LEFT + width + 6, y + 15, f"{value:,.0f}"))
    return _svg(TOP + len(rows) * ROW + 10, parts)


def lines(title: str, across: str, series: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """One line a series; the horizontal axis is logarithmic, the vertical one begins at 0."""
    points = [point for own in series.values() for point in own]
    low, high = (math.log10(edge(x for x, _ in points)) for edge in (min, max))
    most = max(y for _, y in points) * 1.1 or 1.0

    def place(x: float, y: float) -> tuple[float, float]:
        share = (math.log10(x) - low) / (high - low or 1.0)
        return 60 + share * (WIDTH - 60 - 190), HEIGHT - BOTTOM - y / most * (HEIGHT - TOP - BOTTOM)

    left, bottom = place(10**low, 0)
    right, top = place(10**high, most)
    parts = [_text(8, 22, title), _text((left + right) / 2, HEIGHT - 8, across, "middle")]
    parts.append(f'<path class="axis" fill="none" d="M{left:.0f} {top:.0f}V{bottom:.0f}H{right:.0f}"/>')
    parts += [_text(left - 6, place(1, most * share)[1] + 4, f"{most * share:.3g}", "end") for share in (0, 0.5, 1)]
    parts += [_text(place(x, 0)[0], bottom + 18, f"{x:,.0f}", "middle") for x in sorted({x for x, _ in points})]
    for colour, (name, own) in zip(COLOURS, series.items(), strict=False):
        placed = [place(x, y) for x, y in own]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        parts.append(f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{path}"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in placed]
        parts.append(_text(placed[-1][0] + 10, placed[-1][1] + 4, name))
    return _svg(HEIGHT, parts)


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(height: float, parts: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" role="img">'
    return "\n".join([head, STYLE, *parts, "</svg>", ""])
