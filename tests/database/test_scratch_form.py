"""Scratch databases have the form of the live database, and say what they cannot have of it."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest

from partman.database import embedded
from partman.database.connection import connected
from partman.database.database_form import effective_parameters, read_forms
from partman.database.like_live import like_live
from partman.database.scratch import scratch_database
from partman.settings import DatabaseForm, DatabaseLocale
from tests.database.test_scratch import name_of, settings
from tests.faults.processes import Zygote
from tests.support import (
    MIGRATIONS,
    Database,
    as_role,
    execute,
    server_url,
    temporary_database,
    with_database,
)

Parameters = dict[str, tuple[str, str]]
OTHER_LOCALE = (
    "TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE_PROVIDER libc LC_COLLATE 'C' LC_CTYPE 'C'"
)
LIKE_LIVE = {
    "ALTER DATABASE {name} SET timezone = 'America/New_York'": "timezone",
    'ALTER DATABASE {name} SET search_path = one, "two, three"': "search_path",
    "ALTER DATABASE {name} SET temp_tablespaces = ''": "temp_tablespaces",
    "ALTER DATABASE {name} SET datestyle = 'SQL, DMY'": "datestyle",
    "ALTER DATABASE {name} SET default_text_search_config = 'pg_catalog.simple'": (
        "default_text_search_config"
    ),
    "ALTER ROLE CURRENT_USER IN DATABASE {name} SET intervalstyle = 'iso_8601'": "intervalstyle",
}


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Database]:
    """A database with a locale and settings that no database has by itself."""
    with temporary_database() as other:
        name = f"{other.name}_form"
        execute(server_url(), f"CREATE DATABASE {name} {OTHER_LOCALE}")
        made = Database(with_database(server_url(), name))
        try:
            execute(made.url, *(each.format(name=name) for each in LIKE_LIVE))
            yield made
        finally:
            execute(server_url(), f"DROP DATABASE {name} WITH (FORCE)")


async def form(connection: "asyncpg.Connection[asyncpg.Record]") -> list[str]:
    """What a session finds: the options of CREATE DATABASE, and the settings."""
    options = "encoding, datlocprovider, datcollate, datctype"
    database = f"SELECT ({options})::text FROM pg_database WHERE datname = current_database()"
    settings_ = [f"SHOW {name}" for name in LIKE_LIVE.values()]
    return [str(await connection.fetchval(sql)) for sql in (database, *settings_)]


async def test_has_the_locale_and_the_settings_of_the_live_database(elsewhere: Database) -> None:
    live = await asyncpg.connect(elsewhere.url)
    expected = await form(live)
    await live.close()
    assert expected[1:4] == ["America/New_York", 'one, "two, three"', '""']
    async with scratch_database(settings(elsewhere.url)) as scratch:
        async with connected(scratch) as connection:
            assert await form(connection) == expected
            # What is set by hand is no setting of the scratch database, or no drift would be seen.
            assert await connection.fetch(OWN_SETTINGS) == []
            await connection.execute(
                f"ALTER DATABASE {name_of(scratch)} SET datestyle = 'ISO, YMD'",
            )
        async with (
            scratch_database(scratch, template=name_of(scratch)) as copy,
            connected(copy) as connection,
        ):
            assert await form(connection) == expected
            # CREATE DATABASE ... TEMPLATE copies no settings.
            [[settings_]] = await connection.fetch(OWN_SETTINGS)
            assert settings_ == ["DateStyle=ISO, YMD"]


@pytest.mark.same_on_every_version
def test_passes_over_what_only_a_superuser_sets(empty_database: Database) -> None:
    """The owner could not set it on a copy: it would be missing there, with a warning."""
    execute(
        as_role(empty_database.url, embedded.SUPERUSER),
        f"ALTER DATABASE {empty_database.name} SET log_min_duration_statement = 0",
        f"ALTER DATABASE {empty_database.name} SET timezone = 'UTC'",
        f"ALTER DATABASE {empty_database.name} SET shop.key = 'a=b'",
    )

    async def read() -> DatabaseForm:
        async with connected(settings(empty_database.url)) as connection:
            return (await read_forms(connection))[0]

    assert sorted(asyncio.run(read()).parameters) == ["TimeZone=UTC", "shop.key=a=b"]


OWN_SETTINGS = (
    "SELECT setconfig FROM pg_db_role_setting"
    " JOIN pg_database d ON d.oid = setdatabase WHERE datname = current_database()"
)


async def test_on_another_server_it_is_like_the_live_database(
    elsewhere: Database, installed: Path
) -> None:
    live = settings(elsewhere.url)
    try:
        scratch = await like_live(live, replace(live, data_directory=installed).on_embedded_server)
        connection = await asyncpg.connect(elsewhere.url)
        expected, version = await form(connection), connection.get_server_version().major
        await connection.close()
        async with scratch_database(scratch) as made, connected(made) as connection:
            assert await form(connection) == expected
            assert await connection.fetch(OWN_SETTINGS) == []
            # What the embedded server's own template has, which cannot be copied.
            assert await connection.fetchval(
                "SELECT has_function_privilege('set_config(text, text, boolean)',"
                " 'EXECUTE WITH GRANT OPTION')"
            )
        of_version = f"it is PostgreSQL 18, not {version}"
        note = scratch.scratch_note
        assert note is None if version == 18 else str(note).endswith(f": {of_version}."), note
    finally:
        await asyncio.to_thread(embedded.stop, installed)


async def test_says_what_another_server_cannot_have(
    elsewhere: Database, installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its operating system may lack the locale, and its version the parameter."""
    is_live = iter((True, False, *(False for _ in range(9))))

    async def forms(
        connection: "asyncpg.Connection[asyncpg.Record]",
    ) -> tuple[DatabaseForm, DatabaseLocale]:
        own, usual = await read_forms(connection)
        locale = replace(own.locale, collate="xx_XX", ctype="xx_XX") if next(is_live) else usual
        return replace(own, locale=locale), usual

    is_live_too = iter((True, False))

    async def effective(connection: "asyncpg.Connection[asyncpg.Record]") -> Parameters:
        found = await effective_parameters(connection)
        return found | {"from_the_future": ("on", "off")} if next(is_live_too) else found

    monkeypatch.setattr("partman.database.like_live.read_forms", forms)
    monkeypatch.setattr("partman.database.like_live.effective_parameters", effective)
    live = settings(elsewhere.url)
    try:
        scratch = await like_live(live, replace(live, data_directory=installed).on_embedded_server)
        async with scratch_database(scratch) as made, connected(made) as connection:
            assert await connection.fetchval("SHOW timezone") == "America/New_York"
    finally:
        await asyncio.to_thread(embedded.stop, installed)
    note = scratch.scratch_note
    assert note is not None
    assert "it has no locale xx_XX of libc for the encoding SQL_ASCII; " in note
    assert note.endswith("it cannot set from_the_future = on.")


@pytest.mark.same_on_every_version
def test_every_command_says_what_its_scratch_database_lacks(
    database: Database, tablespace: str, installed: Path, zygote: Zygote
) -> None:
    """Here the other server lacks a tablespace."""
    execute(database.url, f"ALTER DATABASE {database.name} SET default_tablespace = {tablespace}")
    environment = database.environment | {
        "PARTMAN_ENV": "production",
        "PARTMAN_DATA_DIR": str(installed),
    }

    def said(command: str) -> str:
        run = ("partman", command, "--scratch", "embedded")
        return zygote.run(*run, environment=environment).stdout

    note = f"it cannot set default_tablespace = {tablespace}."
    try:
        for command in ("check", "drift", "plan", "adopt"):
            if command == "plan":
                execute(database.url, f"DELETE FROM migration WHERE name = '{MIGRATIONS[-1]}'")
            if command == "adopt":
                execute(database.url, "DROP TABLE migration, migration_history CASCADE")
            notes = " ".join(said(command).split()).partition("Note: ")[2]
            assert note in notes, command
    finally:
        embedded.stop(installed)
