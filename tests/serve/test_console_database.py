"""The console's connections: whose rights they have, and what is said when there are none."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import asyncpg
import pytest
from piccolo.querystring import QueryString

import piccolo_conf
from partman.serve.people.accounts import COOKIE
from partman.tables import TENANCY, Partner
from partman.tenant import tenant
from tests.faults.processes import wait_until
from tests.proxy import Proxy
from tests.serve.organizations import ACME, ANN, OLGA
from tests.serve.visitors import ROWS, Console, Visitor, visited
from tests.support import Database, execute

CONSOLE = str(TENANCY.roles.console)
PAGES = ("/", "/console/", "/password", "/organization", "/migrations", "/console/partners/")


async def asked(sql: str) -> str:
    """What the engine answers to a question outside of tenant()."""
    [row] = await piccolo_conf.DB.run_querystring(QueryString(sql))
    [value] = row.values()
    return str(value)


def test_every_connection_works_as_the_console(console: Console) -> None:
    """Though the login is the owner of the tables."""
    owner = urlsplit(console.database.url).username
    assert console.portal.call(asked, "SELECT session_user") == owner
    for _ in range(2):  # what was set in a tenant's block is gone after it
        assert console.portal.call(asked, "SELECT current_user") == CONSOLE
        assert console.portal.call(asked, "SHOW lock_timeout") == "5s"
        assert console.portal.call(asked, "SHOW statement_timeout") == "30s"
        assert console.portal.call(asked, "SHOW idle_in_transaction_session_timeout") == "1min"
        assert console.signed_in(ANN).rows("partners")


def test_outside_of_a_tenant_there_are_no_rows(console: Console) -> None:
    async def outside() -> object:
        return await Partner.select()

    async def inside() -> object:
        async with tenant(ACME.id):
            return await Partner.count()

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        console.portal.call(outside)
    assert console.portal.call(inside) == 1


def test_behind_a_pooler_the_login_has_to_be_the_console(
    filled_database: Database, log: pytest.LogCaptureFixture
) -> None:
    token = ""
    with visited(filled_database) as console:
        token = console.session(ANN)
    with visited(filled_database, PARTMAN_POOLING="transaction") as console:
        ann = Visitor(console, {})
        ann.cookies[COOKIE] = token
        owner = str(urlsplit(filled_database.url).username)
        for path in ("/password", f"{ROWS}partners.csv"):
            answer = ann.get(path)
            assert answer.status_code == 503
            assert CONSOLE not in answer.text
        assert f"The console works as {owner} instead of {CONSOLE}; no query was sent" in log.text
        # What a session begins with is now the database's to say.
        begins = f"ALTER ROLE {owner} IN DATABASE {filled_database.name} SET role = {CONSOLE}"
        execute(filled_database.url, begins)
        assert ann.get(f"{ROWS}partners.csv").status_code == 200


def test_it_begins_without_a_database_and_finds_it(
    filled_database: Database, log: pytest.LogCaptureFixture
) -> None:
    with visited(filled_database) as console:
        token = console.session(OLGA, ACME.id)
    with Proxy(filled_database) as proxy, visited(filled_database, url=proxy.url) as console:
        olga = Visitor(console, {})
        olga.cookies[COOKIE] = token
        refused(olga, proxy.url)
        assert "cannot be reached" in log.text
        proxy.open()
        for path in PAGES:
            assert olga.get(path).status_code in {200, 303}
        assert len(olga.rows("partners")) == 1


def refused(visitor: Visitor, url: str) -> None:
    """Each page says that it is unavailable, without details of the database."""
    parts = urlsplit(url)
    names = {
        f"{parts.username}@",
        str(parts.port),
        parts.path[1:],
        CONSOLE,
        "127.0.0.1",
    }
    answers = [visitor.get(path) for path in (*PAGES, f"{ROWS}partners.csv")]
    answers += [visitor.sign_in(ANN.address), visitor.form("/organization", subdomain="acme")]
    for answer in answers:
        assert answer.status_code == 503
        assert [name for name in names if name in answer.text] == []


@pytest.mark.parametrize("table", ["console_accounts", "console_sessions"])
def test_a_database_migrated_backwards_is_unavailable(console: Console, table: str) -> None:
    olga = console.signed_in(OLGA, ACME.id)
    with gone(console, table):
        for path in (*PAGES, f"{ROWS}partners.csv"):
            assert olga.get(path).status_code == 503
        assert console.visitor().sign_in(ANN.address).status_code == 503
    assert len(olga.rows("partners")) == 1
    with gone(console, "partners"):
        answer = olga.get(f"{ROWS}partners.csv")
        assert answer.status_code == 503
        assert "The database is unavailable" in answer.text
    assert len(olga.rows("partners")) == 1


@contextmanager
def gone(console: Console, table: str) -> Iterator[None]:
    console.query(f"ALTER TABLE {table} RENAME TO elsewhere")
    yield
    console.query(f"ALTER TABLE elsewhere RENAME TO {table}")


def test_an_unmigrated_database_is_unavailable(
    empty_database: Database, log: pytest.LogCaptureFixture
) -> None:
    with visited(empty_database) as console:
        visitor = console.visitor()
        visitor.cookies[COOKIE] = "a token"
        for path in (
            "/",
            "/console/",
            f"{ROWS}partners.csv",
            "/console/%0DINFO%20all%20is%20well/",
        ):
            assert visitor.get(path).status_code == 503
    # What breaks a line in a path would begin one of the log.
    assert "GET /console/%0DINFO%20all%20is%20well/: " in log.text
    assert "\r" not in log.text


def test_connections_that_the_server_ends_are_made_anew(console: Console) -> None:
    ann = console.signed_in(ANN)
    assert len(ann.rows("partners")) == 1
    console.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'partman' AND datname = current_database()"
    )
    wait_until(lambda: ann.get(f"{ROWS}partners.csv").status_code == 200, "it was found again")
