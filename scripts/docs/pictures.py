"""The pictures of docs/pictures/: state graphs drawn from the tables of states.py, and one story drawn as lanes.

Only where a state stands is said here; that there is an edge, and on what evidence, the tables say. A state without a
place stops the drawing, and so does a bend for an edge that is gone.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from html import escape
from typing import Final

from vextrus_payments.records import OperationState, PaymentState
from vextrus_payments.states import OPERATION_EDGES, PAYMENT_EDGES

Point = tuple[float, float]

_STYLE: Final = """
  .paper { fill: #ffffff; stroke: #c9d1d9 }
  .node { fill: #eef2f7; stroke: #4b5563; stroke-width: 1.4 }
  .final { fill: #e3f3e8; stroke: #2f6b45 }
  .unsure { fill: #fdf1dc; stroke: #8a5a12 }
  .line { fill: none; stroke: #4b5563; stroke-width: 1.4 }
  .lost { stroke: #b3261e; stroke-dasharray: 5 4 }
  .tip { fill: #4b5563 }
  .dot { fill: #ffffff; stroke: #4b5563 }
  text { font: 14px system-ui, sans-serif; fill: #1f2937; text-anchor: middle; dominant-baseline: central }
  .small { font-size: 12px }
  .over { font-size: 12px; stroke: #ffffff; stroke-width: 5px; paint-order: stroke }
  .cross { fill: none; stroke: #b3261e; stroke-width: 2 }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #16191f; stroke: #3b424d }
    .node { fill: #262c36; stroke: #9aa5b4 }
    .final { fill: #1d3327; stroke: #7cc197 }
    .unsure { fill: #3a2e18; stroke: #dba94f }
    .line { stroke: #9aa5b4 }
    .lost, .cross { stroke: #ff8a80 }
    .over { stroke: #16191f }
    .tip { fill: #9aa5b4 }
    .dot { fill: #16191f; stroke: #9aa5b4 }
    text { fill: #e5e9f0 }
  }
"""
_WIDE: Final = 136.0
_HIGH: Final = 42.0

_P, _O = PaymentState, OperationState
_PAYMENT_PLACES: Final[Mapping[StrEnum, Point]] = {
    _P.CREATED: (95, 250),
    _P.AWAITING_PAYER: (345, 250),
    _P.AUTHORIZED: (600, 120),
    _P.PAID: (850, 250),
    _P.CLOSED: (600, 370),
    _P.LAPSED: (600, 480),
}
_PAYMENT_BENDS: Final[Mapping[tuple[StrEnum, StrEnum], float]] = {
    (_P.CREATED, _P.CLOSED): 90.0,
    (_P.CREATED, _P.PAID): -440.0,
    (_P.CREATED, _P.AUTHORIZED): -90.0,
    (_P.AWAITING_PAYER, _P.LAPSED): 70.0,
    (_P.LAPSED, _P.PAID): 60.0,
    (_P.AUTHORIZED, _P.CLOSED): 44.0,
    (_P.CLOSED, _P.AUTHORIZED): 44.0,
    (_P.LAPSED, _P.AUTHORIZED): -320.0,
}
_OPERATION_PLACES: Final[Mapping[StrEnum, Point]] = {
    _O.RESERVED: (95, 270),
    _O.SUBMITTING: (340, 270),
    _O.PENDING: (585, 150),
    _O.UNKNOWN: (585, 390),
    _O.SUCCEEDED: (820, 150),
    _O.DECLINED: (820, 390),
    _O.CANCELLED: (820, 500),
}
_OPERATION_BENDS: Final[Mapping[tuple[StrEnum, StrEnum], float]] = {
    (_O.RESERVED, _O.SUCCEEDED): -360.0,
    (_O.RESERVED, _O.SUBMITTING): -34.0,
    (_O.SUBMITTING, _O.RESERVED): -34.0,
    (_O.RESERVED, _O.UNKNOWN): 130.0,
    (_O.RESERVED, _O.CANCELLED): 140.0,
    (_O.UNKNOWN, _O.RESERVED): 230.0,
    (_O.SUBMITTING, _O.SUCCEEDED): -230.0,
    (_O.PENDING, _O.UNKNOWN): 34.0,
    (_O.UNKNOWN, _O.PENDING): 34.0,
    (_O.CANCELLED, _O.SUCCEEDED): 190.0,
}
#: Where on its curve an edge's number stands, if not in the middle: two of them would hide each other.
_SPOTS: Final[Mapping[tuple[StrEnum, StrEnum], float]] = {
    (_P.AWAITING_PAYER, _P.PAID): 0.75,
    (_P.LAPSED, _P.AUTHORIZED): 0.72,
    (_P.AWAITING_PAYER, _P.LAPSED): 0.7,
    (_P.CREATED, _P.CLOSED): 0.4,
    (_O.PENDING, _O.DECLINED): 0.25,
    (_O.UNKNOWN, _O.SUCCEEDED): 0.25,
    (_O.SUBMITTING, _O.DECLINED): 0.6,
    (_O.SUBMITTING, _O.SUCCEEDED): 0.35,
    (_O.UNKNOWN, _O.RESERVED): 0.75,
}


def pictures() -> dict[str, str]:
    """File name -> SVG of every picture."""
    return {
        "payment-states.svg": _graph(
            "The states of a payment",
            _PAYMENT_PLACES,
            tuple(PAYMENT_EDGES),
            _PAYMENT_BENDS,
            kinds={_P.PAID: "final", _P.LAPSED: "unsure"},
            size=(960, 540),
        ),
        "operation-states.svg": _graph(
            "The states of an operation",
            _OPERATION_PLACES,
            tuple(OPERATION_EDGES),
            _OPERATION_BENDS,
            kinds={_O.SUCCEEDED: "final", _O.UNKNOWN: "unsure"},
            size=(960, 560),
        ),
        "lost-answer.svg": _lanes("An execute whose answer gets lost", _LANES, _STEPS),
    }


# --- graphs ---------------------------------------------------------------------------------------------------------


def _graph(
    title: str,
    places: Mapping[StrEnum, Point],
    edges: Sequence[tuple[StrEnum, StrEnum]],
    bends: Mapping[tuple[StrEnum, StrEnum], float],
    *,
    kinds: Mapping[StrEnum, str],
    size: tuple[int, int],
) -> str:
    """States as boxes, edges as numbered curves; the numbers are the rows of the table below the picture."""
    gone = [edge for edge in bends if edge not in edges]
    if gone or set(places) != set(type(next(iter(places)))):
        raise SystemExit(f"pictures.py: {title}: a state has no place, or an edge is gone: {gone}")
    lines, dots = [], []
    for number, (before, after) in enumerate(edges, start=1):
        bend, spot = bends.get((before, after), 0.0), _SPOTS.get((before, after), 0.5)
        line, middle = _curve(places[before], places[after], bend, spot)
        lines.append(line)
        dots.append(_dot(middle, number))
    boxes = [_box(place, state.value, kinds.get(state, "")) for state, place in places.items()]
    return _svg(title, size, [*lines, *boxes, *dots])


def _curve(start: Point, end: Point, bend: float, spot: float) -> tuple[str, Point]:
    """A quadratic curve from box to box with its arrow head, and where its number stands."""
    (x0, y0), (x2, y2) = start, end
    away = ((x2 - x0) ** 2 + (y2 - y0) ** 2) ** 0.5
    x1 = (x0 + x2) / 2 - (y2 - y0) / away * bend
    y1 = (y0 + y2) / 2 + (x2 - x0) / away * bend

    def at(t: float) -> Point:
        u = 1 - t
        return u * u * x0 + 2 * u * t * x1 + t * t * x2, u * u * y0 + 2 * u * t * y1 + t * t * y2

    steps = [index / 400 for index in range(401)]
    first = next(t for t in steps if not _inside(at(t), start))
    last = next(t for t in reversed(steps) if not _inside(at(t), end))
    points = [at(first + (last - first) * index / 24) for index in range(25)]
    path = "M" + " L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return f'<path class="line" d="{path}"/>{_tip(points[-2], points[-1])}', at(first + (last - first) * spot)


def _inside(point: Point, center: Point) -> bool:
    return abs(point[0] - center[0]) <= _WIDE / 2 + 2 and abs(point[1] - center[1]) <= _HIGH / 2 + 2


def _tip(before: Point, point: Point) -> str:
    (x0, y0), (x, y) = before, point
    away = ((x - x0) ** 2 + (y - y0) ** 2) ** 0.5 or 1.0
    dx, dy = (x - x0) / away, (y - y0) / away
    left = (x - 9 * dx - 4.5 * dy, y - 9 * dy + 4.5 * dx)
    right = (x - 9 * dx + 4.5 * dy, y - 9 * dy - 4.5 * dx)
    corners = " ".join(f"{a:.1f},{b:.1f}" for a, b in ((x, y), left, right))
    return f'<polygon class="tip" points="{corners}"/>'


def _dot(point: Point, number: int) -> str:
    x, y = point
    return (
        f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="11"/>'
        f'<text class="small" x="{x:.1f}" y="{y:.1f}">{number}</text>'
    )


def _box(center: Point, words: str, kind: str = "", wide: float = _WIDE) -> str:
    x, y = center
    return (
        f'<rect class="node {kind}" x="{x - wide / 2:.0f}" y="{y - _HIGH / 2:.0f}" width="{wide:.0f}" '
        f'height="{_HIGH:.0f}" rx="7"/><text x="{x:.0f}" y="{y:.0f}">{escape(words)}</text>'
    )


def _svg(title: str, size: tuple[int, int], parts: Iterable[str]) -> str:
    wide, high = size
    inside = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" role="img" '
        f'aria-label="{escape(title)}">\n<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n'
        f'<rect class="paper" x="0.5" y="0.5" width="{wide - 1}" height="{high - 1}" rx="8"/>\n{inside}\n</svg>\n'
    )


# --- lanes ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Step:
    """One line of a story: from lane to lane, or a note at one lane (`to` is the same lane)."""

    at: int
    to: int
    words: str
    lost: bool = False


_LANES: Final = ("your code", "SDK", "store", "bKash")
_STEPS: Final = (
    _Step(0, 1, "execute(payment)"),
    _Step(1, 2, "claim: fence 1, send by 12:00:25"),
    _Step(1, 3, "execute, once"),
    _Step(3, 3, "takes 1,250.50"),
    _Step(3, 1, "the answer gets lost", lost=True),
    _Step(1, 2, "unknown; nothing is sent again"),
    _Step(1, 3, "query (a look-up changes nothing)"),
    _Step(3, 1, "Completed, trxID DKN..."),
    _Step(1, 2, "receipt, entry, event: one commit"),
    _Step(1, 0, "Paid"),
)
_LANE_WIDE: Final = 240
_STEP_HIGH: Final = 46


def _lanes(title: str, lanes: Sequence[str], steps: Sequence[_Step]) -> str:
    """A story from top to bottom, who does what to whom."""
    middles = [_LANE_WIDE / 2 + index * _LANE_WIDE for index in range(len(lanes))]
    high = 100 + _STEP_HIGH * len(steps)
    parts = []
    for middle, lane in zip(middles, lanes, strict=True):
        parts.append(f'<path class="line" d="M{middle:.0f} 64 V{high - 24}" opacity="0.45"/>')
        parts.append(_box((middle, 42), lane))
    for index, step in enumerate(steps):
        y = 110.0 + index * _STEP_HIGH
        x0, x1 = middles[step.at], middles[step.to]
        if step.at == step.to:
            parts.append(_box((x0, y - 4), step.words, "final", wide=170))
            continue
        parts.append(f'<path class="line{" lost" if step.lost else ""}" d="M{x0:.0f} {y:.0f} H{x1:.0f}"/>')
        if step.lost:
            x = (x0 + x1) / 2
            parts.append(f'<path class="cross" d="M{x - 7:.0f} {y - 7:.0f} l14 14 m0 -14 l-14 14"/>')
        else:
            parts.append(_tip((x0, y), (x1, y)))
        parts.append(
            f'<text class="over" x="{(x0 + x1) / 2:.0f}" y="{y - 13:.0f}">{escape(step.words)}</text>'
        )
    return _svg(title, (_LANE_WIDE * len(lanes), high), parts)
