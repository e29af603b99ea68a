"""Taking the development data out again: all of it, and nothing else."""

import asyncio
import json

import pytest

from seeds import load
from seeds.generate import SeedPlan
from seeds.identity import FIRST_ID, LAST_ID, seeded_id
from tests.database.seeds_helpers import (
    AS_OF,
    SMALL,
    Connection,
    contents,
    kill,
    loading_stops,
    nobody_else_is_connected,
    second_connection,
    seed,
    started,
    until,
)
from tests.support import Database

pytestmark = pytest.mark.same_on_every_version

A_PARTNER, A_USER = (seeded_id(table, SMALL.seed, 0, 0) for table in ("partners", "users"))
AN_ORGANIZATION = seeded_id("organizations", SMALL.seed, 1, 0)
ADMIN_OF_A_SEEDED_ORGANIZATION = (
    "INSERT INTO console_accounts (username, email, password, superuser, organization_id)"
    f" VALUES ('a@x', 'a@x', 'pbkdf2_sha256$1$0$0', false, '{AN_ORGANIZATION}')"
)


async def test_a_killed_reset_keeps_the_existing_data(
    database: Database, connection: Connection
) -> None:
    await load.seed(connection, SMALL)
    before = await contents(connection)
    async with (
        loading_stops(connection) as stopped,
        started(database, "dev", "--reset", "--seed", "2") as process,
    ):
        await until(stopped)
        await kill(process)
    await until(lambda: nobody_else_is_connected(connection))
    assert await contents(connection) == before


async def test_clear_removes_the_seeded_rows_and_no_others(
    database: Database, connection: Connection
) -> None:
    await connection.execute(
        """
        INSERT INTO organizations (name, subdomain) VALUES ('Ours', 'ours');
        INSERT INTO users (organization_id, email, password_hash, first_name, last_name, role)
            SELECT id, 'me@ours.example', '!', 'Me', 'Myself', 'admin' FROM organizations;
        INSERT INTO partners (organization_id, name, domain, commission_structure)
            SELECT id, 'DataDog', 'observability', '{}' FROM organizations;
        INSERT INTO opportunities (organization_id, partner_id, assigned_user_id, customer_name,
                                   deal_value, stage, expected_close_date)
            SELECT partners.organization_id, partners.id, users.id, 'Us', 1, 'proposal', now()
            FROM partners JOIN users USING (organization_id);
        INSERT INTO quarterly_goals (organization_id, quarter, year, goal_type, target_value)
            SELECT id, 1, 1999, 'revenue', 1 FROM organizations;
        INSERT INTO alerts (organization_id, alert_type, entity_type, title, message)
            SELECT id, 'x', 'partner', 'Look', 'at this' FROM organizations;
        """
    )
    ours = await contents(connection)
    await load.seed(connection, SMALL)
    await connection.execute(
        "UPDATE opportunities SET customer_name = 'Edited', deal_value = 1"
        " WHERE id BETWEEN $1 AND $2",
        FIRST_ID,
        LAST_ID,
    )
    cleared = seed(database, "clear", "--yes")
    assert cleared.code == 0
    assert "40 opportunities" in cleared.stdout
    assert await contents(connection) == ours
    assert json.loads(seed(database, "status", "--json").stdout)["seeded"] is False
    assert "nothing to remove" in seed(database, "clear", "--yes").stdout


@pytest.mark.parametrize(
    ("added", "named"),
    [
        (
            "INSERT INTO opportunities (organization_id, partner_id, customer_name, deal_value, "
            "stage, expected_close_date) SELECT organization_id, id, 'Mine', 1, 'proposal', now() "
            f"FROM partners WHERE id = '{A_PARTNER}'",
            "1 opportunities",
        ),
        (
            "INSERT INTO users (organization_id, email, password_hash, first_name, last_name, role)"
            f" SELECT '{AN_ORGANIZATION}', n || '@mine.example', '!', 'I', 'Me', 'viewer' "
            "FROM generate_series(1, 3) AS n",
            "3 users",
        ),
        (
            "INSERT INTO quarterly_goals (organization_id, user_id, quarter, year, goal_type, "
            f"target_value) SELECT organization_id, id, 1, 1999, 'revenue', 1 FROM users "
            f"WHERE id = '{A_USER}'",
            "1 quarterly_goals",
        ),
        (
            "INSERT INTO alerts (organization_id, user_id, alert_type, entity_type, title, message)"
            " SELECT organization_id, id, 'x', 'partner', 'Look', 'at this' FROM users "
            f"WHERE id = '{A_USER}'",
            "1 alerts",
        ),
        (
            "CREATE TABLE tasks AS SELECT id AS opportunity_id FROM opportunities; "
            "ALTER TABLE tasks ADD FOREIGN KEY (opportunity_id) REFERENCES opportunities "
            "ON DELETE CASCADE",
            "40 tasks",
        ),
        (ADMIN_OF_A_SEEDED_ORGANIZATION, "1 console_accounts"),
    ],
    ids=["opportunity", "users", "goal", "alert", "a-table-of-tomorrow", "console"],
)
async def test_rows_that_were_added_to_seeded_ones_are_not_lost_with_them(
    connection: Connection, added: str, named: str
) -> None:
    await load.seed(connection, SMALL)
    await connection.execute(added)
    before = await contents(connection)
    for attempt in (load.clear(connection), load.seed(connection, SMALL, reset=True)):
        with pytest.raises(load.RowsAddedError, match=f": {named}[.] "):
            await attempt
    assert await contents(connection) == before


async def test_an_operators_choice_does_not_prevent_clearing(connection: Connection) -> None:
    await load.seed(connection, SMALL)
    await connection.execute(
        f"""
        INSERT INTO console_accounts (username, email, password, superuser)
            VALUES ('o@x', 'o@x', 'pbkdf2_sha256$1$0$0', true);
        INSERT INTO console_sessions (token, user_id, organization_id)
            SELECT 't', id, '{AN_ORGANIZATION}' FROM console_accounts;
        """
    )
    await load.clear(connection)
    [session] = await connection.fetch("SELECT organization_id FROM console_sessions")
    assert session["organization_id"] is None


async def test_no_row_can_refer_to_a_seeded_row_during_removal(
    database: Database, connection: Connection
) -> None:
    await load.seed(connection, SMALL)
    async with second_connection(database) as other, other.transaction():
        # Uncommitted, so clear cannot see it; its foreign key would make it go with the partner.
        await other.execute(
            "INSERT INTO opportunities (organization_id, partner_id, customer_name, deal_value, "
            "stage, expected_close_date) SELECT organization_id, id, 'Mine', 1, 'proposal', now() "
            "FROM partners WHERE id = $1",
            A_PARTNER,
        )
        clearing = asyncio.create_task(load.clear(connection))
        await until(
            lambda: other.fetchval(
                "SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'ExclusiveLock'"
                " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
        )
    with pytest.raises(load.RowsAddedError, match="1 opportunities"):
        await clearing


async def test_clear_gives_up_on_locked_tables(
    database: Database, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await load.seed(connection, SMALL)
    monkeypatch.setattr(load, "LOCK_TIMEOUT", "50ms")
    async with second_connection(database) as other, other.transaction():
        await other.execute("LOCK TABLE alerts IN ROW EXCLUSIVE MODE")
        with pytest.raises(load.SeedFailedError, match="Nothing was removed"):
            await load.clear(connection)
    assert (await load.status(connection)).is_seeded


async def test_clear_asks_first(database: Database, connection: Connection) -> None:
    await load.seed(connection, SMALL)
    for answer, code in (("n\n", 1), ("", 2)):
        asked = seed(database, "clear", stdin=answer)
        assert asked.code == code
        assert "Remove 1 organizations, 16 users" in asked.stdout
        assert "Nothing was removed." in asked.output
        assert (await load.status(connection)).is_seeded
    assert seed(database, "clear", stdin="y\n").code == 0
    assert not (await load.status(connection)).is_seeded


async def test_reset_starts_over(database: Database, connection: Connection) -> None:
    await load.seed(connection, SMALL)
    seeded = seed(database, "dev", "--reset", "--seed", "2", "--opportunities", "12")
    assert seeded.stdout.startswith("Seeded (seed 2")
    found = await load.status(connection)
    assert (found.seed, found.rows["opportunities"]) == (2, 12)
    assert await connection.fetchval("SELECT count(*) FROM opportunities") == 12


async def test_a_conflicting_row_is_named_and_nothing_changes(
    connection: Connection,
) -> None:
    await load.seed(connection, SMALL)
    await connection.execute(
        "INSERT INTO organizations (name, subdomain) VALUES ('Mine', 'cedar-consulting')"
    )
    before = await contents(connection)
    with pytest.raises(load.SeedFailedError, match=r"\(subdomain\)=\(cedar-consulting\)"):
        await load.seed(connection, SeedPlan(1, AS_OF, 3, 40), reset=True)
    assert await contents(connection) == before
