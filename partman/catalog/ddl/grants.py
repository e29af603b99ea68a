"""Generate GRANT, REVOKE and ALTER DEFAULT PRIVILEGES statements."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from partman.catalog.ddl.database_objects import on_database
from partman.catalog.ddl.objects import role
from partman.catalog.ddl.text import SqlStyle, laid_out, listed
from partman.catalog.model import (
    ITS_OWNER,
    OWNER,
    PUBLIC,
    Catalog,
    DefaultGrant,
    Grant,
    Object,
    Privilege,
    Reference,
)

_OF_A_TABLE = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")
_TABLE, _SEQUENCE = frozenset(_OF_A_TABLE), frozenset(("SELECT", "UPDATE", "USAGE"))
_FUNCTION, _TYPE = frozenset(("EXECUTE",)), frozenset(("USAGE",))
_SCHEMA = frozenset(("USAGE", "CREATE"))

# PostgreSQL's default privileges of the owner and of PUBLIC, by kind of object.
_DEFAULTS = {
    "schema": (_SCHEMA, frozenset[str]()),
    "table": (_TABLE, frozenset[str]()),
    "view": (_TABLE, frozenset[str]()),
    "materialized view": (_TABLE, frozenset[str]()),
    "sequence": (_SEQUENCE, frozenset[str]()),
    "function": (_FUNCTION, _FUNCTION),
    "procedure": (_FUNCTION, _FUNCTION),
    "type": (_TYPE, _TYPE),
    "domain": (_TYPE, _TYPE),
}
# The kinds of objects in ALTER DEFAULT PRIVILEGES.
_KINDS = {
    "schema": "SCHEMAS",
    "table": "TABLES",
    "view": "TABLES",
    "materialized view": "TABLES",
    "sequence": "SEQUENCES",
    "function": "FUNCTIONS",
    "procedure": "FUNCTIONS",
    "type": "TYPES",
    "domain": "TYPES",
}
_ORDER = {name: number for number, name in enumerate(_OF_A_TABLE)}

Privileges = frozenset[Privilege]


@dataclass(frozen=True)
class GrantChange:
    """The privileges that a grantee gains and loses."""

    on: str
    """The object as in GRANT: ``SCHEMA public``, ``partners``; empty for the database."""
    grantee: str
    gains: Privileges
    loses: Privileges
    keeps_apart: bool = False
    """Whether MAINTAIN ends otherwise than the other privileges, so that none may be named ALL."""

    @property
    def statements(self) -> list[str]:
        """Return REVOKE before GRANT, because a REVOKE on a table also revokes on its columns."""
        gains, loses = _by_name(self.gains), _by_name(self.loses)
        loses_option = [
            privilege for key, privilege in loses.items() if key in gains and privilege.grantable
        ]
        lost = [privilege for key, privilege in loses.items() if key not in gains]
        got = [
            privilege
            for key, privilege in gains.items()
            # ALL is given as a whole.
            if _is_all(self.gains) or key not in _by_name(frozenset(loses_option))
        ]
        return [
            *self._statements("REVOKE", "FROM", lost),
            *self._statements("REVOKE GRANT OPTION FOR", "FROM", loses_option),
            *self._statements("GRANT", "TO", [each for each in got if not each.grantable]),
            *self._statements(
                "GRANT", "TO", [each for each in got if each.grantable], " WITH GRANT OPTION"
            ),
        ]

    def _statements(
        self, verb: str, preposition: str, privileges: Collection[Privilege], option: str = ""
    ) -> list[str]:
        named = privilege_names(privileges, may_be_all=not self.keeps_apart)
        if not named:
            return []
        if named[0] == "ALL" and len(named) > 1:
            of_columns = [privilege for privilege in privileges if privilege.column]
            rest = self._statements(verb, preposition, of_columns, option)
            return [f"{verb} ALL ON {self.on} {preposition} {self.grantee}{option}", *rest]
        if self.on:
            end = f"ON {self.on} {preposition} {self.grantee}{option}"
            return [laid_out(listed(named, f"{verb} "), end)]
        # The database's name differs between environments.
        begin = f"{verb} {', '.join(named)} ON DATABASE"
        return [on_database(begin, f"{preposition} {self.grantee}{option}")]


def change(
    parent: Reference,
    grantee: str,
    before: Privileges,
    after: Privileges,
    style: SqlStyle,
    *,
    final: Privileges | None = None,
) -> list[str]:
    """Return the statements that change a grantee's privileges from ``before`` to ``after``.

    ``final`` are all privileges that it has afterwards. It includes columns that ``after`` leaves
    out because they have their privileges already: a REVOKE on a table also revokes on its columns.
    """
    kind, name = parent
    on = {
        "database": "",
        "view": style(name),
        "materialized view": style(name),
        "table": style(name),
        "foreign-data wrapper": f"FOREIGN DATA WRAPPER {name}",
        "server": f"FOREIGN SERVER {name}",
    }
    place = on.get(kind, f"{kind.upper()} {style(name)}")
    return _changes(place, role(grantee), before, after, after if final is None else final)


def _changes(
    on: str, grantee: str, before: Privileges, after: Privileges, final: Privileges
) -> list[str]:
    """Return the statements of a change; ALL takes MAINTAIN along.

    The catalog has MAINTAIN, which came with PostgreSQL 17, only where it differs from the others:
    older versions do not know that keyword.
    """
    keeps_apart = _maintains(after)
    if keeps_apart or _maintains(before):
        before, after = _spelled_out(before), _spelled_out(after)
    elif _is_all(before) and not _is_all(after):
        return [
            f"REVOKE ALL ON {on} FROM {grantee}",
            *GrantChange(on, grantee, final, frozenset()).statements,
        ]
    gains, loses = after - before, before - after
    if _is_all(after) and not _is_all(before):
        gains |= frozenset(privilege for privilege in after if not privilege.column)
    whole = _on_whole_object(loses)
    of_columns = frozenset(
        privilege for privilege in final if privilege.column and privilege.name in whole
    )
    return GrantChange(on, grantee, gains | of_columns, loses, keeps_apart).statements


def _spelled_out(privileges: Privileges) -> Privileges:
    """Name MAINTAIN where ALL includes it."""
    if not _is_all(privileges):
        return privileges
    may_give = any(privilege.grantable for privilege in privileges if not privilege.column)
    return privileges | {Privilege("MAINTAIN", "", may_give)}


def _is_all(privileges: Privileges) -> bool:
    return _on_whole_object(privileges) >= _TABLE and not _maintains(privileges)


def _maintains(privileges: Privileges) -> bool:
    return "MAINTAIN" in _on_whole_object(privileges)


def _on_whole_object(privileges: Privileges) -> frozenset[str]:
    return frozenset(privilege.name for privilege in privileges if not privilege.column)


def of_new(obj: Object, catalog: Catalog, style: SqlStyle) -> list[str]:
    """Return the statements that set the grants of an object that was just created.

    They run while OWNER owns the object; a later owner takes over the owner's privileges.
    """
    by_default = default_grants(obj, catalog)
    wanted = {
        grant.name: frozenset(grant.privileges)
        for grant in catalog.by_parent.get(obj.reference, ())
        if isinstance(grant, Grant)
    }
    statements: list[str] = []
    for grantee in sorted({*by_default, *wanted}):
        before, after = by_default.get(grantee, frozenset()), wanted.get(grantee, frozenset())
        statements += change(obj.reference, grantee, before, after, style)
    return statements


def default_grants(obj: Object, catalog: Catalog) -> dict[str, Privileges]:
    """Return the privileges of each grantee on an object that was just created."""
    if obj.kind not in _DEFAULTS:
        return {}
    by_owner, by_public = _DEFAULTS[obj.kind]
    privileges = {
        ITS_OWNER: frozenset(map(Privilege, by_owner)),
        PUBLIC: frozenset(map(Privilege, by_public)),
    }
    for default in catalog.of(DefaultGrant):
        if default.creator != OWNER or default.of != _KINDS[obj.kind]:
            continue
        granted = frozenset(default.privileges)
        if default.schema is None:
            privileges[default.name] = granted
        elif obj.parent == default.parent:
            privileges[default.name] = privileges.get(default.name, frozenset()) | granted
    return privileges


def default_change(obj: DefaultGrant, before: Privileges, after: Privileges) -> list[str]:
    """Return the statements that change default privileges."""
    begin = "ALTER DEFAULT PRIVILEGES"
    if obj.creator != OWNER:
        begin += f" FOR ROLE {obj.creator}"
    if obj.schema:
        begin += f" IN SCHEMA {obj.schema}"
    changes = _changes(obj.of, role(obj.name), before, after, after)
    return [f"{begin}\n{statement}" for statement in changes]


def builtin_default(obj: DefaultGrant) -> Privileges:
    """Return PostgreSQL's own default, which holds where the catalog has no entry."""
    kind = next((kind for kind, of in _KINDS.items() if of == obj.of), None)
    if obj.schema or kind is None:
        return frozenset()
    by_owner, by_public = _DEFAULTS[kind]
    names = {ITS_OWNER: by_owner, PUBLIC: by_public}.get(obj.name, frozenset())
    return frozenset(map(Privilege, names))


def privilege_names(privileges: Iterable[Privilege], *, may_be_all: bool = True) -> list[str]:
    """Return privileges as in GRANT: ``SELECT``, ``UPDATE (name, website)``."""
    columns: dict[str, list[str]] = {}
    for privilege in sorted(privileges, key=lambda each: (_ORDER.get(each.name, 99), each)):
        columns.setdefault(privilege.name, []).append(privilege.column)
    has_all = may_be_all and {name for name, of in columns.items() if "" in of} >= _TABLE
    named = ["ALL"] if has_all else []
    for name, of in columns.items():
        if "" in of and not has_all:
            named.append(name)
        if only := [column for column in of if column]:
            named.append(f"{name} ({', '.join(only)})")
    return named


def _by_name(privileges: Privileges) -> dict[tuple[str, str], Privilege]:
    return {(privilege.name, privilege.column): privilege for privilege in privileges}
