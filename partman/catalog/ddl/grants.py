"""GRANT and REVOKE, and what will be granted by default."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from partman.catalog.ddl.objects import role
from partman.catalog.ddl.text import Wording, laid_out, listed
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

# What its owner may do with it, and what PUBLIC may, as long as nothing was said.
_USUAL = {
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
# As ALTER DEFAULT PRIVILEGES calls them.
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
class Change:
    """What a grantee gets and loses."""

    on: str
    """As GRANT says it: ``SCHEMA public``, ``partners``. Nothing for the database."""
    grantee: str
    gets: Privileges
    loses: Privileges

    @property
    def statements(self) -> list[str]:
        """Take away first: what is taken from a table is taken from each of its columns, too."""
        gets, loses = _by_name(self.gets), _by_name(self.loses)
        passes_on_no_more = [one for key, one in loses.items() if key in gets and one.grantable]
        lost = [one for key, one in loses.items() if key not in gets]
        got = [
            one for key, one in gets.items() if key not in _by_name(frozenset(passes_on_no_more))
        ]
        return [
            *self._say("REVOKE", "FROM", lost),
            *self._say("REVOKE GRANT OPTION FOR", "FROM", passes_on_no_more),
            *self._say("GRANT", "TO", [one for one in got if not one.grantable]),
            *self._say("GRANT", "TO", [one for one in got if one.grantable], " WITH GRANT OPTION"),
        ]

    def _say(
        self, verb: str, preposition: str, privileges: Collection[Privilege], option: str = ""
    ) -> list[str]:
        named = privilege_names(privileges)
        if not named:
            return []
        if named[0] == "ALL" and len(named) > 1:
            of_columns = [one for one in privileges if one.column]
            rest = self._say(verb, preposition, of_columns, option)
            return [f"{verb} ALL ON {self.on} {preposition} {self.grantee}{option}", *rest]
        if self.on:
            end = f"ON {self.on} {preposition} {self.grantee}{option}"
            return [laid_out(listed(named, f"{verb} "), end)]
        # The database's name is another one wherever it is.
        text = f"{verb} {', '.join(named)} ON DATABASE %I {preposition} {self.grantee}{option}"
        return [f"DO $$ BEGIN EXECUTE format(\n'{text}', current_database()); END $$"]


def change(
    parent: Reference,
    grantee: str,
    before: Privileges,
    after: Privileges,
    say: Wording,
    *,
    to_be: Privileges | None = None,
) -> list[str]:
    """Return the statements that turn what a grantee may do into something else.

    ``to_be`` is what it may do afterwards with all columns, also those that are left out in
    ``after`` because they have their rights already: what is taken from a table is taken from
    its columns, too.
    """
    kind, name = parent
    on = {"database": "", "view": say(name), "materialized view": say(name), "table": say(name)}
    place = on.get(kind, f"{kind.upper()} {say(name)}")
    to_be = after if to_be is None else to_be
    names, were = _of_the_whole(after), _of_the_whole(before)
    if were >= _TABLE and not names >= _TABLE:
        # With all of them came MAINTAIN, since PostgreSQL 17; no older version knows the word.
        return [
            f"REVOKE ALL ON {place} FROM {role(grantee)}",
            *Change(place, role(grantee), to_be, frozenset()).statements,
        ]
    gets, loses = after - before, before - after
    whole = _of_the_whole(loses)
    of_columns = frozenset(one for one in to_be if one.column and one.name in whole)
    return Change(place, role(grantee), gets | of_columns, loses).statements


def _of_the_whole(privileges: Privileges) -> frozenset[str]:
    return frozenset(one.name for one in privileges if not one.column)


def of_new(one: Object, catalog: Catalog, say: Wording) -> list[str]:
    """Return what gives an object that has just been made its grants.

    As long as it is the migrating role's: whoever owns it then keeps what that role has.
    """
    usual = usual_grants(one, catalog)
    wanted = {
        grant.name: frozenset(grant.privileges)
        for grant in catalog.of(Grant)
        if grant.parent == one.reference
    }
    statements: list[str] = []
    for grantee in sorted({*usual, *wanted}):
        before, after = usual.get(grantee, frozenset()), wanted.get(grantee, frozenset())
        statements += change(one.reference, grantee, before, after, say)
    return statements


def usual_grants(one: Object, catalog: Catalog) -> dict[str, Privileges]:
    """Return who may do what with an object when it has just been made."""
    if one.kind not in _USUAL:
        return {}
    by_owner, by_public = _USUAL[one.kind]
    usual = {
        ITS_OWNER: frozenset(map(Privilege, by_owner)),
        PUBLIC: frozenset(map(Privilege, by_public)),
    }
    for default in catalog.of(DefaultGrant):
        if default.creator != OWNER or default.of != _KINDS[one.kind]:
            continue
        granted = frozenset(default.privileges)
        if default.schema is None:
            usual[default.name] = granted
        elif one.parent == default.parent:
            usual[default.name] = usual.get(default.name, frozenset()) | granted
    return usual


def default_change(one: DefaultGrant, before: Privileges, after: Privileges) -> list[str]:
    """Return the statements for what will be granted by default."""
    begin = "ALTER DEFAULT PRIVILEGES"
    if one.creator != OWNER:
        begin += f" FOR ROLE {one.creator}"
    if one.schema:
        begin += f" IN SCHEMA {one.schema}"
    changed = Change(one.of, role(one.name), after - before, before - after)
    return [f"{begin}\n{statement}" for statement in changed.statements]


def usual_default(one: DefaultGrant) -> Privileges:
    """Return what there is where the catalog has no such entry."""
    kind = next((kind for kind, of in _KINDS.items() if of == one.of), None)
    if one.schema or kind is None:
        return frozenset()
    by_owner, by_public = _USUAL[kind]
    names = {ITS_OWNER: by_owner, PUBLIC: by_public}.get(one.name, frozenset())
    return frozenset(map(Privilege, names))


def privilege_names(privileges: Iterable[Privilege]) -> list[str]:
    """Return privileges as GRANT lists them: ``SELECT``, ``UPDATE (name, website)``."""
    columns: dict[str, list[str]] = {}
    for one in sorted(privileges, key=lambda one: (_ORDER.get(one.name, 99), one)):
        columns.setdefault(one.name, []).append(one.column)
    has_all = {name for name, of in columns.items() if "" in of} >= _TABLE
    named = ["ALL"] if has_all else []
    for name, of in columns.items():
        if "" in of and not has_all:
            named.append(name)
        if only := [column for column in of if column]:
            named.append(f"{name} ({', '.join(only)})")
    return named


def _by_name(privileges: Privileges) -> dict[tuple[str, str], Privilege]:
    return {(one.name, one.column): one for one in privileges}
