"""What the console takes from Piccolo is what it was when somebody looked at it."""

from typing import Any

import pytest
from piccolo.apps.user.tables import BaseUser
from piccolo.table import Table
from piccolo_admin.endpoints import create_admin
from piccolo_api.session_auth.tables import SessionsBase
from starlette.routing import BaseRoute, Mount

from partman.serve.console import piccolo_admin as console
from partman.serve.people.accounts import Session, account_table
from partman.tables.console_accounts import ConsoleAccount, ConsoleSession
from tests.serve.visitors import made_console, project_tenants, sessions_with
from tests.support import Database, query


def columns(table: type[Table]) -> dict[str, tuple[str, int | None, bool]]:
    """What PostgreSQL would be told of each."""
    return {
        str(column._meta.db_column_name): (
            column.column_type.replace("SERIAL", "INTEGER"),
            getattr(column, "length", None),
            column._meta.null,
        )
        for column in table._meta.columns
    }


def of_database(database: Database, table: str) -> set[str]:
    rows = query(
        database.url,
        "SELECT column_name AS name FROM information_schema.columns WHERE table_name = $1",
        table,
    )
    return {row["name"] for row in rows}


def test_sessions_satisfy_piccolos_contract(template: Database) -> None:
    ours = columns(ConsoleSession)
    organization = ours.pop("organization_id")
    assert organization[2], "it may be unset"
    assert ours == columns(SessionsBase)
    assert columns(Session) == columns(SessionsBase), "what is saved with it names no organization"
    assert of_database(template, "console_sessions") == {*ours, "organization_id"}
    assert ConsoleSession.token._meta.secret


def test_accounts_satisfy_piccolos_contract(template: Database) -> None:
    ours = columns(ConsoleAccount)
    assert ours.pop("organization_id")[2]
    assert ours == columns(BaseUser)
    assert columns(account_table(ConsoleAccount)) == columns(ConsoleAccount)
    assert of_database(template, "console_accounts") == {*ours, "organization_id"}
    assert ConsoleAccount.password._meta.secret


def test_each_service_counts_for_itself_and_has_its_own_secret() -> None:
    first, second = account_table(ConsoleAccount), account_table(ConsoleAccount)
    assert first.attempts is not second.attempts
    one, other = sessions_with(b"one"), sessions_with(b"other")
    assert one.keyed("token") == sessions_with(b"one").keyed("token")
    assert len({one.keyed("token"), other.keyed("token"), one.keyed("another"), "token"}) == 4


def without(path: str, admin: Any) -> Any:
    admin.router.routes[:] = [one for one in admin.routes if getattr(one, "path", "") != path]
    return admin


def unauthenticated(admin: Any) -> Any:
    mounted(admin, "/api").app = mounted(admin, "/public").app
    return admin


def of_another_framework(admin: Any) -> Any:
    mounted(admin, "/api").app.app = console.Reduced(admin)  # type: ignore[attr-defined]
    return admin


def mounted(admin: Any, path: str) -> Mount:
    routes: list[BaseRoute] = admin.routes
    [found] = [one for one in routes if isinstance(one, Mount) and one.path == path]
    return found


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda admin: without("/api", admin), "has moved its authentication"),
        (unauthenticated, "has moved its authentication"),
        (of_another_framework, "has changed its API"),
        (lambda admin: without("/public", admin), "has moved its sign-in"),
    ],
)
def test_another_piccolo_admin_is_not_served(
    monkeypatch: pytest.MonkeyPatch, change: Any, says: str
) -> None:
    """Rather than one whose rows are not a tenant's."""
    assert made_console()
    monkeypatch.setattr(console, "create_admin", lambda **options: change(create_admin(**options)))
    with pytest.raises(TypeError, match=says):
        made_console()


def test_another_page_of_piccolo_admin_is_not_served() -> None:
    admin, tenants = made_console(), project_tenants()
    assert console.console_page(admin, tenants, "", "")
    admin.template = admin.template.replace('<div id="app">', '<div id="main">')
    with pytest.raises(RuntimeError, match="has changed its page"):
        console.console_page(admin, tenants, "", "")
