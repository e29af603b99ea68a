"""``partman new`` changes the type or the name of a column while old and new code both work."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from tests.database.expand_traffic import clients, lost
from tests.database.new_support import forwards, is_complete, made_once, new, text, written
from tests.several_apps import SeveralApps

BEFORE = """
class Maker(Table):
    id = Serial(primary_key=True)
    org = Integer(default=1)
    name = Varchar()
    extras = ("ALTER TABLE maker ADD CONSTRAINT maker_org_id UNIQUE (org, id)",)

class Item(Table):
    id = Serial(primary_key=True)
    maker = ForeignKey(Maker)
    org = Integer(default=1)
    plain = Integer(null=True, default=None)
    required = Integer(default=7)
    code = Integer(unique=True)
    status = Varchar(length=20, default="new")
    amount = Numeric(digits=(8, 2), null=True, default=None)
    changes = Integer(default=0)
    extras = (
        "ALTER TABLE item ADD CONSTRAINT item_org_maker FOREIGN KEY (org, maker)"
        " REFERENCES maker (org, id)",
        "CREATE INDEX item_plain ON item (plain, required DESC) WHERE plain > 3",
        "CREATE INDEX item_amount ON item ((amount * 2), status)",
        "CREATE UNIQUE INDEX item_both ON item (required, code)",
        "COMMENT ON INDEX item_both IS 'once'",
        "ALTER TABLE item ADD CONSTRAINT item_positive CHECK (plain > 0 OR required > 0)",
        "COMMENT ON COLUMN item.plain IS 'how plain it is'",
        "ALTER TABLE item ALTER plain SET STATISTICS 50",
        "CREATE VIEW item_view AS SELECT plain, status FROM item",
        "CREATE VIEW item_view_view AS SELECT plain FROM item_view",
        "ALTER TABLE item ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY item_policy ON item USING (plain > 0 AND status <> 'gone')",
        "CREATE STATISTICS item_statistics ON plain, required FROM item",
        "GRANT SELECT (plain, status), UPDATE (plain) ON item TO PUBLIC",
        "CREATE FUNCTION item_touched() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN NEW.changes := OLD.changes + 1; RETURN NEW; END'",
        "CREATE TRIGGER item_touch BEFORE UPDATE ON item FOR EACH ROW"
        " EXECUTE FUNCTION item_touched()",
        "CREATE TRIGGER item_touch_plain AFTER UPDATE OF plain ON item FOR EACH ROW"
        " WHEN (NEW.plain > 100) EXECUTE FUNCTION item_touched()",
    )
"""
ENUM = """class Status(Varchar):
    @property
    def column_type(self):
        return "item_status"
"""
LABELS = "CREATE TYPE item_status AS ENUM ('new', 'open', 'gone')"
ROWS = """
INSERT INTO maker (name) SELECT 'maker ' || n FROM generate_series(1, 5) n;
INSERT INTO item (maker, plain, required, code, status, amount)
SELECT n % 5 + 1, nullif(n % 3, 0), n, n * 10, (ARRAY['new', 'open'])[n % 2 + 1], n / 4.0
FROM generate_series(1, 40) n
"""
READ = "SELECT id, maker, plain, required, code, status::text, amount, changes FROM item ORDER BY 1"


@contextlib.asynccontextmanager
async def connected_to(several: SeveralApps) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(several.database.url, statement_cache_size=0)
    try:
        yield connection
    finally:
        await connection.close()


def after() -> str:
    changed = ENUM + BEFORE.replace("status = Varchar(", "status = Status(")
    for name in ("plain", "required", "code"):
        changed = changed.replace(f"{name} = Integer(", f"{name} = BigInt(")
    changed = changed.replace("digits=(8, 2)", "digits=(12, 4)")
    changed = changed.replace("status <> 'gone'", "status <> 'gone'::item_status")
    return changed.replace("id = Serial(", "id = BigSerial(")


def make_bigger(several: SeveralApps) -> None:
    """Write the first half, and do not apply it."""
    several.register("shop")
    several.app("shop", BEFORE)
    written(several, "first")
    several.app("shop", after(), database_extras=[LABELS])
    completed = new(several, "bigger")
    assert completed.code == 0, completed.output


@pytest.fixture
def bigger(tmp_path: Path) -> Iterator[SeveralApps]:
    with made_once("bigger", make_bigger, tmp_path) as several:
        yield several


async def test_types_change_in_two_halves(bigger: SeveralApps) -> None:
    """A primary key with its foreign keys, an enum, and columns in everything that has columns."""
    several = bigger
    async with connected_to(several) as connection:
        await connection.execute(ROWS)
        rows = await connection.fetch(READ)
        [*_, first, expand] = several.files("shop")
        assert "CREATE TYPE item_status" in first.read_text()
        forwards(several)
        assert await connection.fetch(READ) == rows
        assert new(several, "again").stdout.startswith("Nothing to do")
        is_open = json.loads(several.partman("check", "--json").stdout)
        assert is_open["models"]["differences"] == []
        assert {each["state"] for each in is_open["contracts"]} == {"not_written"}
        assert {each["expanded_by"] for each in is_open["contracts"]} == {several.id(expand)}
        assert all(each["since"] for each in is_open["contracts"])

        for change, error in (
            ("code = 5000000000", asyncpg.NumericValueOutOfRangeError),
            ("amount = 1.2345", asyncpg.CheckViolationError),
        ):
            with pytest.raises(error, match=r"until the contract|out of range"):
                await connection.execute(f"UPDATE item SET {change} WHERE code = 10")
        await connection.execute("UPDATE item SET status = 'gone', plain = 9 WHERE code = 20")
        await connection.execute("INSERT INTO item (maker, code, status) VALUES (1, 500, 'open')")
        rows = await connection.fetch(READ)
        back = several.piccolo("backwards", "shop", several.id(expand), "--auto_agree")
        assert back.code == 0, back.output
        assert await connection.fetch(READ) == rows
        forwards(several)
        assert await connection.fetch(READ) == rows

        completed = several.partman("new", "smaller", "--contract")
        assert completed.code == 0, completed.output
        [*_, contract] = several.files("shop")
        check = json.loads(several.partman("check", "--json").stdout)
        assert {each["state"] for each in check["contracts"]} == {"not_applied"}
        plan = several.partman("plan")
        assert plan.code == 0, plan.output
        assert "brief lock" in plan.stdout
        assert "loses data" not in plan.stdout
        done = several.piccolo("forwards", "all", PARTMAN_ENV="staging")
        assert done.code == 0, done.output
        is_complete(several)
        assert json.loads(several.partman("check", "--json").stdout)["contracts"] == []
        assert await connection.fetch(READ) == rows
        back = several.piccolo("backwards", "shop", several.id(contract), "--auto_agree")
        assert back.code == 0, back.output
        assert await connection.fetch(READ) == rows
        forwards(several)
        await connection.execute("UPDATE item SET code = 5000000000 WHERE code = 10")
        back = several.piccolo("backwards", "shop", several.id(contract), "--auto_agree")
        assert back.code == 7, back.output
        assert "integer out of range" in back.output
        is_complete(several)
        await connection.execute("UPDATE item SET code = 6000000000 WHERE code = 20")
    assert several.partman("new", "nothing", "--contract").code == 0
    assert text(several, "shop")


NAMES = """
class Maker(Table):
    code = Varchar(length=10, unique=True)
    extras = ("CREATE INDEX maker_code ON maker (code)",)

class Item(Table):
    maker = ForeignKey(Maker)
    plain = Integer(null=True, default=None)
    required = Integer(default=7, index=True)
    at = Timestamptz(default=TimestamptzNow())
    made_by = Varchar(length=10, null=True, default="nobody")
    extras = (
        "ALTER TABLE item ADD CONSTRAINT item_positive CHECK (plain > 0)",
        "CREATE VIEW item_view AS SELECT plain AS shown FROM item",
        "ALTER TABLE item ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY item_policy ON item USING (plain > 0)",
        "GRANT SELECT (plain, required), UPDATE (plain) ON item TO PUBLIC",
    )
"""
RENAMED = ("code", "plain", "required", "at", "made_by", "maker")
"""Piccolo pairs them by the alphabet, so their new names sort as they do: ``plain_x``."""

WRITES = {
    # old code, new code, code that knows both: what both columns have then
    "INSERT INTO item (maker, plain) VALUES (1, 5)": ("plain, plain_x", (5, 5)),
    "INSERT INTO item (maker, plain_x) VALUES (1, 6)": ("plain, plain_x", (6, 6)),
    "INSERT INTO item (maker) VALUES (1)": (
        "plain, plain_x, required, required_x",
        (None, None, 7, 7),
    ),
    "INSERT INTO item (maker_x, required_x) VALUES (1, 8)": (
        "maker, required, required_x",
        (1, 8, 8),
    ),
    "INSERT INTO item (maker_x, required) VALUES (1, 9)": (
        "maker, required, required_x",
        (1, 9, 9),
    ),
    "INSERT INTO item (maker, made_by) VALUES (1, NULL)": ("made_by, made_by_x", (None, None)),
    "INSERT INTO item (maker, made_by_x) VALUES (1, NULL)": ("made_by, made_by_x", (None, None)),
    "INSERT INTO item (maker) VALUES (2)": (
        "made_by, made_by_x, at = at_x",
        ("nobody", "nobody", True),
    ),
    "INSERT INTO item (maker, at) VALUES (1, '2020-01-01')": ("at = at_x", (True,)),
    "INSERT INTO item (maker, plain, plain_x) VALUES (1, 3, 3)": ("plain, plain_x", (3, 3)),
    "UPDATE item SET plain = 50 WHERE id = 1": ("plain, plain_x", (50, 50)),
    "UPDATE item SET plain_x = 51 WHERE id = 1": ("plain, plain_x", (51, 51)),
    "UPDATE item SET plain_x = NULL WHERE id = 1": ("plain, plain_x", (None, None)),
    "UPDATE item SET plain = 52, plain_x = 52 WHERE id = 1": ("plain, plain_x", (52, 52)),
    "UPDATE item SET required = DEFAULT WHERE id = 1": ("required, required_x", (7, 7)),
    "UPDATE item SET required_x = 12 WHERE id = 1": ("required, required_x", (12, 12)),
    "INSERT INTO item (id, maker, plain) VALUES (1, 1, 2) ON CONFLICT (id)"
    " DO UPDATE SET plain = excluded.plain": ("plain, plain_x", (2, 2)),
}
CONFLICTS = (
    "INSERT INTO item (maker, plain, plain_x) VALUES (1, 3, 4)",
    "UPDATE item SET plain = 61, plain_x = 62 WHERE id = 1",
)


def renamed() -> str:
    changed = NAMES
    for name in RENAMED:
        changed = changed.replace(f"{name} = ", f"{name}_x = ")
    for before, after in (
        ("maker (code)", "maker (code_x)"),
        ("(plain ", "(plain_x "),
        ("SELECT plain", "SELECT plain_x"),
        ("(plain, required)", "(plain_x, required_x)"),
        ("(plain)", "(plain_x)"),
    ):
        assert before in changed
        changed = changed.replace(before, after)
    return changed


# Its halves are of the same statements as those above.
@pytest.mark.same_on_every_version
async def test_names_change_in_two_halves(several: SeveralApps) -> None:
    """Both names can be written, alone and together, until the contract."""
    several.register("shop")
    several.app("shop", "from piccolo.columns.defaults import TimestamptzNow\n" + NAMES)
    written(several, "first")
    several.app("shop", "from piccolo.columns.defaults import TimestamptzNow\n" + renamed())
    async with connected_to(several) as connection:
        await connection.execute(
            "INSERT INTO maker (code) VALUES ('a'), ('b');"
            "INSERT INTO item (maker, plain) SELECT 1, n FROM generate_series(1, 20) n"
        )
        completed = several.partman("new", "names", "--auto_input", "y")
        assert completed.code == 0, completed.output
        [*_, expand] = several.files("shop")
        forwards(several)
        assert new(several, "again").stdout.startswith("Nothing to do")
        assert several.partman("check").code == 0
        assert [list(row) for row in await connection.fetch(
            "SELECT count(*), count(plain_x), count(*) FILTER (WHERE at = at_x) FROM item"
        )] == [[20, 20, 20]]  # fmt: skip
        for statement, (read, expected) in WRITES.items():
            row = await connection.fetchrow(f"{statement} RETURNING {read}")
            assert row is not None
            assert tuple(row) == expected, statement
        for statement in CONFLICTS:
            with pytest.raises(asyncpg.CheckViolationError, match="got two values"):
                await connection.execute(statement)
        await connection.execute(
            "INSERT INTO maker (code) VALUES ('a') ON CONFLICT (code) DO NOTHING;"
            "INSERT INTO maker (code_x) VALUES ('a') ON CONFLICT (code_x) DO NOTHING"
        )
        rows = await connection.fetch("SELECT id, plain, required, made_by FROM item ORDER BY 1")
        back = several.piccolo("backwards", "shop", several.id(expand), "--auto_agree")
        assert back.code == 0, back.output
        read = "SELECT id, plain, required, made_by FROM item ORDER BY 1"
        assert await connection.fetch(read) == rows
        forwards(several)
        completed = several.partman("new", "fewer names", "--contract")
        assert completed.code == 0, completed.output
        [*_, contract] = several.files("shop")
        done = several.piccolo("forwards", "all", PARTMAN_ENV="staging")
        assert done.code == 0, done.output
        is_complete(several)
        back = several.piccolo("backwards", "shop", several.id(contract), "--auto_agree")
        assert back.code == 0, back.output
        assert await connection.fetch(read) == rows


@pytest.mark.same_on_every_version
async def test_old_and_new_code_write_meanwhile_and_nothing_is_lost(bigger: SeveralApps) -> None:
    several = bigger
    [*_, first, expand] = several.files("shop")
    assert several.piccolo("forwards", "shop", several.id(first)).code == 0
    async with connected_to(several) as connection:
        await connection.execute(ROWS)
        both = clients(several.database.url, each=2)
        working = [asyncio.create_task(client.work()) for client in both]
        try:
            for command in (
                ("forwards", "shop", several.id(expand)),
                ("backwards", "shop", several.id(expand), "--auto_agree"),
                ("forwards", "shop", several.id(expand)),
            ):
                done = await asyncio.to_thread(several.piccolo, *command)
                assert done.code == 0, done.output
        finally:
            for client in both:
                client.stopping = True
            await asyncio.gather(*working)
        assert all(client.written for client in both)
        assert await lost(connection, both) == []
        assert await connection.fetchval(
            "SELECT count(*) FROM item WHERE code_old <> code OR plain_old <> plain"
            " OR status_old <> status::text"
        ) == 0  # fmt: skip
