"""The form that a schema has on a cluster, and the statements that lead there; without Citus.

tests/distributed runs them on a cluster.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from partman.catalog.compare import compare
from partman.catalog.distributed_form import Layout, distributed_form, layout, single_form
from partman.catalog.model import Catalog, Constraint, Trigger, sort_key
from partman.distribution.obstacles import obstacles_in
from partman.distribution.steps import distribute_steps
from partman.isolation import Key, Roles, Tenancy
from partman.tables import TENANCY
from tests.catalog import read
from tests.support import Database, execute, run, shared_database

pytestmark = pytest.mark.same_on_every_version

SNAPSHOT = Path(__file__).parent / "distribute_plan.sql"
SHOPS = Tenancy(
    table="shops", column="shop_id", key=Key.INTEGER, roles=Roles.named("shop"), setting="shop.id"
)


def parts(catalog: Catalog, tenancy: Tenancy) -> Layout:
    tables = layout(catalog, tenancy)
    assert tables is not None
    return tables


@pytest.fixture(scope="module")
def declared(template: Database) -> Catalog:
    return read(template.url)


def test_the_plan_has_these_statements(declared: Catalog) -> None:
    """After a change on purpose: write ``found`` into the file, and read what has changed."""
    found = "".join(
        f"-- {step.title}: {step.where}\n" + "".join(f"{each};\n" for each in step.statements)
        for step in distribute_steps(declared, parts(declared, TENANCY), TENANCY, "partman_owner")
    )
    assert found == SNAPSHOT.read_text()


def test_only_keys_differ_and_a_trigger_is_new(declared: Catalog) -> None:
    differences = compare(declared, distributed_form(declared, TENANCY))
    assert sorted(str(each.reference) for each in differences) == [
        "constraint alerts_pkey on public.alerts",
        "constraint opportunities_organization_id_assigned_user_id_fkey on public.opportunities",
        "constraint opportunities_pkey on public.opportunities",
        "constraint partners_organization_id_id_key on public.partners",
        "constraint partners_pkey on public.partners",
        "constraint quarterly_goals_pkey on public.quarterly_goals",
        "constraint users_organization_id_id_key on public.users",
        "constraint users_pkey on public.users",
        "function public.partman_clear_references()",
        "trigger opportunities_organization_id_assigned_user_id_fkey on public.users",
    ]


def test_the_way_back_leads_to_what_was_declared(declared: Catalog) -> None:
    form = distributed_form(declared, TENANCY)
    assert compare(declared, single_form(form, declared, TENANCY)) == []
    assert distributed_form(form, TENANCY) == form, "computed again, it stays as it is"


def test_a_key_that_was_added_later_stays(declared: Catalog) -> None:
    form = distributed_form(declared, TENANCY)
    [key] = [each for each in declared.objects if each.name == "users_organization_id_id_key"]
    later = replace(form, objects=tuple(sorted([*form.objects, key], key=sort_key)))
    assert compare(form, later) != []
    assert compare(distributed_form(declared, TENANCY, later), later) == []
    assert compare(declared, single_form(later, declared, TENANCY)) == []


SCHEMA = (
    "CREATE TABLE shops (id int PRIMARY KEY)",
    "CREATE TABLE regions (id int PRIMARY KEY)",
    "CREATE TABLE countries (id int PRIMARY KEY, region int REFERENCES regions)",
    # Led by the shop, or not; referred to from another tenant table, and clearing.
    """CREATE TABLE "Item" (
        shop_id int NOT NULL REFERENCES shops ON DELETE CASCADE, "No" int,
        country int REFERENCES countries, PRIMARY KEY (shop_id, "No"))""",
    """CREATE TABLE sales (
        shop_id int NOT NULL REFERENCES shops, id bigint PRIMARY KEY, item int,
        FOREIGN KEY (shop_id, item) REFERENCES "Item" ON DELETE SET NULL (item))""",
    "CREATE TABLE logs (id int PRIMARY KEY, shop_id int REFERENCES shops)",
)
BAD = {
    "CREATE TABLE parts (shop_id int NOT NULL, id int, PRIMARY KEY (id, shop_id))"
    " PARTITION BY LIST (shop_id)": "public.parts",
    "CREATE UNLOGGED TABLE carts (shop_id int NOT NULL, id int PRIMARY KEY)": "public.carts",
    "CREATE TABLE notes (shop_id int NOT NULL)": "public.notes",
    "CREATE TABLE codes (shop_id int NOT NULL, id int PRIMARY KEY,"
    " code int CONSTRAINT code UNIQUE)": "code on public.codes",
    "CREATE TABLE tags (shop_id int NOT NULL, id int PRIMARY KEY, tag text);"
    "CREATE UNIQUE INDEX tag ON tags (lower(tag))": "public.tag on public.tags",
    "CREATE TABLE slots (shop_id int NOT NULL, id int PRIMARY KEY, at int4range,"
    " CONSTRAINT slot EXCLUDE USING gist (at WITH &&))": "slot on public.slots",
    "ALTER TABLE logs ADD sale bigint CONSTRAINT sale REFERENCES sales": "sale on public.logs",
    "CREATE TABLE bills (shop_id int NOT NULL, id int PRIMARY KEY,"
    " sale bigint CONSTRAINT bill REFERENCES sales)": "bill on public.bills",
    "CREATE TABLE gifts (shop_id int NOT NULL, id int PRIMARY KEY, item int,"
    ' CONSTRAINT gift FOREIGN KEY (shop_id, item) REFERENCES "Item" ON DELETE SET NULL)': (
        "gift on public.gifts"
    ),
    "CREATE TABLE trips (shop_id int NOT NULL, id int PRIMARY KEY,"
    " country int CONSTRAINT trip REFERENCES countries ON DELETE SET NULL)": (
        "trip on public.trips"
    ),
    "CREATE TABLE turns (shop_id int NOT NULL, id int PRIMARY KEY, item int,"
    ' CONSTRAINT turn FOREIGN KEY (shop_id, item) REFERENCES "Item" ON UPDATE CASCADE)': (
        "turn on public.turns"
    ),
    "CREATE TABLE seats (shop_id int NOT NULL, id int PRIMARY KEY, free boolean);"
    "CREATE POLICY a ON seats USING (shop_id = 1);"
    "CREATE POLICY same ON seats AS RESTRICTIVE USING (shop_id = 1) WITH CHECK (shop_id = 1);"
    "CREATE POLICY seat ON seats AS RESTRICTIVE USING (free)": "seat on public.seats",
    "CREATE TABLE doors (shop_id int NOT NULL, id int PRIMARY KEY, open boolean);"
    "CREATE POLICY same_door ON doors USING (shop_id = 1);"
    "CREATE POLICY lock ON doors AS RESTRICTIVE TO pg_monitor USING (shop_id = 1);"
    "CREATE POLICY others ON doors TO pg_signal_backend USING (true);"
    "CREATE POLICY new ON doors FOR INSERT TO pg_monitor WITH CHECK (shop_id = 1);"
    "CREATE POLICY door ON doors FOR SELECT TO pg_monitor USING (true)": "door on public.doors",
    "CREATE TABLE gates (shop_id int NOT NULL, id int PRIMARY KEY);"
    "CREATE POLICY bar ON gates AS RESTRICTIVE USING (shop_id = 1);"
    "CREATE POLICY same_gate ON gates USING (shop_id = 1);"
    "CREATE POLICY gate ON gates TO pg_monitor USING (shop_id = 1) WITH CHECK (true)": (
        "gate on public.gates"
    ),
    "CREATE TABLE rooms (shop_id int NOT NULL, id int PRIMARY KEY);"
    "CREATE POLICY room ON rooms USING (shop_id = (SELECT 1))": "room on public.rooms",
    "ALTER TABLE shops ADD last bigint CONSTRAINT last REFERENCES sales": "last on public.shops",
}
"""Statements, and the objects that keep the schema from being distributed."""


@pytest.fixture(scope="module")
def shops() -> Iterator[Database]:
    with shared_database("shops", lambda database: execute(database.url, *SCHEMA)) as database:
        yield database


def test_it_works_for_any_tenancy(shops: Database) -> None:
    catalog = read(shops.url)
    tables = parts(catalog, SHOPS)
    assert tables == Layout(
        "public.shops",
        ('public."Item"', "public.sales"),
        ("public.shops", "public.countries", "public.regions"),
        ("public.logs",),
    )
    assert obstacles_in(catalog, tables, SHOPS) == []
    form = distributed_form(catalog, SHOPS)
    keys = {each.name: each.definition for each in form.of(Constraint)}
    assert keys["sales_pkey"] == "PRIMARY KEY (shop_id, id)"
    assert keys['"Item_pkey"'] == 'PRIMARY KEY (shop_id, "No")'
    assert keys["sales_shop_id_item_fkey"] == (
        'FOREIGN KEY (shop_id, item) REFERENCES public."Item"(shop_id, "No")'
    )
    [trigger] = form.of(Trigger)
    assert trigger.definition.endswith(
        "('public.sales', 'shop_id', 'item = NULL', "
        "'(shop_id, item) = (($1).shop_id, ($1).\"No\")')"
    )
    statements = [
        each
        for step in distribute_steps(catalog, tables, SHOPS, "owner")
        for each in step.statements
    ]
    indexes = [each for each in statements if each.startswith("CREATE UNIQUE INDEX")]
    assert indexes == [
        "CREATE UNIQUE INDEX CONCURRENTLY sales_pkey_distributed ON public.sales (shop_id, id)"
    ]
    created = [each for each in statements if "create_reference_table" in each]
    assert len(created) == len(tables.everywhere)


def test_what_cannot_be_distributed_is_named(empty_database: Database) -> None:
    execute(empty_database.url, *SCHEMA, *BAD)
    catalog = read(empty_database.url)
    found = {each.object for each in obstacles_in(catalog, parts(catalog, SHOPS), SHOPS)}
    assert set(BAD.values()) <= found
    good = {"public.sales", 'public."Item"', "public.shops", "same on public.seats"}
    doors = {f"{name} on public.doors" for name in ("same_door", "lock", "others", "new")}
    gates = {f"{name} on public.gates" for name in ("same_gate", "bar")}
    assert not (good | doors | gates) & found


def test_texts_as_tenants_are_refused(shops: Database) -> None:
    catalog = read(shops.url)
    [found] = obstacles_in(catalog, parts(catalog, SHOPS), replace(SHOPS, key=Key.TEXT))
    assert found.object == "shops"
    assert "use a key of UUID, integer or bigint" in found.remedy


def test_the_commands_refuse_a_server_without_citus(database: Database) -> None:
    checked = run("partman", "distribute", "--check", environment=database.environment)
    assert checked.code == 1, checked.output
    assert "does not have the extension Citus" in checked.stdout
    assert "CREATE EXTENSION citus" in checked.stdout
    refused = run("partman", "distribute", environment=database.environment)
    assert refused.code == 10, refused.output
    assert "cannot be distributed yet" in refused.stderr
    assert "Nothing was done" in refused.stderr
    back = run("partman", "undistribute", environment=database.environment)
    assert back.code == 1, back.output
    assert "The database is not distributed. Nothing was done." in back.stderr
