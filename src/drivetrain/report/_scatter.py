"""A chart of named points as inline SVG that follows the colours of the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from drivetrain.report._charts import decades, round_steps, value_steps
from drivetrain.report.tables import number

_WIDTH, _HEIGHT = 720, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 24, 22, 44
_LOG_FROM = 20.0  # largest over smallest
_CHARACTER, _LINE = 6.4, 14.0  # of the names, in pixels


def scatter_chart(points: Sequence[tuple[str, float, float, bool]], *, across: str, up: str) -> str:
    """Named points; the marked ones are joined by a line.

    Args:
        points: ``(name, x, y, marked)``, x above 0.
        across: name of the horizontal axis, which is logarithmic where the values differ by a factor of 20 or more.
        up: name of the vertical axis.

    Returns:
        A ``<figure>``.
    """
    xs, ys = [x for _, x, _, _ in points], [y for _, _, y, _ in points]
    logarithmic = max(xs) / min(xs) >= _LOG_FROM
    scale = math.log10 if logarithmic else float
    x_ticks = decades(min(xs), max(xs)) if logarithmic else round_steps(0.0, max(xs))
    y_ticks = value_steps(min(ys), max(ys))
    low, high = scale(min(x_ticks[0], *xs)), scale(max(x_ticks[-1], *xs))

    def place(x: float, y: float) -> tuple[float, float]:
        right = (scale(x) - low) / ((high - low) or 1.0)
        above = (y - y_ticks[0]) / ((y_ticks[-1] - y_ticks[0]) or 1.0)
        return _LEFT + right * (_WIDTH - _LEFT - _RIGHT), _HEIGHT - _BOTTOM - above * (_HEIGHT - _TOP - _BOTTOM)

    body = []
    for y in y_ticks:
        height = place(xs[0], y)[1]
        body.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{height:.1f}" y2="{height:.1f}"/>')
        body.append(f'<text x="{_LEFT - 6}" y="{height + 4:.1f}" text-anchor="end">{y:.4g}</text>')
    body += [
        f'<text x="{place(x, ys[0])[0]:.1f}" y="{_HEIGHT - 26}" text-anchor="middle">{x:.4g}</text>' for x in x_ticks
    ]
    body.append(f'<text x="{_WIDTH / 2}" y="{_HEIGHT - 6}" text-anchor="middle">{escape(across)}</text>')
    joined = sorted((x, y) for _, x, y, marked in points if marked)
    if len(joined) > 1:
        path = " ".join(f"{px:.1f},{py:.1f}" for px, py in (place(x, y) for x, y in joined))
        body.append(f'<g class="s0"><polyline points="{path}"/></g>')
    places = [(name, *place(x, y), f"{x:.4g}, {number(y)}", marked) for name, x, y, marked in points]
    body += [_dot(*item) for item in places]
    body += _names([(name, x, y) for name, x, y, _, _ in places])
    label = f"{escape(up)} by {escape(across)}"
    return (
        f'<figure class="chart"><figcaption>{escape(up)}</figcaption>'
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}">{"".join(body)}</svg></figure>'
    )


def _dot(name: str, x: float, y: float, said: str, marked: bool) -> str:
    return (
        f'<g class="{"s0" if marked else "s1"}"><circle cx="{x:.1f}" cy="{y:.1f}" r="5">'
        f"<title>{escape(name)}: {said}</title></circle></g>"
    )


def _names(points: Sequence[tuple[str, float, float]]) -> list[str]:
    """The names beside their dots, on the side where there is room; a name that would cover another moves down."""
    taken: list[tuple[float, float, float]] = []
    found = []
    for name, x, y in sorted(points, key=lambda point: (point[2], point[1])):
        width = _CHARACTER * len(name)
        leftwards = x + 10 + width > _WIDTH
        start = x - 8 - width if leftwards else x + 8
        line = y - 6
        while any(start < right and left < start + width and abs(line - other) < _LINE for left, right, other in taken):
            line += _LINE
        taken.append((start, start + width, line))
        place = (
            f'x="{x - 8 if leftwards else x + 8:.1f}" y="{line:.1f}" text-anchor="{"end" if leftwards else "start"}"'
        )
        found.append(f'<text class="name" {place}>{escape(name)}</text>')
    return found
