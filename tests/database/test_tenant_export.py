"""One organization as a file: all of its rows there and back, and what is refused."""

import errno
import gzip
import json
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from partman.engine import PartmanEngine
from partman.errors import (
    PermissionDeniedError,
    TenantExistsError,
    TenantFileError,
    TenantImportRefusedError,
    TenantNotFoundError,
    TenantNotPortableError,
)
from partman.operator import (
    count_rows,
    delete_tenant,
    export_tenant,
    exporting,
    import_tenant,
    importing,
)
from partman.operator.tenant_rows import tenant_rows
from partman.organizations import ORGANIZATIONS
from partman.tables import TABLES, TENANCY
from tests.tenants import Tenants, in_use

pytestmark = pytest.mark.same_on_every_version

if TYPE_CHECKING:
    import asyncpg

ODD = 'tab\t newline\n quote" backslash\\ é \U0001f600 null'
ROWS = (
    "UPDATE partners SET name = $1, updated_at = '2020-01-02 03:04:05.678901+00'",
    "INSERT INTO users (organization_id, email, password_hash, first_name, last_name, role)"
    " SELECT id, n || '@example.com', 'secret hash', $1, 'L', 'viewer'"
    " FROM organizations, generate_series(1, 7) AS n",
    "INSERT INTO opportunities (organization_id, partner_id, assigned_user_id, customer_name,"
    " deal_value, stage, expected_close_date, notes) SELECT p.organization_id, p.id, u.id, 'c',"
    " 12345678901.05, 's', '2026-12-31', $1 FROM partners p JOIN users u USING (organization_id)",
    "INSERT INTO alerts (organization_id, user_id, alert_type, entity_type, title, message)"
    " SELECT organization_id, id, 'x', 'partner', 't', $1 FROM users",
    "INSERT INTO quarterly_goals (organization_id, user_id, quarter, year, goal_type, target_value)"
    " SELECT organization_id, id, 1, 2026, $1::varchar(100), 0.01 FROM users",
)


@pytest.fixture
async def engine(tenants: Tenants, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[PartmanEngine]:
    monkeypatch.setattr(exporting, "_PORTION", 3)
    monkeypatch.setattr(importing, "_PORTION", 3)
    async with in_use(tenants.engine(), monkeypatch, pool=True) as engine:
        for statement in ROWS:
            await tenants.as_owner(statement, ODD)
        yield engine


async def contents(tenants: Tenants) -> dict[str, list[str]]:
    return {
        table._meta.tablename: [
            row["row"]
            for row in await tenants.as_owner(
                f"SELECT t::text AS row FROM {table._meta.tablename} t ORDER BY 1"
            )
        ]
        for table in TABLES
    }


async def delete(tenants: Tenants) -> None:
    await tenants.as_owner("DELETE FROM organizations WHERE id = $1", tenants.first)


def names(folder: Path) -> list[str]:
    return [each.name for each in folder.iterdir()]


async def exported(tenants: Tenants, folder: Path, **options: Any) -> Path:
    path = folder / "first.gz"
    await export_tenant(ORGANIZATIONS, tenants.first, path, **options)
    return path


async def test_all_rows_are_there_again_as_they_were(
    tenants: Tenants, engine: PartmanEngine, tmp_path: Path
) -> None:
    done: list[tuple[str, int]] = []
    before = await contents(tenants)
    path = tmp_path / "first.gz"
    header = await export_tenant(
        ORGANIZATIONS, tenants.first, path, progress=lambda *each: done.append(each)
    )
    assert sorted(done) == [
        ("alerts", 7), ("opportunities", 7), ("organizations", 1), ("partners", 1),
        ("quarterly_goals", 7), ("users", 7),
    ]  # fmt: skip
    assert path.stat().st_mode & 0o777 == 0o600
    text = gzip.decompress(path.read_bytes()).decode()
    assert str(tenants.first) in text
    assert str(tenants.second) not in text

    await delete(tenants)
    assert await contents(tenants) != before
    assert await import_tenant(ORGANIZATIONS, path) == header
    assert await contents(tenants) == before


async def test_a_file_does_not_depend_on_the_settings_of_a_login(
    tenants: Tenants, engine: PartmanEngine, tmp_path: Path
) -> None:
    before = await contents(tenants)
    of_login = f"ALTER ROLE {tenants.role} IN DATABASE {tenants.database.name} SET datestyle"
    await tenants.as_owner(f"{of_login} = 'German, DMY'")
    path = await exported(tenants, tmp_path)
    await tenants.as_owner(f"{of_login} = 'SQL, MDY'")
    await delete(tenants)
    await import_tenant(ORGANIZATIONS, path)
    assert await contents(tenants) == before


async def test_a_file_is_of_one_moment(
    tenants: Tenants, engine: PartmanEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    applied = exporting.applied_migrations

    async def meanwhile(connection: Any) -> Any:
        await tenants.add_partner(tenants.first, "too late")
        return await applied(connection)

    monkeypatch.setattr(exporting, "applied_migrations", meanwhile)
    text = gzip.decompress((await exported(tenants, tmp_path)).read_bytes()).decode()
    assert "too late" not in text
    assert "too late" in await tenants.partners()


async def test_the_file_has_a_header_rows_and_an_end(
    tenants: Tenants, engine: PartmanEngine, tmp_path: Path
) -> None:
    path = await exported(tenants, tmp_path, secrets=False)
    lines = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    header, *rows, end = lines
    assert header["format"] == "partman tenant"
    assert header["version"] == 1
    assert header["tenant_name"] == "first"
    assert header["without_secrets"] == ["users.password_hash"]
    assert [len(row) for row in rows] == [
        len(table["columns"]) for table in header["tables"] for _ in range(table["rows"])
    ]
    assert end["end"]["rows"] == len(rows) == 30
    assert "secret hash" not in str(lines)
    with pytest.raises(TenantImportRefusedError, match=r"without users\.password_hash"):
        await import_tenant(ORGANIZATIONS, path)


def _without_end(data: bytes) -> bytes:
    return gzip.compress(b"".join(gzip.decompress(data).splitlines(keepends=True)[:-1]))


def _changed(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    return lambda data: gzip.compress(gzip.decompress(data).replace(old, new, 1))


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "half": lambda data: data[: len(data) // 2],
    "without its last byte": lambda data: data[:-1],
    "without its end": _without_end,
    "without a row": lambda data: gzip.compress(
        b"".join(
            line for n, line in enumerate(gzip.decompress(data).splitlines(keepends=True)) if n != 9
        )
    ),
    "another value": _changed(b"secret hash", b"another one"),
    "a line more": lambda data: gzip.compress(gzip.decompress(data) + b"[]\n"),
    "no gzip": lambda _: b"hello\n",
    "no JSON": lambda _: gzip.compress(b"hello\n"),
    "other JSON": lambda _: gzip.compress(b'{"format": "x"}\n'),
    "a later version": _changed(b'"version":1', b'"version":2'),
    "an odd header": _changed(b'"tables":[{', b'"tables":[7,{'),
    "empty": lambda _: b"",
    "a flipped bit": lambda data: data[:200] + bytes([data[200] ^ 1]) + data[201:],
}


async def test_a_file_that_is_not_whole_is_refused_and_imports_nothing(
    tenants: Tenants, engine: PartmanEngine, tmp_path: Path
) -> None:
    path = await exported(tenants, tmp_path)
    whole = path.read_bytes()
    await delete(tenants)
    before = await contents(tenants)
    for damage, apply in DAMAGES.items():
        path.write_bytes(apply(whole))
        with pytest.raises(TenantFileError, match="Nothing was imported"):
            await import_tenant(ORGANIZATIONS, path)
        assert await contents(tenants) == before, damage
    path.unlink()
    with pytest.raises(TenantFileError, match="No such file"):
        await import_tenant(ORGANIZATIONS, path)


async def test_no_file_is_left_when_it_cannot_be_written_or_the_export_fails(
    tenants: Tenants,
    engine: PartmanEngine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    killed = tmp_path / "first.gz.partial"
    killed.write_text("left by an export that was killed")
    with monkeypatch.context() as patch:

        def full(_: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        patch.setattr(os, "fsync", full)
        with pytest.raises(TenantFileError, match="No space left on device"):
            await exported(tenants, tmp_path)
    assert names(tmp_path) == []

    with pytest.raises(ZeroDivisionError):
        await exported(tenants, tmp_path, progress=lambda *_: 1 // 0)
    assert names(tmp_path) == []

    with pytest.raises(TenantFileError, match="No such file or directory"):
        await export_tenant(ORGANIZATIONS, tenants.first, tmp_path / "nowhere" / "first.gz")
    await exported(tenants, tmp_path)
    with pytest.raises(TenantFileError, match="exists already"):
        await exported(tenants, tmp_path)
    with pytest.raises(TenantNotFoundError):
        await export_tenant(ORGANIZATIONS, "00000000-0000-4000-8000-00000000000f", tmp_path / "x")
    assert names(tmp_path) == ["first.gz"]


async def test_an_import_is_refused_where_it_does_not_fit(
    tenants: Tenants, engine: PartmanEngine, tmp_path: Path
) -> None:
    path = await exported(tenants, tmp_path)
    with pytest.raises(TenantExistsError, match="There is the organization first"):
        await import_tenant(ORGANIZATIONS, path)
    await delete(tenants)
    before = await contents(tenants)
    for change, says, back in (
        (
            "INSERT INTO migration (name, app_name, ran_on) VALUES ('2030', 'other', now())",
            "applied only here: other 2030",
            "DELETE FROM migration WHERE name = '2030'",
        ),
        (
            "ALTER TABLE partners ADD COLUMN extra int",
            "other tables or columns",
            "ALTER TABLE partners DROP COLUMN extra",
        ),
        (
            "ALTER TABLE users ADD CONSTRAINT few CHECK (email <> '5@example.com') NOT VALID",
            r'Row \d of users was refused: .* "few"',
            "ALTER TABLE users DROP CONSTRAINT few",
        ),
        (
            "CREATE RULE none AS ON INSERT TO alerts DO INSTEAD NOTHING",
            "alerts has 0 rows of the tenant after 7 were inserted",
            "DROP RULE none ON alerts",
        ),
    ):
        await tenants.as_owner(change)
        with pytest.raises(TenantImportRefusedError, match=says):
            await import_tenant(ORGANIZATIONS, path)
        await tenants.as_owner(back)
        assert await contents(tenants) == before
    await tenants.as_owner(
        "UPDATE organizations SET subdomain = 'first' WHERE id = $1", tenants.second
    )
    with pytest.raises(TenantExistsError, match=str(tenants.second)):
        await import_tenant(ORGANIZATIONS, path)


async def test_rows_that_refer_to_rows_of_their_table_come_after_them(
    tenants: Tenants, engine: PartmanEngine, tmp_path: Path
) -> None:
    """A chain whose rows are stored in the wrong order: the last one first."""
    for statement in (
        "ALTER TABLE users ADD COLUMN boss uuid",
        "ALTER TABLE users ADD CONSTRAINT boss FOREIGN KEY (organization_id, boss)"
        " REFERENCES users (organization_id, id)",
        "UPDATE users u SET boss = b.id FROM users b WHERE b.organization_id = u.organization_id"
        " AND b.email = translate(left(u.email, 1), '123456', '234567') || '@example.com'"
        " AND u.email <> '7@example.com'",
    ):
        await tenants.as_owner(statement)
    before = await contents(tenants)
    path = await exported(tenants, tmp_path)
    await delete(tenants)
    await import_tenant(ORGANIZATIONS, path)
    assert await contents(tenants) == before

    path.unlink()
    await tenants.as_owner(
        "UPDATE users SET boss = (SELECT id FROM users WHERE email = '1@example.com'"
        " AND organization_id = $1) WHERE email = '7@example.com' AND organization_id = $1",
        tenants.first,
    )
    with pytest.raises(TenantNotPortableError, match="7 rows of users refer to each other"):
        await exported(tenants, tmp_path)
    await tenants.as_owner("ALTER TABLE users ALTER CONSTRAINT boss DEFERRABLE")
    before = await contents(tenants)
    path = await exported(tenants, tmp_path)
    await tenants.as_owner("ALTER TABLE users DROP CONSTRAINT boss")
    await delete(tenants)
    await tenants.as_owner(
        "ALTER TABLE users ADD CONSTRAINT boss FOREIGN KEY (organization_id, boss)"
        " REFERENCES users (organization_id, id) DEFERRABLE"
    )
    await import_tenant(ORGANIZATIONS, path)
    assert await contents(tenants) == before


async def test_tables_that_refer_to_each_other_in_a_circle_are_named(
    tenants: Tenants, engine: PartmanEngine, tmp_path: Path
) -> None:
    await tenants.as_owner("ALTER TABLE users ADD COLUMN best uuid")
    await tenants.as_owner(
        "ALTER TABLE users ADD CONSTRAINT best FOREIGN KEY (best) REFERENCES opportunities (id)"
    )
    with pytest.raises(TenantNotPortableError, match=r"opportunities.* in a circle"):
        await exported(tenants, tmp_path)
    await tenants.as_owner("ALTER TABLE users ALTER CONSTRAINT best DEFERRABLE")
    await exported(tenants, tmp_path)


async def test_every_tenant_table_comes_after_those_that_it_refers_to(
    tenants: Tenants, engine: PartmanEngine, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    found = await tenant_rows(connection, ORGANIZATIONS, TENANCY)
    names = [table.name for table in found]
    assert set(names) == {table._meta.tablename for table in TABLES}
    assert names[0] == "organizations"
    assert names.index("partners") < names.index("opportunities") > names.index("users")


async def test_an_export_without_the_privilege_is_refused_and_leaves_no_file(
    tenants: Tenants, engine: PartmanEngine, tmp_path: Path
) -> None:
    await tenants.as_owner("REVOKE SELECT ON alerts FROM partman_operator")
    with pytest.raises(PermissionDeniedError, match="permission denied for table alerts"):
        await exported(tenants, tmp_path)
    assert names(tmp_path) == []


async def test_a_deleted_organization_can_be_imported_again(
    tenants: Tenants, engine: PartmanEngine, tmp_path: Path
) -> None:
    path = await exported(tenants, tmp_path)
    seen = await count_rows(ORGANIZATIONS, tenants.first)
    await delete_tenant(ORGANIZATIONS, tenants.first, seen=seen)
    await import_tenant(ORGANIZATIONS, path)
    assert await count_rows(ORGANIZATIONS, tenants.first) == seen
