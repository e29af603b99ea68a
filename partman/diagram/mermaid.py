"""The diagram as Mermaid, which GitHub and many editors show as a picture."""

import re
from collections.abc import Iterator, Sequence

from partman.diagram.entities import DiagramColumn, Entity, Relation

_NOT_A_WORD = re.compile(r"[^A-Za-z0-9_\-\[\]()]+")


def mermaid(found: Sequence[Entity]) -> str:
    """Return all tables, the tenants' in a group of their own, with keys and policies."""
    isolated = [each for each in found if each.is_isolated]
    others = [each for each in found if not each.is_isolated]
    lines = ["erDiagram"]
    for title, group in (
        ("Isolated: a tenant sees its own rows, and no others", isolated),
        ("Seen by everybody who has the right", others),
    ):
        if group:
            lines += [f"    %% {title}", *(line for each in group for line in _entity(each))]
    lines += [_relation(each, of) for each in found for of in each.relations]
    if isolated:
        lines += [
            "    classDef isolated stroke:#0d9488,stroke-width:2px",
            f"    class {','.join(_word(each.name) for each in isolated)} isolated",
        ]
    return "\n".join(lines) + "\n"


def _entity(entity: Entity) -> Iterator[str]:
    yield f"    {_word(entity.name)} {{"
    yield from (f"        {_column(each, entity)}" for each in entity.columns)
    yield "    }"


def _column(column: DiagramColumn, entity: Entity) -> str:
    said = [_word(re.sub(r"\(.*,.*\)", "", column.type)), _word(column.name)]
    if column.marks:
        said.append(", ".join(column.marks))
    if remarks := list(_remarks(column, entity)):
        said.append(f'"{"; ".join(remarks)}"')
    return " ".join(said)


def _remarks(column: DiagramColumn, entity: Entity) -> Iterator[str]:
    if column.is_tenant:
        restrictive = [each.name for each in entity.policies if not each.permissive]
        yield f"policy {', '.join(restrictive)}"
    for key in entity.keys:
        if column.name == key.columns[-1]:
            yield f"unique ({', '.join(key.columns)})"


def _relation(entity: Entity, relation: Relation) -> str:
    many = "o|" if relation.is_one else "o{"
    end = "|o" if relation.optional else "||"
    deleted = f" on delete {relation.on_delete}" if relation.on_delete else ""
    return (
        f"    {_word(relation.table)} {end}--{many} {_word(entity.name)}"
        f' : "{", ".join(relation.columns)}{deleted}"'
    )


def _word(text: str) -> str:
    """Return a name or a type as Mermaid can read it: it knows no comma, no dot, no space."""
    return _NOT_A_WORD.sub("_", text.replace('"', ""))
