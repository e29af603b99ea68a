"""Each name that a Tenancy takes, the server takes wherever partman writes it."""

from typing import TypeAlias

import asyncpg
import pytest

from partman.errors import SettingsError
from partman.grammar.names import literal, quoted
from partman.isolation import Roles, Tenancy, database_extras, tenants_table_extras
from partman.isolation.references import TenantForeignKey
from partman.isolation.roles import create_roles, drop_roles, let_read, let_set_config, revoke_usage
from partman.isolation.row_security import tenant_grants, tenant_policies
from tests import shared
from tests.support import Database

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


async def test_every_word_of_sql_that_is_no_refused_keyword_can_be_a_name(
    connection: Connection,
) -> None:
    words = await connection.fetch("SELECT word, catcode FROM pg_get_keywords() ORDER BY word")
    accepted = []
    for word, kind in words:
        try:
            tenancy = Tenancy(
                table=word,
                column=word,
                roles=Roles(word, *(f"{word}_{n}" for n in range(4))),
                setting=f"{word}.{word}",
            )
        except SettingsError:
            assert kind != b"U", word
            continue
        assert kind == b"U", f"{word} has to be quoted on this server"
        accepted.append(word)
        await _use(connection, tenancy)
    assert len(accepted) > 200


async def _use(connection: Connection, tenancy: Tenancy) -> None:
    """Run all SQL that is made of a tenancy's names; undo it."""
    key = TenantForeignKey("parent", tenancy.column, tenant=tenancy.column)
    other = f"{tenancy.table}_rows"
    statements = (
        *database_extras(tenancy),
        f"CREATE TABLE {tenancy.table} (id uuid PRIMARY KEY, name text)",
        *tenants_table_extras(tenancy, ["name"]),
        f"CREATE TABLE {other} (id uuid PRIMARY KEY, {tenancy.column} uuid, parent uuid,"
        f" UNIQUE ({tenancy.column}, id))",
        f"ALTER TABLE {other} ADD {key.ddl}".replace(
            f"REFERENCES {quoted(tenancy.column)}", f"REFERENCES {other}"
        ),
        *tenant_policies(tenancy, other, tenancy.column),
        *tenant_grants(tenancy, other, ["parent"]),
        *let_set_config(tenancy.roles.all),
        *let_read(tenancy.roles.all, [other]),
        f"SET LOCAL ROLE {tenancy.roles.app}; SET LOCAL {tenancy.setting} = {literal('x')}",
        "RESET ROLE",
        f"DROP TABLE {other}; DROP TABLE {tenancy.table}",
        revoke_usage(tenancy.roles.all),
        drop_roles(tenancy.roles.all),
    )
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(";\n".join(statements))
    finally:
        await transaction.rollback()


async def test_names_are_quoted_as_the_server_quotes_them(database: Database) -> None:
    connection = await asyncpg.connect(database.url)
    try:
        names = [
            row["word"] for row in await connection.fetch("SELECT word FROM pg_get_keywords()")
        ]
        names += ["plain", "Upper", "with space", 'quo"te', "_x", "x$", "é", "1st", "a.b", ""]
        for name in names:
            assert quoted(name) == await connection.fetchval("SELECT quote_ident($1)", name)
        for text in ("", "it's", "back\\slash", "\\'; --", "é\n\t", "$$"):
            for conforming in ("on", "off"):
                await connection.execute(f"SET standard_conforming_strings = {conforming}")
                assert await connection.fetchval(f"SELECT {literal(text)}") == text
    finally:
        await connection.close()


async def test_without_createrole_the_error_shows_the_statements(stranger: str) -> None:
    roles = Roles.named(shared.unique_name())
    connection = await asyncpg.connect(stranger)
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="may not do what") as refused:
            await connection.execute(create_roles(Tenancy(roles=roles)))
    finally:
        await connection.close()
    for role in roles.all:
        assert f"CREATE ROLE {role} NOLOGIN NOINHERIT; " in str(refused.value.hint)
