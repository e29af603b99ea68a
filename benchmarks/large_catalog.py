"""A catalog with many objects, made without a database."""

from partman.catalog.model import (
    ITS_OWNER,
    OWNER,
    Catalog,
    Column,
    Dependency,
    Enum,
    Grant,
    Index,
    IndexKey,
    Object,
    Policy,
    Privilege,
    Reference,
    Schema,
    Table,
    sort_key,
)

_PUBLIC = Reference("schema", "public")
_NAMES = ("id", "name", "mood", "at")


def large(tables: int, *, indexed: bool = True, labels: tuple[str, ...] = ("a", "b")) -> Catalog:
    """Return a catalog of so many tables, each with a type, columns, an index and a policy."""
    objects: list[Object] = [Schema(kind="schema", name="public", owner=OWNER)]
    needs: list[Dependency] = []
    for number in range(tables):
        table = Reference("table", f"public.t{number}")
        mood = Reference("type", f"public.mood{number}")
        objects += _table(table, mood, labels)
        columns = [Reference("column", f"{table.name}.{name}") for name in _NAMES]
        policy = Reference("policy", f"p on {table.name}")
        index = Reference("index", f"public.i{number}")
        needs += [
            Dependency(columns[2], mood),
            Dependency(policy, table),
            Dependency(policy, columns[2]),
        ]
        if indexed:
            objects.append(_index(index, table))
            needs.append(Dependency(index, columns[1]))
    return Catalog(tuple(sorted(objects, key=sort_key)), dependencies=tuple(needs))


def _table(table: Reference, mood: Reference, labels: tuple[str, ...]) -> list[Object]:
    types = ("integer", "text", mood.name, "date")
    usage = (Privilege("USAGE"),)
    everything = tuple(
        map(
            Privilege,
            ("DELETE", "INSERT", "REFERENCES", "SELECT", "TRIGGER", "TRUNCATE", "UPDATE"),
        )
    )
    return [
        Enum(kind="type", name=mood.name, parent=_PUBLIC, owner=OWNER, labels=labels),
        Grant(kind="grant", name=ITS_OWNER, parent=mood, privileges=usage),
        Table(
            kind="table",
            name=table.name,
            parent=_PUBLIC,
            owner=OWNER,
            unlogged=False,
            row_security=True,
            force_row_security=True,
            options=(),
            replica_identity="DEFAULT",
            inherits=(),
            partition_key=None,
            partition_bound=None,
            foreign=None,
        ),
        Grant(kind="grant", name=ITS_OWNER, parent=table, privileges=everything),
        *(
            Column(
                kind="column",
                name=name,
                parent=table,
                position=position,
                type=type_,
                null="NULL",
                default=None,
                identity=None,
                generated=None,
                collation=None,
            )
            for position, (name, type_) in enumerate(zip(_NAMES, types, strict=True))
        ),
        Policy(
            kind="policy",
            name="p",
            parent=table,
            permissive=True,
            command="ALL",
            roles=("PUBLIC",),
            using=f"(mood = 'a'::{mood.name})",
            check=None,
        ),
    ]


def _index(index: Reference, table: Reference) -> Index:
    key = IndexKey(text="name", column="name", collation=None, operator_class=None, direction=None)
    return Index(
        kind="index",
        name=index.name,
        parent=table,
        definition=f"CREATE UNIQUE INDEX {index.name} ON {table.name} USING btree (name)",
        valid=True,
        method="btree",
        unique=True,
        nulls_distinct=True,
        keys=(key,),
        included=(),
        options=(),
        predicate=None,
    )
