"""Line and bar charts as inline SVG in the colours of the page."""

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
_BARS = ("s2", "s3")


def charts_of(history: Sequence[EpochRecord]) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """The charts: title -> name of the line -> points; ``train/loss`` and ``val/loss`` share the chart ``loss``.

    Epochs count from 1, as on the console. Non-finite values are omitted, and so is what was measured only once, for
    which :func:`measured_once` has the value. Losses come first and learning rates last.
    """
    charts: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for record in history:
        for name, value in record.metrics.items():
            if not math.isfinite(value):
                continue
            part, _, rest = name.partition("/")
            title, line = (rest, part) if rest else (name, name)
            charts.setdefault(title, {}).setdefault(line, []).append((float(record.epoch + 1), float(value)))
    drawn = {
        title: {name: points for name, points in lines.items() if len(points) > 1} for title, lines in charts.items()
    }
    return dict(sorted(((title, lines) for title, lines in drawn.items() if lines), key=lambda item: _rank(item[0])))


def measured_once(history: Sequence[EpochRecord]) -> list[tuple[str, float]]:
    """The name and value of what was measured in one epoch only, of which there is no curve."""
    found: dict[str, list[float]] = {}
    for record in history:
        for name, value in record.metrics.items():
            if math.isfinite(value):
                found.setdefault(name, []).append(float(value))
    return [(name, values[0]) for name, values in found.items() if len(values) == 1]


def line_chart(title: str, lines: Mapping[str, Series], *, by: str = "epoch", marked: float | None = None) -> str:
    """One chart as ``<figure>``: axes with round numbers, a line per series, values on hover.

    The vertical axis is logarithmic if all values are positive and span more than two decades.

    Args:
        title: above the chart.
        lines: name -> points.
        by: the name of the horizontal axis, which counts in whole numbers unless all its values are in 0..1.
        marked: where a vertical line is drawn.
    """
    points = [point for series in lines.values() for point in series]
    xs, ys = [x for x, _ in points], [y for _, y in points]
    logarithmic = min(ys) > 0 and max(ys) / min(ys) > 10**_DECADES_FOR_LOG and not _are_shares(xs)
    shares = _are_shares(xs)
    low_x, high_x = (0.0, 1.0) if shares else (min(xs), max(max(xs), min(xs) + 1))
    height = math.log10 if logarithmic else float
    low_y = 0.0 if shares else min(ys)
    y_ticks = decades(low_y, max(ys)) if logarithmic else value_steps(low_y, max(ys))
    low, high = height(min(y_ticks[0], *ys)), height(max(y_ticks[-1], *ys))

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - low_x) / (high_x - low_x)
        up = (height(y) - low) / ((high - low) or 1.0)
        return _LEFT + across * (_WIDTH - _LEFT - _RIGHT), _HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM)

    body = [_y_axis(y, place(low_x, y)[1]) for y in y_ticks]
    x_ticks = round_steps(0.0, 1.0) if shares else _whole_steps(low_x, high_x)
    body += [_x_axis(x, place(x, ys[0])[0]) for x in x_ticks]
    if marked is not None:
        across = place(marked, ys[0])[0]
        body.append(f'<line class="mark" x1="{across:.1f}" x2="{across:.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}"/>')
    body += [
        _line(name, index, [(x, y, *place(x, y)) for x, y in series], by)
        for index, (name, series) in enumerate(lines.items())
    ]
    keys = "".join(
        f'<span class="key"><i class="s{index % 6}"></i>{escape(name)}{_last(series, shares)}</span>'
        for index, (name, series) in enumerate(lines.items())
    )
    scale = " (log)" if logarithmic else ""
    return _figure(f"{escape(title)}{scale}{keys}", f"{title} by {by}", body)


def _figure(caption: str, label: str, body: Sequence[str]) -> str:
    return (
        f'<figure class="chart"><figcaption>{caption}</figcaption>'
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(label)}">{"".join(body)}</svg></figure>'
    )


def _are_shares(values: Sequence[float]) -> bool:
    """Whether the horizontal axis has fractions, not epochs or trials."""
    return max(values) <= 1 and any(0 < value < 1 for value in values)


def _last(series: Series, shares: bool) -> str:
    """The last value of a line, where that says something."""
    return "" if shares else f" <b>{number(series[-1][1])}</b>"


def bar_chart(title: str, bars: Mapping[str, Sequence[float]], *, across: str, marked: float | None = None) -> str:
    """Counts over the interval 0..1 in bins of the same width, a colour per series, side by side.

    Args:
        title: above the chart.
        bars: name -> counts.
        across: name of the horizontal axis.
        marked: where a vertical line is drawn.
    """
    bins = max(len(counts) for counts in bars.values())
    most = max(1.0, *(float(value) for counts in bars.values() for value in counts))
    ticks = [tick for tick in round_steps(0.0, most) if tick == round(tick)]
    width, height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
    base, top = _HEIGHT - _BOTTOM, max(most, ticks[-1])
    body = [_y_axis(tick, base - tick / top * height) for tick in ticks]
    body += [_x_axis(tick, _LEFT + tick * width) for tick in round_steps(0.0, 1.0)]
    bar = width / bins / len(bars) * 0.9
    for index, (name, counts) in enumerate(bars.items()):
        drawn = "".join(
            f'<rect x="{_LEFT + place * width / bins + index * bar:.1f}" y="{base - value / top * height:.1f}" '
            f'width="{bar:.1f}" height="{value / top * height:.1f}"><title>{escape(name)}, {across} '
            f"{place / bins:g} to {(place + 1) / bins:g}: {value:g}</title></rect>"
            for place, value in enumerate(counts)
            if value
        )
        body.append(f'<g class="{_BARS[index % 2]}">{drawn}</g>')
    if marked is not None:
        x = _LEFT + marked * width
        body.append(f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{base}"/>')
    keys = "".join(
        f'<span class="key"><i class="{_BARS[index % 2]}"></i>{escape(name)}</span>' for index, name in enumerate(bars)
    )
    return _figure(f"{escape(title)}{keys}", f"{title} by {across}", body)


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


def value_steps(low: float, high: float) -> list[float]:
    """As :func:`round_steps`; of values in 0..1, which may be shares that cannot be higher, none beyond."""
    steps = round_steps(low, high)
    return [step for step in steps if 0 <= step <= 1] if 0 <= low <= high <= 1 else steps


def decades(low: float, high: float) -> list[float]:
    """Powers of ten from just below ``low`` to just above ``high``, seven at the most."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    stride = max(1, -(-(last - first) // 6))
    return [10.0**power for power in range(first, last + 1, stride)]


def _whole_steps(low: float, high: float, most: int = 8) -> list[float]:
    span = high - low
    step = next(size for size in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000, 10**9) if span / size <= most)
    first = math.ceil(low / step) * step
    return [
        low,
        *(first + n * step for n in range(int((high - first) // step) + 1) if first + n * step - low > step / 2),
    ]


def _rank(title: str) -> tuple[int, str]:
    if "loss" in title:
        return (0 if title == "loss" else 1), title
    return (3 if title.startswith(("lr", "learning_rate")) else 2), title
