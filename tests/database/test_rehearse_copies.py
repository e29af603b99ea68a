"""The copy of `partman rehearse` has the rows that it should have, or is refused."""

import asyncio
import gzip
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest

from partman.database import embedded, pg_dump
from partman.database.connection import connected
from partman.errors import (
    ConcurrentSchemaChangeError,
    DatabaseUnavailableError,
    MaskError,
    PermissionDeniedError,
    RehearsalError,
)
from partman.rehearsal import source
from partman.rehearsal.copies import Copy, Wanted, copy_of
from partman.rehearsal.identity import Relation, relation_between
from partman.rehearsal.personal import VARIABLE
from partman.rehearsal.scale import Scale
from partman.settings import Settings
from partman.tables import ALL_TABLES, Partner
from tests.support import Database, as_role, execute, fetch, query, temporary_database

ORGANIZATIONS = 8
FILLED = [
    "INSERT INTO organizations (id, name, subdomain) SELECT gen_random_uuid(), 'Org ' || i,"
    f" 'org-' || i FROM generate_series(1, {ORGANIZATIONS}) AS i",
    "INSERT INTO users (organization_id, email, password_hash, first_name, last_name, role)"
    " SELECT id, email, 'h', 'Ann', 'B', 'admin' FROM organizations,"
    " unnest(ARRAY['ann@example.com', 'bob@example.com', 'Bob@example.com']) AS email",
    "INSERT INTO partners (organization_id, name, domain, website, commission_structure,"
    " primary_contact) SELECT id, 'Partner of ' || name, 'example.com',"
    " CASE WHEN subdomain = 'org-1' THEN NULL ELSE 'https://example.com/' END, '{}',"
    ' \'{"name": "Carl", "phones": ["1"]}\' FROM organizations',
    "INSERT INTO opportunities (organization_id, partner_id, assigned_user_id, customer_name,"
    " deal_value, stage, expected_close_date, notes)"
    " SELECT p.organization_id, p.id, u.id, 'Customer ' || i, 5, 'proposal',"
    " '2027-01-01', E'a\\n\\\\b' FROM partners p JOIN users u USING (organization_id),"
    " generate_series(1, 3) AS i",
    "INSERT INTO console_accounts (username, email, password, first_name, last_name, active, admin,"
    " superuser, organization_id) SELECT subdomain || '@example.com', subdomain || '@example.com',"
    " 'pbkdf2_sha256$1$a$0', 'Eve', 'E', true, true, false, id FROM organizations",
    "INSERT INTO console_sessions (token, user_id, expiry_date, max_expiry_date)"
    " SELECT id::text, id, now(), now() FROM console_accounts",
]


@pytest.fixture(scope="module")
def filled(template: Database) -> Any:
    """The project's own tables, with the rows of several organizations."""
    with temporary_database(template.name) as database:
        execute(database.url, *FILLED)
        yield database


def settings_of(database: Database) -> Settings:
    return Settings.load({"DATABASE_URL": database.url})


async def copied(
    database: Database, wanted: Wanted, look: Callable[[Copy], Any] | None = None
) -> dict[str, list[dict[str, Any]]]:
    """Copy, and return the copy's rows by table."""
    settings = settings_of(database)
    async with copy_of(settings, settings, wanted, lambda _: None) as copy:
        if look is not None:
            look(copy)
        assert copy.settings.database_url is not None
        return await rows(copy.settings.database_url)


async def rows(url: str) -> dict[str, list[dict[str, Any]]]:
    return {
        table._meta.tablename: [
            dict(row)
            for row in await fetch(url, f"SELECT * FROM {table._meta.tablename} ORDER BY 1")
        ]
        for table in ALL_TABLES
    }


async def test_a_copy_has_all_rows(filled: Database) -> None:
    found = await copied(filled, Wanted(jobs=3, rate=50_000_000))
    assert found == await rows(filled.url)
    assert all(found[name] for name in ("opportunities", "users", "console_sessions"))


async def test_a_sample_keeps_the_keys(filled: Database) -> None:
    """The keys of the copy are validated when they are built; here its rows are counted."""
    seen: list[Copy] = []
    found = await copied(filled, Wanted(percent=25), seen.append)
    chosen = {each["id"] for each in found["organizations"]}
    everything = await rows(filled.url)
    assert len(chosen) == 2
    for table, all_rows in everything.items():
        if table not in ("organizations", "console_sessions"):
            of_chosen = [row for row in all_rows if row["organization_id"] in chosen]
            assert found[table] == of_chosen, table
    accounts = {row["id"] for row in found["console_accounts"]}
    assert {row["user_id"] for row in found["console_sessions"]} == accounts
    there_are, here_are = len(everything["opportunities"]), len(found["opportunities"])
    assert seen[0].scale["opportunities"] == Scale(here_are, there_are)
    assert there_are > here_are > 0
    assert seen[0].facts.sample == f"2 rows of {len(everything['organizations'])} of organizations"
    again = await copied(filled, Wanted(percent=25))
    assert again == found, "always the same ones"


@pytest.mark.same_on_every_version
async def test_one_organization_is_copied_by_name_or_id(filled: Database) -> None:
    by_name = await copied(filled, Wanted(tenant="org-3"))
    [organization] = by_name["organizations"]
    assert organization["subdomain"] == "org-3"
    assert await copied(filled, Wanted(tenant=str(organization["id"]))) == by_name
    assert len(by_name["opportunities"]) == 9
    with pytest.raises(RehearsalError, match="no row with 'nobody' as id or subdomain"):
        await copied(filled, Wanted(tenant="nobody"))


@pytest.mark.same_on_every_version
async def test_a_mask_replaces_everything_personal(
    filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "a key")
    before, after = await rows(filled.url), await copied(filled, Wanted(mask=True))
    for table in ALL_TABLES:
        name = table._meta.tablename
        marked = set(getattr(table, "personal", {}))
        names = {column._meta.name: column._meta.db_column_name for column in table._meta.columns}
        assert len(before[name]) == len(after[name])
        for old, new in zip(before[name], after[name], strict=True):
            for attribute, column in names.items():
                if attribute not in marked or old[column] in (None, "{}"):
                    assert new[column] == old[column]
                else:
                    assert new[column] not in (None, old[column]), (name, column)
    # The same value is the same everywhere; two that differ stay different.
    emails = {
        old["email"]: new["email"] for old, new in zip(before["users"], after["users"], strict=True)
    }
    assert len(set(emails.values())) == len(emails) == 4
    assert all(re.fullmatch("[0-9a-f]{24}@example.invalid", each) for each in emails.values())
    assert {tuple(sorted(json.loads(row["primary_contact"]))) for row in after["partners"]} == {
        ("name", "phones")
    }
    assert await copied(filled, Wanted(mask=True)) == after, "with the same key"
    monkeypatch.setenv(VARIABLE, "another key")
    other = await copied(filled, Wanted(mask=True))
    assert other["users"] != after["users"]


@pytest.mark.same_on_every_version
async def test_a_mask_that_breaks_a_check_names_the_column(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Partner, "personal", {"status": "text"})
    await fetch(database.url, "INSERT INTO organizations (name, subdomain) VALUES ('O', 'o')")
    await fetch(
        database.url,
        "INSERT INTO partners (organization_id, name, domain, commission_structure)"
        " SELECT id, 'P', 'example.com', '{}' FROM organizations",
    )
    await fetch(database.url, "ALTER TABLE partners ADD CHECK (status = 'active')")
    with pytest.raises(MaskError, match=r"partners\.status.*partners_status_check"):
        await copied(database, Wanted(mask=True))


@pytest.mark.same_on_every_version
@pytest.mark.parametrize(
    ("personal", "said"),
    [
        ({"nothing": "name"}, "marks nothing, which is no column"),
        ({"name": "secret"}, "says 'secret' of name"),
        ({"created_at": "text"}, "has the type timestamp with time zone"),
        ({"primary_contact": "text"}, "has the type jsonb, which 'text' does not fit"),
    ],
)
async def test_a_wrong_mark_is_refused(
    filled: Database, monkeypatch: pytest.MonkeyPatch, personal: dict[str, str], said: str
) -> None:
    monkeypatch.setattr(Partner, "personal", personal)
    with pytest.raises(MaskError, match=said):
        await copied(filled, Wanted(mask=True))


def dumped(database: Database, folder: Path, kind: str, *options: str) -> Path:
    major = int(query(database.url, "SHOW server_version_num")[0][0]) // 10000
    program = pg_dump.find(major)
    if program is None:
        pytest.skip("No pg_dump fits this server.")
    file = folder / f"dump.{kind}"
    subprocess.run(
        [program, f"--format={kind}", f"--file={file}", *options, database.url], check=True
    )
    return file


async def test_a_dump_of_each_format_is_restored(filled: Database, tmp_path: Path) -> None:
    expected = await rows(filled.url)
    for kind in ("plain", "custom", "directory", "tar"):
        file = await asyncio.to_thread(dumped, filled, tmp_path, kind)
        assert await copied(filled, Wanted(dump=file)) == expected, kind


@pytest.mark.same_on_every_version
async def test_what_is_no_dump_is_refused(filled: Database, tmp_path: Path) -> None:
    create = await asyncio.to_thread(dumped, filled, tmp_path, "plain", "--create")
    zipped = tmp_path / "zipped"
    zipped.write_bytes(gzip.compress(b"SELECT 1;"))
    shell, broken, early = tmp_path / "shell", tmp_path / "broken", tmp_path / "early"
    shell.write_text("SELECT 1;\n\\! echo\n")
    broken.write_text("CREATE TABLE ok (id int);\nCREATE TABLE nothing (id nothing);\n")
    early.write_bytes(b"PGDMP, and no more")
    for file, said in {
        create: r"has a command of psql's \(\\connect",
        zipped: "compressed as a whole",
        shell: r"line 2, has a command of psql's \(\\! echo\)",
        broken: 'psql failed: type "nothing" does not exist',
        early: "pg_restore failed",
        tmp_path: "without a toc.dat",
        tmp_path / "none": "No such file or directory",
    }.items():
        with pytest.raises(RehearsalError, match=said):
            await copied(filled, Wanted(dump=file))
    assert not await fetch(filled.url, "SELECT FROM pg_class WHERE relname = 'ok'")


@pytest.mark.same_on_every_version
async def test_a_missing_program_is_named(
    filled: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = await asyncio.to_thread(dumped, filled, tmp_path, "custom")
    monkeypatch.setattr(pg_dump, "_candidates", lambda _: iter(()))
    with pytest.raises(RehearsalError, match="pg_restore is not installed"):
        await copied(filled, Wanted(dump=file))
    with pytest.raises(RehearsalError, match="pg_dump is not installed"):
        await copied(filled, Wanted())


async def test_rows_that_the_role_cannot_see_are_an_error(
    empty_database: Database, stranger: str
) -> None:
    role = urlsplit(stranger).username
    for statement in (
        "CREATE TABLE hidden (id int PRIMARY KEY)",
        "ALTER TABLE hidden ENABLE ROW LEVEL SECURITY",
        f"GRANT SELECT ON hidden TO {role}",
    ):
        await fetch(empty_database.url, statement)
    owner = settings_of(empty_database)
    hidden = owner.on(as_role(empty_database.url, str(role)), "DATABASE_URL")
    try:
        with pytest.raises(
            PermissionDeniedError, match=r"cannot see all rows: .*row-level security"
        ):
            async with copy_of(hidden, owner, Wanted(), lambda _: None):
                pass
    finally:
        await fetch(empty_database.url, "DROP TABLE hidden")  # with the rights of the role


@pytest.mark.same_on_every_version
async def test_the_server_is_asked_which_database_it_is(
    filled: Database, other_database: Database
) -> None:
    live = settings_of(filled)
    alias = filled.url.replace("sslmode=disable", "sslmode=disable&application_name=x")
    assert await relation_between(live, live.on(alias, "--on")) is Relation.SAME
    other = settings_of(other_database)
    assert await relation_between(live, other) is Relation.SAME_SERVER


async def test_another_server_gets_the_roles_for_as_long_as_it_needs_them(
    empty_database: Database, installed: Path, stranger: str
) -> None:
    role = str(urlsplit(stranger).username)
    await fetch(empty_database.url, "CREATE TABLE t (id int PRIMARY KEY, note text)")
    await fetch(empty_database.url, "INSERT INTO t VALUES (1, 'x')")
    await fetch(empty_database.url, f"GRANT SELECT ON t TO {role}")
    live = replace(settings_of(empty_database), data_directory=installed)
    scratch = live.on_embedded_server
    roles = "SELECT rolname FROM pg_roles WHERE rolname = $1"
    # Of a rehearsal that was killed: its session is over, and so its lock.
    left = "partman: created for a rehearsal, 1.2"
    url = await asyncio.to_thread(embedded.start, installed)
    try:
        await fetch(url, "CREATE ROLE left_behind")
        await fetch(url, f"COMMENT ON ROLE left_behind IS '{left}'")
        async with copy_of(live, scratch, Wanted(), lambda _: None) as copy:
            copied_url = str(copy.settings.database_url)
            [copied_row] = await fetch(copied_url, "SELECT id, note FROM t")
            assert dict(copied_row) == {"id": 1, "note": "x"}
            privilege = (
                "SELECT FROM pg_roles WHERE rolname = $1"
                " AND has_table_privilege(oid, 't', 'SELECT')"
            )
            assert await fetch(copied_url, privilege, role)
            assert await fetch(url, roles, role)
        assert not await fetch(url, roles, role)
        assert not await fetch(url, roles, "left_behind")
    finally:
        await fetch(empty_database.url, "DROP TABLE t")
        await asyncio.to_thread(embedded.stop, installed)


@pytest.mark.same_on_every_version
async def test_disk_is_asked_for_where_it_can_be(
    empty_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1024))
    live = replace(settings_of(empty_database), data_directory=tmp_path / "none")
    with pytest.raises(RehearsalError, match=r"may need .* and 1 kB are free"):
        async with copy_of(live, live.on_embedded_server, Wanted(), lambda _: None):
            pass


@pytest.mark.same_on_every_version
async def test_a_lost_connection_to_the_source_is_told(filled: Database) -> None:
    """While the rows are on their way: the session that reads them is ended."""
    ended: list[Any] = []
    end = (
        "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'partman rehearse: source'"
    )

    def report(said: str) -> None:
        if said.startswith("Copying:") and not ended:
            # In a thread of its own, while no row goes on: so the other tables are still to come.
            with ThreadPoolExecutor(1) as other:
                ended.extend(other.submit(query, filled.url, end).result())

    settings = settings_of(filled)
    with pytest.raises(DatabaseUnavailableError, match=r"cannot be copied|connection"):
        async with copy_of(settings, settings, Wanted(jobs=1), report):
            pass
    assert ended


@pytest.mark.same_on_every_version
async def test_a_lock_on_the_source_is_not_waited_for(
    filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(source._STARTUP, "lock_timeout", "50")
    settings = settings_of(filled)
    async with connected(settings) as connection:
        await connection.execute("BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(ConcurrentSchemaChangeError, match="another session is changing"):
            await copied(filled, Wanted())
