"""Floor 5: a roofline picture as SVG: operations per second over operations per byte, both on logarithmic axes.

Williams, Waterman and Patterson, "Roofline: an insightful visual performance model", CACM 52(4), 2009. Each name goes
to the first free place of a fixed list around its point; one that is not beside its point is tied to it by a line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

_WIDTH, _HEIGHT = 820, 520
_LEFT, _RIGHT, _TOP, _BOTTOM = 80, 30, 50, 60
_TEXT, _ROW, _GAP, _RADIUS = 7.2, 15, 10, 6  # width of a letter, height of a row, from point to name, of a point
_COLORS = ("#4269d0", "#ff725c", "#3ca951", "#a463f2", "#efb118", "#6cc5b0", "#9c6b4e", "#97bbf5")


@dataclass(frozen=True, slots=True)
class Point:
    """A kernel: `intensity` in operations a byte, `speed` in operations a second; `detail` is shown on hovering."""

    name: str
    intensity: float
    speed: float
    detail: str = ""


@dataclass(frozen=True, slots=True)
class _Box:
    """A rectangle that something is drawn in."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: _Box) -> bool:
        across = self.left < other.right and other.left < self.right
        return across and self.top < other.bottom and other.top < self.bottom

    def inside(self, other: _Box) -> bool:
        across = other.left <= self.left and self.right <= other.right
        return across and other.top <= self.top and self.bottom <= other.bottom


@dataclass(frozen=True, slots=True)
class _Axes:
    """Decades shown on each axis."""

    left: int
    right: int
    bottom: int
    top: int

    def x(self, value: float) -> float:
        return _LEFT + (log10(value) - self.left) / (self.right - self.left) * (_WIDTH - _LEFT - _RIGHT)

    def decades(self, x: float) -> float:
        """The logarithm of the value that is drawn at `x`."""
        return self.left + (x - _LEFT) / (_WIDTH - _LEFT - _RIGHT) * (self.right - self.left)

    def y(self, value: float) -> float:
        return _HEIGHT - _BOTTOM - (log10(value) - self.bottom) / (self.top - self.bottom) * (_HEIGHT - _TOP - _BOTTOM)


def roofline(points: Iterable[Point], peak: float, bandwidth: float, title: str) -> str:
    """The picture. `peak` in operations, `bandwidth` in bytes a second; points without operations are left out."""
    shown = [p for p in points if p.intensity > 0 and p.speed > 0]
    axes = _axes(shown, peak, bandwidth)
    parts = [*_frame(axes, title), *_roof(axes, peak, bandwidth)]
    if any(p.speed > min(peak, p.intensity * bandwidth) for p in shown):
        parts.append(_text(_LEFT, 44, "above the roof: data came from a cache", "start"))
    taken = [*_roof_boxes(axes, peak, bandwidth), *(_around(axes.x(p.intensity), axes.y(p.speed)) for p in shown)]
    for number, point in enumerate(shown):
        parts += _mark(axes, point, _COLORS[number % len(_COLORS)])
    for point in shown:
        box = _place(axes, point, taken)
        taken.append(box)
        parts += _name(axes, point, box)
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" font-size="12">\n'
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>\n{body}\n</svg>\n'
    )


def _axes(points: list[Point], peak: float, bandwidth: float) -> _Axes:
    """Whole decades around the roof's corner and all points."""
    corner = peak / bandwidth
    xs = [corner / 30, corner * 10, *(p.intensity for p in points)]
    ys = [peak / 300, peak * 1.5, *(p.speed for p in points)]
    return _Axes(floor(log10(min(xs))), ceil(log10(max(xs))), floor(log10(min(ys))), ceil(log10(max(ys))))


def _frame(axes: _Axes, title: str) -> Iterator[str]:
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    for decade in range(axes.left, axes.right + 1):
        x = axes.x(10.0**decade)
        yield _line(x, _TOP, x, bottom, "#ddd")
        yield _text(x, bottom + 18, f"{10.0**decade:g}", "middle")
    for decade in range(axes.bottom, axes.top + 1):
        y = axes.y(10.0**decade)
        yield _line(_LEFT, y, right, y, "#ddd")
        yield _text(_LEFT - 8, y + 4, f"{10.0 ** (decade - 9):g}", "end")
    yield _text(_LEFT, 28, title, "start", size=15)
    yield _text((_LEFT + right) / 2, _HEIGHT - 16, "operations a byte", "middle")
    middle = (_TOP + bottom) / 2
    yield (
        f'<text x="22" y="{middle:.1f}" text-anchor="middle" fill="#222" '
        f'transform="rotate(-90 22 {middle:.1f})">GFLOP/s</text>'
    )


def _roof(axes: _Axes, peak: float, bandwidth: float) -> Iterator[str]:
    """The slope of the memory up to the corner, and the level of the arithmetic."""
    corner = peak / bandwidth
    start = max(10.0**axes.left, 10.0**axes.bottom / bandwidth)
    yield _line(axes.x(start), axes.y(start * bandwidth), axes.x(corner), axes.y(peak), "#222", 2)
    yield _line(axes.x(corner), axes.y(peak), axes.x(10.0**axes.right), axes.y(peak), "#222", 2)
    yield _text(_WIDTH - _RIGHT, axes.y(peak) - 8, f"peak {peak / 1e9:.4g} GFLOP/s", "end")
    yield _text(axes.x(corner) - 10, axes.y(peak) - 8, f"memory {bandwidth / 1e9:.4g} GB/s", "end")


def _roof_boxes(axes: _Axes, peak: float, bandwidth: float) -> Iterator[_Box]:
    """What the roof and its two texts cover, the slope in small steps."""
    corner, level = axes.x(peak / bandwidth), axes.y(peak)
    yield _Box(corner - 160, level - 22, corner, level - 4)
    yield _Box(_WIDTH - _RIGHT - 160, level - 22, _WIDTH - _RIGHT, level - 4)
    yield _Box(corner, level - 2, _WIDTH - _RIGHT, level + 2)
    for step in range(_LEFT, int(corner), 4):
        y = axes.y(bandwidth * 10.0 ** axes.decades(step))
        if y <= _HEIGHT - _BOTTOM:
            yield _Box(step - 3, y - 3, step + 3, y + 3)


def _around(x: float, y: float) -> _Box:
    return _Box(x - _RADIUS, y - _RADIUS, x + _RADIUS, y + _RADIUS)


def _mark(axes: _Axes, point: Point, color: str) -> Iterator[str]:
    x, y = axes.x(point.intensity), axes.y(point.speed)
    hint = f"<title>{escape(point.detail or point.name)}</title>"
    yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{_RADIUS}" fill="{color}" stroke="white">{hint}</circle>'


def _place(axes: _Axes, point: Point, taken: Sequence[_Box]) -> _Box:
    """The first place for the name of a point, row by row away from it, that meets nothing; beside it if none."""
    places = list(_places(axes.x(point.intensity), axes.y(point.speed), len(point.name) * _TEXT))
    frame = _Box(_LEFT, _TOP, _WIDTH, _HEIGHT - _BOTTOM)
    free = (p for p in places if p.inside(frame) and not any(p.meets(t) for t in taken))
    return next(free, places[0] if places[0].right <= _WIDTH else places[1])


def _places(x: float, y: float, width: float) -> Iterator[_Box]:
    """To the right and to the left of a point, then a row up and down, and so on."""
    for row in (0, *(sign * n for n in range(1, _HEIGHT // _ROW) for sign in (-1, 1))):
        top = y - _ROW / 2 + row * _ROW
        yield _Box(x + _GAP, top, x + _GAP + width, top + _ROW)
        yield _Box(x - _GAP - width, top, x - _GAP, top + _ROW)


def _name(axes: _Axes, point: Point, box: _Box) -> Iterator[str]:
    x, y = axes.x(point.intensity), axes.y(point.speed)
    late, middle = box.right < x, (box.top + box.bottom) / 2
    if abs(middle - y) > 1:
        yield _line(x, y, box.right + 2 if late else box.left - 2, middle, "#888")
    yield _text(box.right if late else box.left, middle + 4, point.name, "end" if late else "start")


def _line(x1: float, y1: float, x2: float, y2: float, color: str, width: float = 1) -> str:
    return f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" stroke="{color}" stroke-width="{width}" fill="none"/>'


def _text(x: float, y: float, text: str, anchor: str, size: int = 12) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="#222">{escape(text)}</text>'
