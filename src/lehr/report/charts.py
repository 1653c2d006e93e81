"""Charts as HTML figures: numbers in, SVG out, with the words that appear where a reader points."""

import html
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from lehr.report.scale import Scale

_WIDTH, _HEIGHT = 440.0, 280.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 66.0, 10.0, 10.0, 40.0
_MOST_POINTS = 300
_COLOURS = 8
_BINS = 40


class Series(NamedTuple):
    """A curve: `x`, `y` and, where it has one, the band or the intervals from `low` to `high`.

    `kind` is "line", "dashed", "points" (joined, with intervals) or "dots" (not joined).
    """

    name: str
    x: ArrayLike
    y: ArrayLike
    low: ArrayLike | None = None
    high: ArrayLike | None = None
    kind: str = "line"


def chart(
    title: str,
    series: Sequence[Series],
    *,
    x_label: str,
    y_label: str,
    log_x: bool = False,
    log_y: bool = False,
    note: str = "",
) -> str:
    """Curves over one axis; what is not finite, or not positive on a logarithmic axis, is left out.

    >>> "<svg" in chart("A", [Series("b", [1, 2], [3, 4])], x_label="x", y_label="y")
    True
    """
    drawn = [_finite(one, log_x, log_y) for one in series]
    x_scale = Scale.around(_all(drawn, "x"), log_x, _LEFT, _WIDTH - _RIGHT)
    y_scale = Scale.around([*_all(drawn, "y"), *_ends(drawn)], log_y, _HEIGHT - _BOTTOM, _TOP)
    parts, points = [_axes(x_scale, y_scale, x_label, y_label)], []
    for number, one in enumerate(drawn):
        parts.append(_curve(one, number % _COLOURS, x_scale, y_scale))
        points += [
            [_short(x_scale.place(x)), _short(y_scale.place(y)), f"{one.name}: {x_label} {x:.6g}, {y_label} {y:.6g}"]
            for x, y in zip(_thinned(one.x), _thinned(one.y), strict=True)
        ]
    return _figure(title, "".join(parts), points, legend=[one.name for one in series], note=note)


def histogram(title: str, values: ArrayLike, ends: tuple[float, float], *, x_label: str, note: str = "") -> str:
    """How many values lie where between the ends, on a logarithmic scale.

    >>> histogram("A", [1.0, 1.0, 2.0], (1.0, 3.0), x_label="x").count("2 from 1 to 1.05")
    1
    """
    counts, edges = np.histogram(np.asarray(values, np.float64).ravel(), bins=_BINS, range=ends)
    x_scale = Scale(float(edges[0]), float(edges[-1]), False, _LEFT, _WIDTH - _RIGHT)
    top = float(counts.max())
    y_scale = Scale(0.7, 1.6 * top, True, _HEIGHT - _BOTTOM, _TOP)
    boxes, points = [], []
    for count, low, high in zip(counts.tolist(), edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        if count:
            x, y = x_scale.place(low), y_scale.place(count)
            wide = x_scale.place(high) - x
            boxes.append(f"M{_short(x)} {_short(y_scale.start)}V{_short(y)}h{_short(wide)}V{_short(y_scale.start)}z")
            points.append([_short(x + wide / 2), _short(y), f"{count} from {low:.6g} to {high:.6g}"])
    body = _axes(x_scale, y_scale, x_label, "number") + f'<path class="bars" d="{"".join(boxes)}"/>'
    return _figure(title, body, points, note=note)


def cloud(
    title: str, x: ArrayLike, y: ArrayLike, shades: ArrayLike, sizes: ArrayLike, words: Sequence[str], *,
    x_label: str, y_label: str, note: str = "",
) -> str:  # fmt: skip
    """Points with a shade from 0 (low) to 1 and an area in proportion to `sizes`, each with its words.

    >>> cloud("A", [0, 1], [1, 0], [0, 1], [1, 4], ["p", "q"], x_label="x", y_label="y").count('class="h')
    2
    """
    places = np.asarray(x, np.float64), np.asarray(y, np.float64)
    x_scale = Scale.around(places[0], False, _LEFT, _WIDTH - _RIGHT)
    y_scale = Scale.around(places[1], False, _HEIGHT - _BOTTOM, _TOP)
    radii = 3 + 9 * np.sqrt(np.asarray(sizes, np.float64) / np.max(sizes))
    circles, points = [], []
    for a, b, shade, radius, word in zip(*places, np.asarray(shades, np.float64), radii, words, strict=True):
        at = _short(x_scale.place(a)), _short(y_scale.place(b))
        circles.append(f'<circle class="h{round(4 * shade)}" cx="{at[0]}" cy="{at[1]}" r="{_short(radius)}"/>')
        points.append([*at, word])
    return _figure(title, _axes(x_scale, y_scale, x_label, y_label) + "".join(circles), points, note=note)


def cells(title: str, layers: Sequence[np.ndarray], broken: Sequence[tuple[int, int, int, int]], note: str) -> str:
    """Spins (±1, 0 for no cell) on grids [columns, rows], x to the right and y up, and lines between cells.

    >>> picture = cells("A", [np.array([[1, -1], [-1, 0]])], [(1, 0, 1, 1)], "")
    >>> picture.count("h1v1h-1z")
    3
    """
    gap, left, paths = 1, 0, {1: [], -1: []}
    most_rows = max(layer.shape[1] for layer in layers)
    for layer in layers:
        for x, y in zip(*np.nonzero(layer), strict=True):
            paths[int(layer[x, y])].append(f"M{left + x} {most_rows - 1 - y}h1v1h-1z")
        left += layer.shape[0] + gap
    lines = "".join(f"M{x0:g} {most_rows - y0:g}L{x1:g} {most_rows - y1:g}" for x0, y0, x1, y1 in broken)
    names = {1: "up", -1: "down"}
    body = "".join(f'<path class="{names[spin]}" d="{"".join(parts)}"/>' for spin, parts in paths.items())
    svg = (
        f'<svg viewBox="-0.1 -0.1 {left - gap + 0.2} {most_rows + 0.2}" style="max-width: {3 * left}rem" '
        f'role="img" aria-label="{_text(title)}">'
        f'{body}<path class="broken" d="{lines}"/></svg>'
    )
    return (
        f'<figure class="cells"><figcaption>{_text(title)}</figcaption>{svg}<p class="note">{_text(note)}</p></figure>'
    )


def surface(title: str, values: np.ndarray, extent: tuple[float, float], note: str) -> str:
    """Values on a square grid as a surface that turns where it is dragged, or by arrow keys.

    >>> "<canvas" in surface("A", np.eye(3), (-1.0, 1.0), "")
    True
    """
    rows = [[float(f"{value:.6g}") if math.isfinite(value) else None for value in row] for row in values.tolist()]
    data = _json({"z": rows, "extent": extent})
    return (
        f'<figure class="surface" tabindex="0"><figcaption>{_text(title)}</figcaption><canvas></canvas>'
        f'<output>drag to turn</output><p class="note">{_text(note)}</p>'
        f'<script type="application/json">{data}</script></figure>'
    )


def _figure(title: str, body: str, points: list, *, legend: Sequence[str] = (), note: str = "") -> str:
    keys = "".join(f'<li class="k{number % _COLOURS}">{_text(name)}</li>' for number, name in enumerate(legend))
    return (
        f'<figure class="chart" tabindex="0"><figcaption>{_text(title)}</figcaption>'
        + (f"<ul>{keys}</ul>" if len(legend) > 1 else "")
        + f'<svg viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" role="img" aria-label="{_text(title)}">{body}'
        + '<circle class="mark" r="5" visibility="hidden"/></svg><output>&nbsp;</output>'
        + (f'<p class="note">{_text(note)}</p>' if note else "")
        + f'<script type="application/json">{_json(points)}</script></figure>'
    )


def _axes(x_scale: Scale, y_scale: Scale, x_label: str, y_label: str) -> str:
    bottom, left = y_scale.start, x_scale.start
    parts = []
    for value, name in x_scale.ticks():
        x = _short(x_scale.place(value))
        parts.append(f'<path class="grid" d="M{x} {bottom}V{y_scale.stop}"/>')
        parts.append(f'<text class="tick" text-anchor="middle" x="{x}" y="{bottom + 14}">{name}</text>')
    for value, name in y_scale.ticks():
        y = _short(y_scale.place(value))
        parts.append(f'<path class="grid" d="M{left} {y}H{x_scale.stop}"/>')
        parts.append(f'<text class="tick" text-anchor="end" x="{left - 5}" y="{y + 4}">{name}</text>')
    middle = (y_scale.start + y_scale.stop) / 2
    return (
        "".join(parts)
        + f'<text text-anchor="middle" x="{(left + x_scale.stop) / 2}" y="{_HEIGHT - 8}">{_text(x_label)}</text>'
        + f'<text text-anchor="middle" transform="translate(12 {middle}) rotate(-90)">{_text(y_label)}</text>'
    )


def _curve(one: Series, number: int, x_scale: Scale, y_scale: Scale) -> str:
    x, y = (
        [_short(scale.place(value)) for value in _thinned(values)]
        for scale, values in ((x_scale, one.x), (y_scale, one.y))
    )
    parts = []
    if one.low is not None and one.high is not None:
        low, high = ([_short(y_scale.place(v)) for v in _thinned(ends)] for ends in (one.low, one.high))
        if one.kind == "points":
            bars = "".join(f"M{a} {b}V{c}" for a, b, c in zip(x, low, high, strict=True))
            parts.append(f'<path class="bar s{number}" d="{bars}"/>')
        elif x:
            forth = " ".join(f"{a} {b}" for a, b in zip(x, low, strict=True))
            back = " ".join(f"{a} {b}" for a, b in zip(x[::-1], high[::-1], strict=True))
            parts.append(f'<path class="band f{number}" d="M{forth} L{back}z"/>')
    if one.kind != "dots" and x:
        line = " ".join(f"{a} {b}" for a, b in zip(x, y, strict=True))
        dashed = " dashed" if one.kind == "dashed" else ""
        parts.append(f'<path class="line s{number}{dashed}" d="M{line}"/>')
    if one.kind in ("points", "dots") or len(x) == 1:
        parts += [f'<circle class="f{number}" cx="{a}" cy="{b}" r="3.5"/>' for a, b in zip(x, y, strict=True)]
    return "".join(parts)


def _finite(one: Series, log_x: bool, log_y: bool) -> Series:
    """The points that can be drawn; ends of intervals that are not finite fall onto the point."""
    x, y = np.asarray(one.x, np.float64), np.asarray(one.y, np.float64)
    there = np.isfinite(x) & np.isfinite(y) & ((x > 0) | (not log_x)) & ((y > 0) | (not log_y))

    def kept(ends: ArrayLike | None) -> np.ndarray | None:
        if ends is None:
            return None
        values = np.asarray(ends, np.float64)
        return np.where(np.isfinite(values) & ((values > 0) | (not log_y)), values, y)[there]

    return one._replace(x=x[there], y=y[there], low=kept(one.low), high=kept(one.high))


def _all(series: Sequence[Series], name: str) -> list[float]:
    return [value for one in series for value in np.asarray(getattr(one, name)).tolist()]


def _ends(series: Sequence[Series]) -> list[float]:
    """Ends of intervals, as far as they do not dwarf the points."""
    values = np.array(_all(series, "y"))
    if not values.size:
        return []
    ends = [v for one in series for part in (one.low, one.high) if part is not None for v in np.asarray(part).tolist()]
    low, high = values.min(), values.max()
    if low > 0:
        return [min(max(end, low / 30), high * 30) for end in ends]
    span = (high - low) or 1.0
    return [min(max(end, low - span), high + span) for end in ends]


def _thinned(values: Any) -> list[float]:
    array = np.asarray(values)
    if len(array) <= _MOST_POINTS:
        return array.tolist()
    return array[np.linspace(0, len(array) - 1, _MOST_POINTS).round().astype(int)].tolist()


def _short(number: int | float) -> float:
    return round(float(number), 1)


def _json(content: Mapping[str, Any] | list) -> str:
    """JSON that cannot end the element it stands in."""
    return json.dumps(content, allow_nan=False, ensure_ascii=False).replace("<", "\\u003c")


def _text(words: str) -> str:
    return html.escape(words)
