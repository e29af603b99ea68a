"""The diagram shows what is in the database, legibly."""

import asyncio
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import combinations
from types import FrameType
from typing import Any
from xml.etree import ElementTree

import asyncpg
import pytest

from partman.audit import Audit, rules_for
from partman.catalog.model import Catalog, Column, Constraint, Object, Reference, Table
from partman.catalog.read import read_catalog
from partman.diagram.entities import DRAWN, Entity, Relation, entities, ranks
from partman.diagram.layout import Box, lay_out
from partman.diagram.mermaid import mermaid
from partman.diagram.svg import svg
from partman.isolation import Tenancy
from partman.tables import TENANCY
from tests.catalog import Connection, read, reader
from tests.support import CONSOLE_TABLES, SIX_TABLES, Database, execute, run

pytestmark = pytest.mark.same_on_every_version

SVG = "{http://www.w3.org/2000/svg}"

OTHERS = [
    "CREATE TABLE countries (code char(2) PRIMARY KEY)",
    "CREATE TABLE people (id int, country char(2) NOT NULL REFERENCES countries,"
    " boss int, PRIMARY KEY (id), FOREIGN KEY (boss) REFERENCES people ON DELETE SET NULL)",
    "CREATE TABLE passports (person int PRIMARY KEY REFERENCES people, number numeric(9,0),"
    ' "issued <on>" timestamptz, UNIQUE NULLS NOT DISTINCT (number, "issued <on>"))',
    "CREATE SCHEMA other CREATE TABLE trips (country char(2), person int,"
    " PRIMARY KEY (country, person))",
    "CREATE TABLE legs (country char(2), person int, nr int,"
    " FOREIGN KEY (country, person) REFERENCES other.trips)",
    "ALTER TABLE legs ENABLE ROW LEVEL SECURITY",
    "CREATE POLICY open ON legs USING (true)",
    "CREATE TABLE notes (owner uuid)",
    "ALTER TABLE notes ENABLE ROW LEVEL SECURITY",
    "CREATE POLICY own ON notes AS RESTRICTIVE USING (owner = current_setting('a.b')::uuid)",
    # Restrictive, forced, and for nobody in particular.
    *(
        statement
        for number, condition in enumerate(
            ("true", "owner = current_setting('a.c')::uuid", "other = current_setting('a.b')::uuid")
        )
        for statement in (
            f"CREATE TABLE open_{number} (owner uuid, other uuid)",
            f"ALTER TABLE open_{number} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
            f"CREATE POLICY own ON open_{number} AS RESTRICTIVE USING ({condition})",
        )
    ),
]
OTHER_TENANCY = Tenancy(table="owners", column="owner", setting="a.b")


@pytest.fixture(scope="module")
def tenants(template: Database) -> tuple[Entity, ...]:
    return drawn_of(template)


@pytest.fixture
def others(empty_database: Database) -> Database:
    execute(empty_database.url, *OTHERS)
    return empty_database


def drawn_of(database: Database, tenancy: Tenancy = TENANCY) -> tuple[Entity, ...]:
    """The tables of a database, with what the audit finds of them."""
    return asyncio.run(_drawn_of(database, tenancy))


async def _drawn_of(database: Database, tenancy: Tenancy) -> tuple[Entity, ...]:
    connection = await asyncpg.connect(database.url)
    try:
        audit = Audit(tenancy, rules_for(tenancy))
        isolated = await audit.isolated_tables(connection)
        part = await read_catalog(connection, only=DRAWN)
        assert {type(each) for each in part.objects} <= set(DRAWN)
        drawn = entities(part, tenancy, isolated)
        assert drawn == entities(await read_catalog(connection), tenancy, isolated)
        return drawn
    finally:
        await connection.close()


def texts(picture: str) -> list[str]:
    return [one.text or "" for one in parsed(picture).iter(f"{SVG}text")]


def parsed(picture: str) -> ElementTree.Element:
    return ElementTree.fromstring(picture)  # noqa: S314 -- we have just drawn it


def test_shows_every_table_column_key_and_policy(tenants: tuple[Entity, ...]) -> None:
    found = tenants
    drawn, written = texts(svg(found)), mermaid(found)
    for entity in found:
        assert entity.name in drawn
        assert f"    {entity.name} {{" in written
        for column in entity.columns:
            assert column.name in drawn
            assert re.search(rf"^        \S+ {column.name}\b", written, re.MULTILINE)
        for policy in entity.policies:
            assert any(policy.name in text for text in drawn)
        assert entity.is_isolated == (entity.name not in CONSOLE_TABLES)
    assert {entity.name for entity in found} == SIX_TABLES | CONSOLE_TABLES
    assert written.count('"policy tenant_only') == len(SIX_TABLES)
    assert "unique (organization_id, email)" in drawn
    assert '"unique (organization_id, email)"' in written


def test_groups_the_tables_of_a_tenant(tenants: tuple[Entity, ...]) -> None:
    layout = lay_out(tenants)
    assert layout.frame is not None
    assert layout.frame.tenants == "organizations"
    inside = {one.entity.name for one in layout.boxes if one.x > layout.frame.x}
    assert inside == SIX_TABLES - {"organizations"}


def test_a_composite_key_is_one_line(tenants: tuple[Entity, ...]) -> None:
    written = mermaid(tenants)
    line = 'partners ||--o{ opportunities : "organization_id, partner_id on delete cascade"'
    assert written.count(line) == 1
    picture = svg(tenants)
    assert picture.count("<title>opportunities: opportunities_organization_id_partner_id_fkey") == 1
    assert "opportunities_organization_id_fkey" not in picture, "the frame stands for it"


def test_tells_one_from_many_and_perhaps_from_always(others: Database) -> None:
    written = mermaid(drawn_of(others, OTHER_TENANCY))
    assert 'countries ||--o{ people : "country"' in written
    assert 'people |o--o{ people : "boss on delete set null"' in written
    assert 'people ||--o| passports : "person"' in written
    assert 'other_trips |o--o{ legs : "country, person"' in written
    assert "numeric number" in written, "Mermaid knows no comma in a type"


OPENED = {
    "nothing": "SELECT 1",
    "not forced": "ALTER TABLE alerts NO FORCE ROW LEVEL SECURITY",
    "off": "ALTER TABLE alerts DISABLE ROW LEVEL SECURITY",
    "a policy that is true": "ALTER POLICY tenant_only ON alerts USING (true)",
    "a check that is true": "ALTER POLICY tenant_only ON alerts WITH CHECK (true)",
    "access that is true": "ALTER POLICY tenant_access ON alerts USING (true)",
    "no policy": "DROP POLICY tenant_only ON alerts",
    "open to everybody": "CREATE POLICY open ON alerts USING (true)",
    "open to a login": "CREATE POLICY open ON alerts TO partman_api USING (true)",
    "open to signing in": "CREATE POLICY peek ON alerts FOR SELECT TO partman_auth USING (true)",
}


def test_isolated_is_what_the_audit_finds_no_gap_in(database: Database) -> None:
    """A table with a policy of the right name may be open all the same."""
    found = asyncio.run(_isolated_after_each(database, OPENED.values()))
    for name, isolated in zip(OPENED, found, strict=True):
        assert isolated == SIX_TABLES - ({"alerts"} if name != "nothing" else set()), name


async def _isolated_after_each(database: Database, statements: Iterable[str]) -> list[set[str]]:
    async with reader(database.url) as connection:
        return [await _isolated_after(connection, statement) for statement in statements]


async def _isolated_after(connection: Connection, statement: str) -> set[str]:
    transaction = connection.transaction(isolation="repeatable_read")
    await transaction.start()
    try:
        await connection.execute(statement)
        isolated = await Audit(TENANCY, rules_for(TENANCY)).isolated_tables(connection)
        found = entities(await read_catalog(connection), TENANCY, isolated)
        return {each.name for each in found if each.is_isolated}
    finally:
        await transaction.rollback()


def test_without_a_tenancy_nothing_is_isolated(template: Database) -> None:
    assert not any(
        one.is_isolated or one.tenant_column for one in entities(read(template.url), None, ())
    )


def test_a_chain_and_a_circle_of_many_tables_are_ranked_at_once() -> None:
    """Each refers to all before it; and the first, in a circle, to the last."""
    count = 300

    def table(number: int, refers_to: Iterable[int]) -> Entity:
        relations = tuple(
            Relation(f"r{each}", ("a",), f"t{each:03}", ("id",), None, optional=True, is_one=False)
            for each in refers_to
        )
        return Entity(f"t{number:03}", (), (), relations, (), is_isolated=False)

    chain = [table(number, range(number)) for number in range(count)]
    assert ranks(chain) == {f"t{number:03}": number for number in range(count)}
    circle = [table(0, [count - 1]), *chain[1:]]
    assert sorted(ranks(circle).values()) == list(range(count))
    long_chain = [table(number, [number - 1] if number else []) for number in range(1000)]
    assert ranks(long_chain)["t999"] == 999


def chain(one: Catalog, count: int) -> Catalog:
    """Copy a table that refers to itself: each copy refers to the one before, in a circle."""
    objects = [
        replaced
        for number in range(count)
        for each in one.objects
        if (replaced := _copied(each, number, count)) is not None
    ]
    return Catalog(tuple(objects))


def _copied(each: Object, number: int, count: int) -> Object | None:
    table = Reference("table", f"public.t{number}")
    match each:
        case Table():
            return replace(each, name=table.name)
        case Constraint() if each.referenced_table:
            before = f"public.t{(number - 1) % count}"
            return replace(each, parent=table, referenced_table=before)
        case Column() | Constraint():
            return replace(each, parent=table)
    return None


@pytest.fixture
def one_table(empty_database: Database) -> Catalog:
    execute(empty_database.url, "CREATE TABLE t (id int PRIMARY KEY, ref int REFERENCES t)")
    return read(empty_database.url)


def test_draws_a_thousand_tables(one_table: Catalog) -> None:
    found = entities(chain(one_table, 1000), None, ())
    picture, written = parsed(svg(found)), mermaid(found)
    assert (
        len([each for each in picture.iter(f"{SVG}text") if each.get("class") == "title"]) == 1000
    )
    assert written.count("||") + written.count("|o--o{") == 1000


def test_drawing_takes_steps_in_proportion_to_the_tables(one_table: Catalog) -> None:
    few, many = (steps(partial(_drawn, chain(one_table, count))) for count in (60, 300))
    assert many < 5.2 * few


def _drawn(catalog: Catalog) -> str:
    return svg(entities(catalog, None, ()))


def steps(work: Callable[[], object]) -> int:
    """Return how many instructions of Python a function takes."""
    taken = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal taken
        frame.f_trace_opcodes = True
        taken += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return taken


def test_draws_any_name(others: Database) -> None:
    drawn = texts(svg(drawn_of(others, OTHER_TENANCY)))
    assert "other.trips" in drawn
    assert any("issued <on>" in text for text in drawn)


@pytest.mark.parametrize("which", ["tenants", "others"])
def test_nothing_is_drawn_over_something_else(
    which: str, tenants: tuple[Entity, ...], others: Database
) -> None:
    layout = lay_out(tenants if which == "tenants" else drawn_of(others, OTHER_TENANCY))
    for one, other in combinations(layout.boxes, 2):
        apart = one.x + one.width < other.x or other.x + other.width < one.x
        assert apart or one.y + one.height < other.y or other.y + other.height < one.y
    for box in layout.boxes:
        assert 0 < box.x < box.x + box.width < layout.width
        assert 0 < box.y < box.y + box.height < layout.height
        assert all(length <= box.width for length in lengths(box))
    if frame := layout.frame:
        assert frame.x + frame.width < layout.width
        assert frame.y + frame.height < layout.height


def test_referenced_tables_are_on_the_left(tenants: tuple[Entity, ...], others: Database) -> None:
    for layout in (lay_out(tenants), lay_out(drawn_of(others, OTHER_TENANCY))):
        for box in layout.boxes:
            for relation in box.entity.relations:
                parent = layout.box(relation.table)
                assert parent is not None
                assert parent is box or parent.x + parent.width < box.x


def lengths(box: Box) -> Iterator[float]:
    """How far a column's name and type reach, in letters of 7.2 pixels."""
    for column in box.entity.columns:
        yield box.gutter + (len(column.name) + 1 + len(column.type)) * 7.2
    for line in box.footer:
        yield 12 + len(line) * 6.3


def test_an_empty_database_is_an_empty_picture(empty_database: Database) -> None:
    assert drawn_of(empty_database) == ()
    assert mermaid(()) == "erDiagram\n"
    assert parsed(svg(())).tag == f"{SVG}svg"


def test_needs_nothing_from_elsewhere_and_is_legible_on_both_grounds(template: Database) -> None:
    picture = svg(drawn_of(template))
    assert set(re.findall(r"\w+://[^\"'\s]+", picture)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"@import|@font-face|<image|<script|url\(", picture)
    light, dark = picture.split("@media (prefers-color-scheme: dark)")
    painted = re.compile(r"^(\.[\w. ,]+) \{[^}]*(?:fill|stroke): #", re.MULTILINE)
    same = {".title", ".isolated .head"}
    classes = {name for found in painted.findall(light) for name in found.split(", ")}
    in_dark = {name for found in painted.findall(dark) for name in found.split(", ")}
    assert classes - same == in_dark


def test_is_a_command(template: Database) -> None:
    environment = template.environment
    written = run("partman", "diagram", environment=environment)
    assert written.stdout == mermaid(drawn_of(template)), written.stderr
    drawn = run("partman", "diagram", "--format", "svg", environment=environment)
    assert drawn.stdout == svg(drawn_of(template)), drawn.stderr
