"""What the console takes from Piccolo is what it was when somebody looked at it."""

from piccolo.apps.user.tables import BaseUser
from piccolo.table import Table
from piccolo_api.session_auth.tables import SessionsBase

from partman.serve.people.accounts import Session, account_table
from partman.tables.console_accounts import ConsoleAccount, ConsoleSession
from tests.serve.visitors import sessions_with
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
