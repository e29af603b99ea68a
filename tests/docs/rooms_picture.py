"""Draw docs/rooms.svg: the rooms of the project in rows, each above those that it imports."""

import graphlib
import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from statistics import fmean

from tests.support import ROOT
from tests.unit import rooms

PICTURE = ROOT / "docs" / "rooms.svg"

LETTER, PADDING, HEIGHT = 7.4, 12, 28
ROW, BETWEEN, LINE_WIDTH, MARGIN = 62, 16, 14, 24
SWEEPS = 24

_STYLE = """
.ground { fill: #ffffff }
.room rect { fill: #f8fafc; stroke: #94a3b8 }
.app rect { fill: #f0fdfa; stroke: #0d9488 }
.line { fill: none; stroke: #94a3b8; stroke-width: 1.3 }
text { font: 12px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  fill: #0f172a; text-anchor: middle }
.note { text-anchor: start }
@media (prefers-color-scheme: dark) {
.ground { fill: #0d1117 }
.room rect { fill: #161b22; stroke: #64748b }
.app rect { fill: #0b1f1e; stroke: #2dd4bf }
.line { stroke: #64748b }
text { fill: #e6edf3 }
}
"""


@dataclass(frozen=True)
class Place:
    """A room in its row, or the place at which a line passes a row."""

    row: int
    room: str
    to: str = ""
    """The room to which the line leads; empty for a room itself."""

    @property
    def width(self) -> float:
        return LINE_WIDTH if self.to else len(self.room) * LETTER + 2 * PADDING


def picture() -> str:
    """Return the picture as SVG."""
    rows, lines = _rows(rooms.direct_imports())
    _sort(rows, lines)
    middles = _middles(rows, lines)
    places = [place for row in rows for place in row]
    left = min(middles[place] - place.width / 2 for place in places) - MARGIN
    right = max(middles[place] + place.width / 2 for place in places) + MARGIN
    at = {place: (middles[place] - left, MARGIN + ROW * place.row) for place in places}
    width, height = round(right - left), 2 * MARGIN + ROW * (len(rows) - 1) + 2 * HEIGHT
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
        f' width="{width}" height="{height}" role="img" aria-labelledby="title">',
        '<title id="title">The rooms of the project; lines lead down to those that each imports'
        "</title>",
        f"<style>{_STYLE}</style>",
        f'<rect class="ground" width="{width}" height="{height}"/>',
        *(_line(at[upper], at[lower], bool(lower.to)) for upper, lower in lines),
        *(_box(place, *at[place]) for place in places if not place.to),
        f'<g class="app"><rect x="{MARGIN}" y="{height - 36}" width="22" height="14" rx="4"/></g>',
        f'<text class="note" x="{MARGIN + 32}" y="{height - 25}">'
        "the partner-management app; the others work for any project</text>",
        "</svg>",
    ]
    return "\n".join(drawn) + "\n"


def _rows(imports: Mapping[str, set[str]]) -> tuple[list[list[Place]], list[tuple[Place, Place]]]:
    """Return the rows, and the lines between places in neighbouring rows."""
    row_of: dict[str, int] = {}
    for room in _importers_first(imports):
        above = (row_of[other] for other in row_of if room in imports[other])
        row_of[room] = 1 + max(above, default=-1)
    rows: list[list[Place]] = [[] for _ in range(max(row_of.values()) + 1)]
    lines = []
    for room, others in imports.items():
        rows[row_of[room]].append(Place(row_of[room], room))
        for other in sorted(others):
            between = range(row_of[room] + 1, row_of[other])
            passed = [Place(row, room, other) for row in between]
            for place in passed:
                rows[place.row].append(place)
            way = [Place(row_of[room], room), *passed, Place(row_of[other], other)]
            lines += list(itertools.pairwise(way))
    return rows, lines


def _importers_first(imports: Mapping[str, set[str]]) -> list[str]:
    importers = graphlib.TopologicalSorter[str]()
    for room, others in imports.items():
        importers.add(room)
        for other in sorted(others):
            importers.add(other, room)
    return list(importers.static_order())


def _sort(rows: list[list[Place]], lines: Sequence[tuple[Place, Place]]) -> None:
    """Order each row by the neighbours of its places, down and up, and keep what crosses least."""
    neighbours = _neighbours(lines)
    best, fewest = [list(row) for row in rows], _crossings(rows, lines)
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        for row in rows if down else reversed(rows):
            order = {place: n / len(each) for each in rows for n, place in enumerate(each)}
            near = {
                place: [order[each] for each in neighbours[place] if (each.row < place.row) == down]
                for place in row
            }
            row.sort(key={p: fmean(near[p] or [order[p]]) for p in row}.__getitem__)
        if (crossings := _crossings(rows, lines)) < fewest:
            best, fewest = [list(row) for row in rows], crossings
    rows[:] = best


def _neighbours(lines: Iterable[tuple[Place, Place]]) -> Mapping[Place, list[Place]]:
    found: dict[Place, list[Place]] = defaultdict(list)
    for upper, lower in lines:
        found[upper].append(lower)
        found[lower].append(upper)
    return found


def _crossings(rows: Sequence[Sequence[Place]], lines: Sequence[tuple[Place, Place]]) -> int:
    order = {place: n for row in rows for n, place in enumerate(row)}
    of_row: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for upper, lower in lines:
        of_row[upper.row].append((order[upper], order[lower]))
    return sum(
        (a - c) * (b - d) < 0
        for ends in of_row.values()
        for (a, b), (c, d) in itertools.combinations(ends, 2)
    )


def _middles(
    rows: Sequence[Sequence[Place]], lines: Sequence[tuple[Place, Place]]
) -> dict[Place, float]:
    """Return where each place is from left to right: near its neighbours, in order, apart."""
    neighbours = _neighbours(lines)
    at: dict[Place, float] = {}
    for row in rows:
        at |= _apart(row, dict.fromkeys(row, 0.0))
    for sweep in range(2 * SWEEPS):
        for row in rows if sweep % 2 == 0 else reversed(rows):
            wished = {
                place: sum(at[each] for each in neighbours[place]) / len(neighbours[place])
                for place in row
            }
            at |= _apart(row, wished)
    return at


def _apart(row: Sequence[Place], wished: Mapping[Place, float]) -> dict[Place, float]:
    """Return places as near to the wished ones as the order and the widths allow.

    Places that would touch become one block, which is in the middle of what its places wish.
    """
    offsets = {}
    end = 0.0
    for place in row:
        offsets[place] = end + place.width / 2
        end += place.width + BETWEEN
    blocks: list[list[float]] = []
    for place in row:
        blocks.append([wished[place] - offsets[place]])
        while len(blocks) > 1 and fmean(blocks[-2]) > fmean(blocks[-1]):
            last = blocks.pop()
            blocks[-1] += last
    starts = (fmean(block) for block in blocks for _ in block)
    return {place: start + offsets[place] for place, start in zip(row, starts, strict=True)}


def _line(upper: tuple[float, float], lower: tuple[float, float], goes_on: bool) -> str:
    """Draw a curve from the bottom of a place to the top of the next, or past it."""
    x, y = upper
    to_x, to_y = lower
    y, bend = y + HEIGHT, (ROW - HEIGHT) / 2
    curve = f"C{x:.1f} {y + bend:.1f} {to_x:.1f} {to_y - bend:.1f} {to_x:.1f} {to_y:.1f}"
    past = f"v{HEIGHT}" if goes_on else ""
    return f'<path class="line" d="M{x:.1f} {y:.1f}{curve}{past}"/>'


def _box(place: Place, x: float, y: float) -> str:
    kind = "app" if place.room in rooms.APP else "room"
    return (
        f'<g class="{kind}"><rect x="{x - place.width / 2:.1f}" y="{y:.1f}"'
        f' width="{place.width:.1f}" height="{HEIGHT}" rx="6"/>'
        f'<text x="{x:.1f}" y="{y + 18:.1f}">{escape(place.room.replace(".", "/"))}</text></g>'
    )
