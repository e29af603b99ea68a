"""The diagram as SVG: no browser, no Graphviz, no font but the reader's own."""

from collections.abc import Callable, Collection, Iterator, Sequence
from html import escape

from partman.diagram.entities import DiagramColumn, Entity, Relation
from partman.diagram.layout import (
    FOOTER_ROW,
    HEADER,
    MARK,
    PADDING,
    ROW,
    Box,
    Frame,
    Layout,
    lay_out,
)

_STYLE = """
.ground { fill: #ffffff }
.box { fill: #ffffff; stroke: #cbd5e1 }
.head { fill: #334155 }
.isolated .head { fill: #0f766e }
.frame { fill: #f0fdfa; stroke: #0d9488; stroke-dasharray: 6 4 }
.tenant { fill: #ccfbf1 }
.line { stroke: #e2e8f0 }
.edge { fill: none; stroke: #64748b; stroke-width: 1.5 }
.dot { fill: #ffffff; stroke: #64748b; stroke-width: 1.5 }
.pill { fill: #e2e8f0 }
.pk .pill { fill: #fde68a }
.name, .type, .mark, .foot, .note { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas,
  "DejaVu Sans Mono", monospace }
.name { font-size: 12px; fill: #0f172a }
.type { font-size: 12px; fill: #64748b; text-anchor: end }
.mark { font-size: 9px; fill: #334155; text-anchor: middle; font-weight: 600 }
.foot { font-size: 10.5px; fill: #64748b; white-space: pre }
.note { font-size: 11px; fill: #64748b }
.title { font-family: ui-sans-serif, system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
  font-size: 14px; font-weight: 600; fill: #ffffff }
.caption { font-family: ui-sans-serif, system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
  font-size: 13px; font-weight: 600; fill: #0f766e }
"""

_DARK = """
.ground { fill: #0d1117 }
.box { fill: #161b22; stroke: #30363d }
.head { fill: #475569 }
.frame { fill: #0b1f1e; stroke: #2dd4bf }
.tenant { fill: #134e4a }
.line { stroke: #30363d }
.edge { stroke: #94a3b8 }
.dot { fill: #0d1117; stroke: #94a3b8 }
.pill { fill: #334155 }
.pk .pill { fill: #854d0e }
.name { fill: #e6edf3 }
.type, .foot, .note { fill: #9aa7b5 }
.mark { fill: #e6edf3 }
.caption { fill: #5eead4 }
"""

STYLE = f"{_STYLE}@media (prefers-color-scheme: dark) {{{_DARK}}}"
"""The style of the picture, for light and dark."""

_FOOT = 12
"""How long a crow's foot is."""


def svg(found: Sequence[Entity]) -> str:
    """Return a picture of all tables that is legible on a light and on a dark page."""
    layout = lay_out(found)
    width, height = _rounded(layout)
    names = ", ".join(box.entity.name for box in layout.boxes)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
        f' width="{width}" height="{height}" role="img" aria-labelledby="title description">',
        '<title id="title">The tables of the database and their references</title>',
        f'<desc id="description">{escape(names)}</desc>',
        f"<style>{STYLE}</style>",
        *_content(layout, lambda name: f'id="{name}"', ()),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def inline_svg(found: Sequence[Entity], wanted: Collection[str] = ()) -> str:
    """Return the picture for a page that has STYLE, and that tells the same in words.

    Tables and references say in ``data-`` attributes what they are. The class ``found`` marks the
    ``wanted`` tables and their references, and ``searching`` the picture if there are any.
    """
    layout = lay_out(found)
    width, height = _rounded(layout)
    searching = ' class="searching"' if wanted else ""
    return "\n".join(
        (
            f'<svg id="picture" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
            f' role="img" aria-label="The tables and their references"{searching}>',
            *_content(layout, lambda name: f'data-table="{name}"', wanted),
            "</svg>",
        )
    )


def _rounded(layout: Layout) -> tuple[int, int]:
    return round(layout.width), round(layout.height)


def _content(
    layout: Layout, naming: Callable[[str], str], wanted: Collection[str]
) -> Iterator[str]:
    """Yield what is in the picture; ``naming`` makes the attribute that names a table."""
    width, height = _rounded(layout)
    yield f'<rect class="ground" width="{width}" height="{height}"/>'
    if layout.frame:
        yield from _frame(layout.frame, layout)
    yield from _edges(layout, wanted)
    for box in layout.boxes:
        yield from _table(box, naming(escape(box.entity.name)), box.entity.name in wanted)
    yield from _legend(layout)


def _table(box: Box, name: str, is_wanted: bool) -> Iterator[str]:
    entity = box.entity
    kind = "isolated" if entity.is_isolated else "open"
    x, y, width = box.x, box.y, box.width
    yield f'<g class="{kind}{" found" if is_wanted else ""}" {name}>'
    yield f'<rect class="box" {_at(x, y)} {_size(width, box.height)} rx="6"/>'
    yield (
        f'<path class="head" d="M{_n(x)} {_n(y + HEADER)}v{-HEADER + 6}q0 -6 6 -6h{_n(width - 12)}'
        f'q6 0 6 6v{HEADER - 6}z"/>'
    )
    yield _text("title", x + PADDING, y + 21, entity.name)
    for column in entity.columns:
        yield from _column(box, column)
    if box.footer:
        top = box.footer_top
        yield f'<path class="line" d="M{_n(x)} {_n(top - 3)}h{_n(width)}"/>'
        for number, line in enumerate(box.footer):
            yield _text("foot", x + PADDING, top + 12 + FOOTER_ROW * number, line)
    yield "</g>"


def _column(box: Box, column: DiagramColumn) -> Iterator[str]:
    middle = box.row(column.name)
    if column.is_tenant:
        yield (
            f'<rect class="tenant" {_at(box.x + 1, middle - ROW / 2)} {_size(box.width - 2, ROW)}/>'
        )
    for number, mark in enumerate(column.marks):
        yield from _pill(box.x + 8 + MARK * number, middle, mark)
    yield _text("name", box.x + box.gutter, middle + 4, column.name)
    type_ = f"{column.type}{'?' if column.nullable else ' '}"
    yield _text("type", box.x + box.width - PADDING + 6, middle + 4, type_)


def _pill(x: float, middle: float, mark: str) -> Iterator[str]:
    yield f'<g class="{mark.lower()}">'
    yield f'<rect class="pill" {_at(x, middle - 7)} {_size(22, 14)} rx="4"/>'
    yield f"{_text('mark', x + 11, middle + 3.2, mark)}</g>"


def _frame(frame: Frame, layout: Layout) -> Iterator[str]:
    yield (
        f'<rect class="frame" {_at(frame.x, frame.y)} {_size(frame.width, frame.height)} rx="10"/>'
    )
    columns = ", ".join(frame.relation.columns)
    deleted = f", on delete {frame.relation.on_delete}" if frame.relation.on_delete else ""
    caption = f"Each row belongs to one row of {frame.tenants}: by {columns}{deleted}"
    yield _text("caption", frame.x + 18, frame.y + 28, caption)
    if tenants := layout.box(frame.tenants):
        y = tenants.row(frame.relation.referenced[-1])
        start, end = frame.x, tenants.x + tenants.width
        yield f'<path class="edge" d="M{_n(start)} {_n(y)}H{_n(end)}"/>'
        yield from _many(start, y, -1)
        yield from _one(end, y, 1, optional=frame.relation.optional)


def _edges(layout: Layout, wanted: Collection[str]) -> Iterator[str]:
    for box in layout.boxes:
        for relation in box.entity.relations:
            parent = layout.box(relation.table)
            in_frame = layout.frame is not None and _is_the_frames(box.entity, relation, layout)
            if parent is not None and not in_frame:
                is_wanted = not {box.entity.name, relation.table}.isdisjoint(wanted)
                yield (
                    f'<g class="reference{" found" if is_wanted else ""}"'
                    f' data-from="{escape(box.entity.name)}" data-to="{escape(relation.table)}">'
                )
                yield from _edge(box, parent, relation)
                yield "</g>"


def _is_the_frames(entity: Entity, relation: Relation, layout: Layout) -> bool:
    """Whether the line from the frame stands for it."""
    return (
        layout.frame is not None
        and relation.table == layout.frame.tenants
        and relation.columns == (entity.tenant_column,)
    )


def _edge(child: Box, parent: Box, relation: Relation) -> Iterator[str]:
    """Draw a curve between the rows of a reference, out of the sides that face each other."""
    y, end_y = child.row(relation.columns[-1]), parent.row(relation.referenced[-1])
    if child.x > parent.x:
        x, end_x, side, end_side = child.x, parent.x + parent.width, -1, 1
    elif child.x < parent.x:
        x, end_x, side, end_side = child.x + child.width, parent.x, 1, -1
    else:
        x, end_x, side, end_side = child.x + child.width, parent.x + parent.width, 1, 1
    bend = max(abs(x - end_x) / 2, 44)
    title = escape(f"{child.entity.name}: {relation.name}")
    yield (
        f'<path class="edge" d="M{_n(x)} {_n(y)}h{side * _FOOT}'
        f"C{_n(x + side * bend)} {_n(y)} {_n(end_x + end_side * bend)} {_n(end_y)}"
        f' {_n(end_x + end_side * _FOOT)} {_n(end_y)}H{_n(end_x)}"><title>{title}</title></path>'
    )
    if relation.is_one:
        yield from _one(x, y, side, optional=True)
    else:
        yield from _many(x, y, side)
    yield from _one(end_x, end_y, end_side, optional=relation.optional)


def _many(x: float, y: float, side: int) -> Iterator[str]:
    """Draw a crow's foot: any number of rows."""
    apex = x + side * _FOOT
    yield (
        f'<path class="edge" d="M{_n(x)} {_n(y - 6)}L{_n(apex)} {_n(y)}L{_n(x)} {_n(y + 6)}"/>'
        f'<circle class="dot" cx="{_n(apex + side * 4)}" cy="{_n(y)}" r="4"/>'
    )


def _one(x: float, y: float, side: int, *, optional: bool) -> Iterator[str]:
    """Draw a bar for one row, and another one or, for none at all, a ring."""
    yield f'<path class="edge" d="M{_n(x + side * 7)} {_n(y - 6)}v12"/>'
    if optional:
        yield f'<circle class="dot" cx="{_n(x + side * 14)}" cy="{_n(y)}" r="4"/>'
    else:
        yield f'<path class="edge" d="M{_n(x + side * 12)} {_n(y - 6)}v12"/>'


def _legend(layout: Layout) -> Iterator[str]:
    y, x = layout.height - 22, 32.0
    for mark, meaning in (("PK", "primary key"), ("FK", "foreign key"), ("UK", "unique key")):
        yield from _pill(x, y, mark)
        yield _text("note", x + 28, y + 4, meaning)
        x += 28 + 7 * len(meaning) + 22
    yield f'<rect class="tenant" {_at(x, y - 8)} {_size(22, 16)}/>'
    texts = ("compared by the policies", "? may be null", "green: row level security, forced")
    yield _text("note", x + 28, y + 4, " · ".join(texts))


def _text(kind: str, x: float, y: float, text: str) -> str:
    return f'<text class="{kind}" {_at(x, y)}>{escape(text)}</text>'


def _at(x: float, y: float) -> str:
    return f'x="{_n(x)}" y="{_n(y)}"'


def _size(width: float, height: float) -> str:
    return f'width="{_n(width)}" height="{_n(height)}"'


def _n(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")
