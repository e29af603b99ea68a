"""The diagram as Mermaid, which GitHub and many editors show as a picture."""

import re
from collections.abc import Iterator

from partman.catalog.model import Catalog
from partman.diagram.entities import DiagramColumn, Entity, Relation, entities
from partman.isolation import Tenancy

_NOT_A_WORD = re.compile(r"[^A-Za-z0-9_\-\[\]()]+")


def mermaid(catalog: Catalog, tenancy: Tenancy | None) -> str:
    """Return all tables, the tenants' in a group of their own, with keys and policies."""
    found = entities(catalog, tenancy)
    isolated = [one for one in found if one.is_isolated]
    others = [one for one in found if not one.is_isolated]
    lines = ["erDiagram"]
    for title, group in (
        ("Isolated: a tenant sees its own rows, and no others", isolated),
        ("Seen by everybody who has the right", others),
    ):
        if group:
            lines += [f"    %% {title}", *(line for one in group for line in _entity(one))]
    lines += [_relation(one, of) for one in found for of in one.relations]
    if isolated:
        lines += [
            "    classDef isolated stroke:#0d9488,stroke-width:2px",
            f"    class {','.join(_word(one.name) for one in isolated)} isolated",
        ]
    return "\n".join(lines) + "\n"


def _entity(entity: Entity) -> Iterator[str]:
    yield f"    {_word(entity.name)} {{"
    yield from (f"        {_column(one, entity)}" for one in entity.columns)
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
        restrictive = [one.name for one in entity.policies if not one.permissive]
        yield f"policy {', '.join(restrictive)}"
    for key in entity.keys:
        if column.name == key.columns[-1]:
            yield f"unique ({', '.join(key.columns)})"


def _relation(entity: Entity, relation: Relation) -> str:
    many = "o|" if relation.is_one else "o{"
    one = "|o" if relation.optional else "||"
    deleted = f" on delete {relation.on_delete}" if relation.on_delete else ""
    return (
        f"    {_word(relation.table)} {one}--{many} {_word(entity.name)}"
        f' : "{", ".join(relation.columns)}{deleted}"'
    )


def _word(text: str) -> str:
    """Return a name or a type as Mermaid can read it: it knows no comma, no dot, no space."""
    return _NOT_A_WORD.sub("_", text.replace('"', ""))
