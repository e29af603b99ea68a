"""bulk_insert(): what a row may be, what is refused and how it is told, all or nothing."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from piccolo.columns import (
    JSON,
    Array,
    Bytea,
    Column,
    Integer,
    Interval,
    Real,
    Serial,
    SmallInt,
    Text,
    Time,
)
from piccolo.table import Table

from benchmarks import bulk_insert as benchmark
from partman.bulk import bulk_insert, given_rows, insertion
from partman.engine import PartmanEngine
from partman.errors import PartmanError, RowRefusedError, TenancyError
from partman.tables import Alert, Opportunity, Partner, User
from partman.tables.alert import Priority
from partman.tables.columns import TenantReference, Varchar
from partman.tables.tenant import TenantTable
from partman.tenant import tenant
from tests.tenants import Tenants, in_use

pytestmark = pytest.mark.same_on_every_version

PARTNER: dict[str, Any] = {"domain": "example.com", "commission_structure": {"type": "referral"}}
USER: dict[str, Any] = {
    "password_hash": "hidden",
    "first_name": "Ada",
    "last_name": "L",
    "role": "viewer",
}


class Mood(StrEnum):
    """An enum of the database."""

    GOOD = "good"
    BAD = "it's \\"


class MoodColumn(Column):
    """A column of a type that the driver does not know."""

    value_type = str
    default = Mood.GOOD


def _declared() -> Any:
    class Sample(TenantTable, Table, tablename="samples"):
        id = Serial(primary_key=True)  # type: ignore[assignment]
        mood = MoodColumn()
        code = Varchar(length=3, default=None, null=True)
        words = Array(base_column=Text(), default=list)
        grid = Array(base_column=Array(base_column=Integer()), default=None, null=True)
        blob = Bytea(default=b"", null=True)
        lasts = Interval(default=timedelta(0))
        at = Time(default=None, null=True)
        part = Real(default=0.5)
        small = SmallInt(default=None, null=True)
        document = JSON(default={}, null=True)
        parent = TenantReference("self", null=True, db_column_name="parent_id")

    return Sample


Sample = _declared()

SAMPLES = """
CREATE TYPE mood AS ENUM ('good', 'it''s \\');
CREATE TABLE samples (
    id serial PRIMARY KEY, organization_id uuid NOT NULL, mood mood NOT NULL, code char(3),
    words text[], grid integer[], blob bytea, lasts interval, at time, part real, small smallint,
    document json, twice real GENERATED ALWAYS AS (part * 2) STORED, parent_id integer,
    UNIQUE (organization_id, id),
    FOREIGN KEY (organization_id, parent_id) REFERENCES samples (organization_id, id)
);
GRANT SELECT, INSERT ON samples TO partman_app;
GRANT USAGE ON SEQUENCE samples_id_seq TO partman_app;
"""


@pytest.fixture
async def engine(tenants: Tenants, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[PartmanEngine]:
    async with in_use(tenants.engine(), monkeypatch, pool=True) as engine:
        yield engine


@pytest.fixture
def portions_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """Statements of two, then three rows: more than one, of few rows."""
    monkeypatch.setattr(given_rows, "FIRST_PORTION", 2)
    monkeypatch.setattr(given_rows, "LARGEST_PORTION", 3)


def partners(names: list[str]) -> Iterator[dict[str, Any]]:
    return ({"name": name, **PARTNER} for name in names)


async def test_rows_get_defaults_and_the_tenant_as_from_piccolo(
    tenants: Tenants, engine: PartmanEngine
) -> None:
    async with tenant(tenants.first):
        assert await bulk_insert(Partner, partners(["one", "two"])) == 2
        first = await Partner.objects().get(Partner.name == "one")
        one = Partner(organization=tenants.first, name="inserted", **PARTNER)
        await one.save()
        [theirs, ours] = await Partner.select(
            Partner.relationship_health,
            Partner.primary_contact,
            Partner.status,
            Partner.commission_structure,
            Partner.agreement_details,
        ).where(Partner.name.is_in(["one", "inserted"]))
        assert theirs == ours
        two = await Partner.objects().get(Partner.name == "two")
    assert first is not None
    assert two is not None
    assert isinstance(first.id, UUID)
    assert first.id != two.id
    assert abs(first.created_at - datetime.now(UTC)) < timedelta(hours=1)


async def test_enums_references_objects_and_both_names_of_a_column_are_taken(
    tenants: Tenants, engine: PartmanEngine
) -> None:
    async with tenant(tenants.first):
        partner = await Partner.objects().first()
        assert partner is not None
        user = User(organization=tenants.first, email="a@example.com", **USER)
        await bulk_insert(User, [user])
        deal: dict[str, Any] = {"deal_value": Decimal("1.50"), "stage": "x", "customer_name": "c"}
        deal["expected_close_date"] = date(2026, 12, 1)
        count = await bulk_insert(
            Opportunity,
            [
                {
                    **deal,
                    "partner": partner,
                    "assigned_user": user.id,
                    "attachments": [1, {"a": 2}],
                },
                {**deal, "partner_id": partner.id, "organization": tenants.first},
            ],
        )
        await bulk_insert(Alert, [GOOD[Alert], GOOD[Alert] | {"priority": Priority.HIGH}])
        found = await Opportunity.select(
            Opportunity.partner, Opportunity.assigned_user, Opportunity.attachments
        ).order_by(Opportunity.assigned_user)
        assert sorted(await Alert.select(Alert.priority).output(as_list=True)) == [
            "high",
            "medium",
        ]
    assert count == 2
    assert found[0]["partner_id"] == found[1]["partner_id"] == partner.id
    assert found[0]["assigned_user_id"] == user.id
    assert found[0]["attachments"].replace(" ", "") == '[1,{"a":2}]'


async def test_types_that_the_driver_does_not_know_arrive_as_they_are(
    tenants: Tenants, engine: PartmanEngine
) -> None:
    await _make_samples(tenants)
    odd = ['"', "\\", "a,b", "{}", "", "NULL", None, "é"]
    row = {
        "mood": Mood.BAD, "code": "abc", "words": odd, "grid": [[1, 2], [3, None]],
        "blob": b"\x00\xff", "lasts": timedelta(days=-1, microseconds=5), "part": float("inf"),
        "at": datetime(2026, 1, 1, 12, 30).time(), "small": -3, "document": {"a": [1]},
    }  # fmt: skip
    async with tenant(tenants.first) as block:
        assert await bulk_insert(Sample, [row, {}]) == 2
        [found, default] = await block.connection.fetch(
            "SELECT mood::text, code::text, words, grid::text, blob, lasts, at, part, small,"
            " document::text, twice, parent_id, id FROM samples ORDER BY id"
        )
    *values, identity = found.values()
    assert values == [
        "it's \\", "abc", odd, "{{1,2},{3,NULL}}", b"\x00\xff", row["lasts"], row["at"],
        float("inf"), -3, '{"a": [1]}', float("inf"), None,
    ]  # fmt: skip
    *values, second = default.values()
    assert values == [
        "good", None, [], None, b"", timedelta(0), None, 0.5, None, "{}", 1.0, None,
    ]  # fmt: skip
    assert second == identity + 1


@pytest.mark.parametrize("at", [0, 1, 2, 4, 6])
async def test_the_refused_row_is_named_and_nothing_is_left(
    tenants: Tenants, engine: PartmanEngine, portions_of_two: None, at: int
) -> None:
    rows: list[dict[str, Any]] = list(partners([f"new {n}" for n in range(7)]))
    rows[at]["relationship_health"] = 101
    async with tenant(tenants.first):
        with pytest.raises(RowRefusedError) as refused:
            await bulk_insert(Partner, iter(rows))
        assert await bulk_insert(Partner, partners(["afterwards"])) == 1
    assert refused.value.index == at
    assert refused.value.values["relationship_health"] == 101
    for part in (f"rows[{at}]", "relationship_health_range", f"name='new {at}'", "None of the"):
        assert part in str(refused.value)
    assert isinstance(refused.value.__cause__, asyncpg.CheckViolationError)
    assert await tenants.partners() == [
        "afterwards",
        "partner of the first",
        "partner of the second",
    ]


REFUSED: dict[str, tuple[type[Table], dict[str, Any], str]] = {
    "no text": (Partner, {"name": 5}, "name: expected str, got int"),
    "too long": (Partner, {"name": "x" * 256}, "value too long for type character varying(255)"),
    "null": (Partner, {"name": None}, 'null value in column "name"'),
    "another tenant": (Partner, {"organization": uuid4()}, "row-level security policy"),
    "no such row": (Alert, {"user": uuid4()}, "violates foreign key constraint"),
    "no JSON": (Partner, {"primary_contact": "{"}, "invalid input syntax for type json"),
    "unknown": (Partner, {"nam": 1}, "has a value for 'nam', which is no column of Partner"),
    "both names": (Partner, {"organization_id": 1, "organization": 1}, "which are one column"),
    "enum": (Sample, {"mood": "odd"}, 'invalid input value for enum mood: "odd"'),
    "cut": (Sample, {"code": "abcd"}, "value too long for type character(3)"),
    "some without": (Sample, {"id": 5}, "leaves id to the database, and other rows do not"),
}
GOOD: dict[Any, dict[str, Any]] = {
    Partner: {"name": "new", **PARTNER},
    Alert: {"alert_type": "x", "entity_type": "partner", "title": "t", "message": "m"},
    Sample: {},
}


async def test_each_kind_of_wrong_row_is_refused_with_its_reason(
    tenants: Tenants, engine: PartmanEngine
) -> None:
    await _make_samples(tenants)
    for kind, (table, wrong, reason) in REFUSED.items():
        good = GOOD[table]
        async with tenant(tenants.first):
            with pytest.raises(RowRefusedError) as refused:
                await bulk_insert(table, [good, good, {**good, **wrong}])
        index = 0 if kind == "some without" else 2
        assert refused.value.index == index, kind
        assert reason in str(refused.value), kind
        [left] = await tenants.as_owner(f"SELECT count(*) FROM {table._meta.tablename}")
        assert left["count"] == (2 if table is Partner else 0)
    for rows, reason in (
        ([{}], "has no value for name, which has no default"),
        ({"name": "x"}, "is a str, no mapping and no Partner"),
    ):
        async with tenant(tenants.first):
            with pytest.raises(RowRefusedError, match=reason):
                await bulk_insert(Partner, rows)  # type: ignore[arg-type]


async def test_a_duplicate_is_found_across_statements_and_secrets_are_not_shown(
    tenants: Tenants, engine: PartmanEngine, portions_of_two: None
) -> None:
    emails = ["a", "b", "c", "d", "a", "a"]
    async with tenant(tenants.first):
        with pytest.raises(RowRefusedError) as refused:
            await bulk_insert(User, ({"email": email, **USER} for email in emails))
    assert refused.value.index == 4
    assert "idx_users_org_email" in str(refused.value)
    assert "hidden" not in str(refused.value) + repr(refused.value.values)


async def test_a_row_may_refer_to_one_before_it(tenants: Tenants, engine: PartmanEngine) -> None:
    await _make_samples(tenants)
    async with tenant(tenants.first):
        rows = [{"id": n, "parent": n - 1 or None} for n in range(1, 8)]
        assert await bulk_insert(Sample, rows) == 7


async def test_what_is_no_fault_of_a_row_is_not_blamed_on_one(
    tenants: Tenants, engine: PartmanEngine
) -> None:
    await tenants.as_owner("REVOKE INSERT ON partners FROM partman_app")
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied for table"):
        async with tenant(tenants.first):
            await bulk_insert(Partner, partners(["new"]))
    async with tenant(tenants.first):
        with pytest.raises(PartmanError, match="The database has no table samples"):
            await bulk_insert(Sample, [{}])
    with pytest.raises(TenancyError, match=r"outside of tenant\(\)"):
        await bulk_insert(Partner, partners(["new"]))


async def test_an_error_of_the_rows_source_or_a_cancellation_leaves_nothing(
    tenants: Tenants, engine: PartmanEngine, portions_of_two: None
) -> None:
    waiting = asyncio.Event()

    def source(end: Any) -> Iterator[dict[str, Any]]:
        yield from partners(["a", "b", "c"])
        end()

    def fail() -> None:
        raise ZeroDivisionError

    async def insert_and_be_cancelled() -> None:
        task = asyncio.current_task()
        assert task is not None
        with pytest.raises(asyncio.CancelledError):
            await bulk_insert(Partner, source(task.cancel))
        task.uncancel()
        waiting.set()

    async with tenant(tenants.first):
        with pytest.raises(ZeroDivisionError):
            await bulk_insert(Partner, source(fail))
        await insert_and_be_cancelled()
        assert await Partner.count() == 1
        assert await bulk_insert(Partner, []) == 0
    assert waiting.is_set()


async def test_large_rows_are_sent_in_several_statements(
    tenants: Tenants, engine: PartmanEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(insertion, "_LARGEST_STATEMENT", 100)
    for statement in (
        "CREATE SEQUENCE statements",
        "GRANT USAGE ON SEQUENCE statements TO partman_app",
        "CREATE FUNCTION counted() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN PERFORM nextval('statements'); RETURN NULL; END$$",
        "CREATE TRIGGER counted AFTER INSERT ON partners EXECUTE FUNCTION counted()",
    ):
        await tenants.as_owner(statement)
    async with tenant(tenants.first):
        assert await bulk_insert(Partner, partners(["x" * 60] * 8)) == 8
    [row] = await tenants.as_owner("SELECT last_value FROM statements")
    assert row["last_value"] == 8


@pytest.mark.skipif(sys.platform != "linux", reason="a process's CPU time is from /proc")
async def test_the_benchmark_inserts_the_same_rows_in_both_ways(tenants: Tenants) -> None:
    copy, bulk = await benchmark.measure(tenants.database.url, tenants.url, rows=5, rounds=1)
    assert copy.both > 0
    assert bulk.both > 0


async def _make_samples(tenants: Tenants) -> None:
    for statement in SAMPLES.strip().split(";\n"):
        await tenants.as_owner(statement)
