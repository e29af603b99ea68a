"""Between any two states of a role's rights to a table, as PostgreSQL itself has them.

GRANT ALL includes MAINTAIN since PostgreSQL 17, whose name older versions do not know.
"""

import asyncio
from itertools import product

import asyncpg
import pytest

from partman.catalog.ddl.remedy import plan
from partman.catalog.read import read_catalog
from tests.database.ddl_support import apply, statements
from tests.support import Database, temporary_database

_STATES: dict[str, tuple[str, ...]] = {
    "nothing": (),
    "some": ("GRANT SELECT, UPDATE",),
    "some to give on": ("GRANT INSERT, SELECT", "WITH GRANT OPTION"),
    "all": ("GRANT ALL",),
    "all, to give on": ("GRANT ALL", "WITH GRANT OPTION"),
    "all but one": ("GRANT ALL", "REVOKE SELECT"),
    "all but one, to give on": ("GRANT ALL", "WITH GRANT OPTION", "REVOKE SELECT"),
    "all, one to give on": ("GRANT ALL", "GRANT SELECT", "WITH GRANT OPTION"),
    "all, but one to give on": ("GRANT ALL", "WITH GRANT OPTION", "REVOKE GRANT OPTION FOR SELECT"),
    "MAINTAIN": ("GRANT MAINTAIN",),
    "all, MAINTAIN to give on": ("GRANT ALL", "GRANT MAINTAIN", "WITH GRANT OPTION"),
    "all to give on, but MAINTAIN": (
        "GRANT ALL",
        "WITH GRANT OPTION",
        "REVOKE GRANT OPTION FOR MAINTAIN",
    ),
}


def _sql(state: str, begin: str, on: str) -> list[str]:
    """Write a state as statements."""
    written: list[str] = []
    for part in _STATES[state]:
        if part == "WITH GRANT OPTION":
            written[-1] += f" {part}"
        else:
            preposition = "TO" if part.startswith("GRANT") else "FROM"
            written.append(f"{begin}{part} ON {on} {preposition} partman_app")
    return written


_OF_TABLES = (
    "CREATE TABLE {name} (id integer)",
    "",
    "{name}",
    "SELECT relname, acl.privilege_type, acl.is_grantable"
    " FROM pg_class, aclexplode(relacl) AS acl"
    " WHERE relname ~ '^t[0-9]+$' AND acl.grantee = 'partman_app'::regrole ORDER BY 1, 2",
)
_BY_DEFAULT = (
    "CREATE SCHEMA {name}",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA {name} ",
    "TABLES",
    "SELECT nspname, acl.privilege_type, acl.is_grantable"
    " FROM pg_default_acl JOIN pg_namespace AS n ON n.oid = defaclnamespace,"
    " aclexplode(defaclacl) AS acl"
    " WHERE acl.grantee = 'partman_app'::regrole ORDER BY 1, 2",
)


@pytest.mark.parametrize("form", [_OF_TABLES, _BY_DEFAULT], ids=["tables", "by default"])
# The migrations make the roles.
@pytest.mark.usefixtures("template")
def test_leads_from_any_rights_to_any_other_and_back(form: tuple[str, ...]) -> None:
    with temporary_database() as database:
        asyncio.run(_there_and_back(database, *form))


async def _there_and_back(database: Database, made: str, begin: str, on: str, asked: str) -> None:
    connection = await asyncpg.connect(database.url)
    try:
        knows_maintain = connection.get_server_version().major >= 17
        states = [each for each in _STATES if knows_maintain or "MAINTAIN" not in each]
        pairs = {f"t{number}": pair for number, pair in enumerate(product(states, states))}

        async def grant(side: int) -> None:
            for name, pair in pairs.items():
                await connection.execute(
                    ";".join(
                        each.format(name=name) for each in (made, *_sql(pair[side], begin, on))
                    )
                )

        async def rights() -> list[tuple[object, ...]]:
            return [tuple(row) for row in await connection.fetch(asked)]

        await connection.execute("BEGIN")
        await grant(0)
        wanted, expected = await rights(), await read_catalog(connection)
        await connection.execute("ROLLBACK; BEGIN")
        await grant(1)
        before, found = await rights(), await read_catalog(connection)
        forwards, backwards = statements(plan(expected, found))
        await apply(connection, forwards, expected)
        assert _apart(wanted, await rights(), pairs) == {}
        await apply(connection, backwards, found)
        assert _apart(before, await rights(), pairs) == {}
    finally:
        await connection.close()


def _apart(
    wanted: list[tuple[object, ...]],
    got: list[tuple[object, ...]],
    pairs: dict[str, tuple[str, str]],
) -> dict[tuple[str, str], list[tuple[object, ...]]]:
    """Return what differs, by pair of states."""
    return {
        pairs[name]: differ
        for name in pairs
        if (differ := sorted(row[1:] for row in {*wanted} ^ {*got} if row[0] == name))
    }
