"""Line charts as inline SVG in the colours of the page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from drivetrain.report.tables import number
from drivetrain.types import EpochRecord

Series = Sequence[tuple[float, float]]

_WIDTH, _HEIGHT = 420, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 54, 12, 10, 28
_DOTS = 40  # with more points than this, dots would only thicken the line
_DECADES_FOR_LOG = 2


def charts_of(history: Sequence[EpochRecord]) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """The charts: title -> name of the line -> points; ``train/loss`` and ``val/loss`` share the chart ``loss``.

    Non-finite values are omitted; losses come first and learning rates last.
    """
    charts: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for record in history:
        for name, value in record.metrics.items():
            if not math.isfinite(value):
                continue
            part, _, rest = name.partition("/")
            title, line = (rest, part) if rest else (name, name)
            charts.setdefault(title, {}).setdefault(line, []).append((float(record.epoch), float(value)))
    return dict(sorted(charts.items(), key=lambda item: _rank(item[0])))


def line_chart(title: str, lines: Mapping[str, Series], *, by: str = "epoch") -> str:
    """One chart as ``<figure>``: axes with round numbers, a line per series, values on hover.

    The vertical axis is logarithmic if all values are positive and span more than two decades.
    """
    points = [point for series in lines.values() for point in series]
    xs, ys = [x for x, _ in points], [y for _, y in points]
    logarithmic = min(ys) > 0 and max(ys) / min(ys) > 10**_DECADES_FOR_LOG
    y_ticks = decades(min(ys), max(ys)) if logarithmic else round_steps(min(ys), max(ys))
    low_x, high_x = min(xs), max(max(xs), min(xs) + 1)
    height = math.log10 if logarithmic else float
    low, high = height(min(y_ticks[0], *ys)), height(max(y_ticks[-1], *ys))

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - low_x) / (high_x - low_x)
        up = (height(y) - low) / ((high - low) or 1.0)
        return _LEFT + across * (_WIDTH - _LEFT - _RIGHT), _HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM)

    body = [_y_axis(y, place(low_x, y)[1]) for y in y_ticks]
    body += [_x_axis(x, place(x, ys[0])[0]) for x in _whole_steps(low_x, high_x)]
    body += [
        _line(name, index, [(x, y, *place(x, y)) for x, y in series], by)
        for index, (name, series) in enumerate(lines.items())
    ]
    keys = "".join(
        f'<span class="key"><i class="s{index % 6}"></i>{escape(name)} <b>{number(series[-1][1])}</b></span>'
        for index, (name, series) in enumerate(lines.items())
    )
    scale = " (log)" if logarithmic else ""
    return (
        f'<figure class="chart"><figcaption>{escape(title)}{scale}{keys}</figcaption>'
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)} by {by}">{"".join(body)}</svg>'
        "</figure>"
    )


def _line(name: str, index: int, points: Sequence[tuple[float, float, float, float]], by: str) -> str:
    path = " ".join(f"{px:.1f},{py:.1f}" for _, _, px, py in points)
    dots = ""
    if len(points) <= _DOTS:
        dots = "".join(
            f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3"><title>{escape(name)}, {by} {x:g}: {number(y)}</title></circle>'
            for x, y, px, py in points
        )
    return f'<g class="s{index % 6}"><polyline points="{path}"/>{dots}</g>'


def _y_axis(value: float, y: float) -> str:
    return (
        f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.4g}</text>'
    )


def _x_axis(value: float, x: float) -> str:
    return f'<text x="{x:.1f}" y="{_HEIGHT - 9}" text-anchor="middle">{value:g}</text>'


def round_steps(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers from just below ``low`` to just above ``high``."""
    if high <= low:
        spread = abs(low) * 0.1 or 1.0
        low, high = low - spread, high + spread
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(n * step, 12) for n in range(first, last + 1)]


def decades(low: float, high: float) -> list[float]:
    """Powers of ten from just below ``low`` to just above ``high``, seven at the most."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    stride = max(1, -(-(last - first) // 6))
    return [10.0**power for power in range(first, last + 1, stride)]


def _whole_steps(low: float, high: float, most: int = 8) -> list[float]:
    span = high - low
    step = next(size for size in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000, 10**9) if span / size <= most)
    return [low + n * step for n in range(int(span // step) + 1)]


def _rank(title: str) -> tuple[int, str]:
    if "loss" in title:
        return (0 if title == "loss" else 1), title
    return (3 if title.startswith(("lr", "learning_rate")) else 2), title
