"""No part of a password is printed, whatever characters it has and wherever the URL has it."""

import asyncio
import json
import logging
import traceback
from collections.abc import Mapping
from typing import Any, NoReturn

import asyncpg
import pytest
from asyncpg import connect_utils
from hypothesis import example, given, settings
from hypothesis import strategies as st

from partman.connection_url import describe
from partman.database import connection
from partman.errors import PartmanError, SettingsError
from partman.logs import JsonFormatter
from partman.settings import Settings
from tests.summary import thorough

pytestmark = pytest.mark.same_on_every_version

TEMPLATES = [
    "postgresql://me:{}@host/mine",
    "postgresql://me:{}@host:5432/mine?sslmode=disable",
    "postgres://me:{}@127.0.0.1:1",
    "postgresql://me:{}@[::1]:5432/mine",
    "postgresql://me:{}@one:1,two:2/mine?target_session_attrs=any",
    "postgresql://me%40corp.com:{}@host/mine",
    "postgresql://me@corp.com:{}@host/mine",
    "postgresql://:{}@host/mine",
    "postgresql://me:{}@/mine?host=/run/postgresql",
    "postgresql://me:{}@%2Frun%2Fpostgresql/mine",
    "postgresql://me:{}@host",
    "postgresql://me:{}@host?application_name=app",
    "postgresql://me@host/mine?password={}",
    "postgresql://me@host/mine?password={}&sslmode=disable",
    "postgresql:///mine?host=host&user=me&password={}&application_name=app",
    "postgresql://host/mine?sslpassword={}&user=me",
]
SPECIAL = "@/#?:%[]&=+ ;,'\"\\<>{}|^~!$()*\t\n\x00\x7f"
LETTERS = "QXZJVY"
"""No message, nothing else of the templates and no line number of a traceback has them beside other
characters of a password.
"""

passwords = st.text(
    st.one_of(
        st.sampled_from(SPECIAL), st.sampled_from(LETTERS), st.sampled_from("éß\u2100\uff0f€")
    ),
    min_size=3,
    max_size=14,
)


def leaked(password: str, said: str) -> list[str]:
    """The parts of a password that a text has."""
    parts = {password[start : start + 3] for start in range(len(password) - 2)}
    return [part for part in parts if set(part) & set(LETTERS) and part in said]


class _Driver:
    """Divides a URL as asyncpg does, and fails as it would, quoting what it has understood."""

    def __init__(self, failure: int) -> None:
        self._failure = failure

    async def connect(self, dsn: str, **options: Any) -> NoReturn:
        given = connect_utils._parse_connect_dsn_and_args(  # type: ignore[attr-defined]
            dsn=dsn, host=None, port=None, user=None, password=None, passfile=None, database=None,
            ssl=None, service=None, servicefile=None, direct_tls=None, target_session_attrs=None,
            krbsrvname=None, gsslib=None, server_settings=options["server_settings"],
        )  # fmt: skip
        hosts, parameters = given[0], given[1]
        quoted = [
            ConnectionRefusedError(111, "Connect call failed"),
            asyncpg.InvalidPasswordError(f'password authentication failed for "{parameters.user}"'),
            asyncpg.InvalidCatalogNameError(f'database "{parameters.database}" does not exist'),
            asyncpg.UndefinedObjectError(
                f"unrecognized configuration parameter: {parameters.server_settings}"
            ),
            ValueError(f"cannot encode {dsn!r} for {hosts}"),
            asyncpg.exceptions.ClientConfigurationError(
                f"target_session_attrs is wrong: {parameters.target_session_attrs}"
            ),
        ]
        raise quoted[self._failure]


def said_by(url: str, config: Mapping[str, Any], failure: int) -> str:
    """All that is said of a connection that fails, in any log, as text."""
    environment = {} if config else {"DATABASE_URL": url}
    output = [describe(url)]
    patch = pytest.MonkeyPatch()
    patch.setattr(asyncpg, "connect", _Driver(failure).connect)
    try:
        loaded = Settings.load(environment, config)
        output.append(repr(loaded))
        asyncio.run(connection.connect(loaded, application_name="test"))
    except PartmanError as error:
        output.append(str(error))
        output += traceback.format_exception(error)
        record = logging.makeLogRecord(
            {
                "msg": "%s",
                "args": (error,),
                "exc_info": (type(error), error, error.__traceback__),
                "created": 0,  # the digits of the time are not those of a password
            }
        )
        output += map(str, json.loads(JsonFormatter().format(record)).values())
    finally:
        patch.undo()
    assert len(output) > 2, "nothing was refused"
    return "\n".join(output)


@given(
    st.sampled_from(TEMPLATES), passwords, st.integers(0, 5), st.sampled_from([{}, {"user": "me"}])
)
@example(TEMPLATES[0], "123/QXZ", 0, {})
@example(TEMPLATES[0], "123?a=QXZ", 0, {})
@example(TEMPLATES[0], "QXZ@JJJ", 0, {})
@example(TEMPLATES[0], "123#QXZ", 0, {"user": "me"})
@example(TEMPLATES[13], "a&QXZ=1", 3, {})
@example(TEMPLATES[0], "QXZ[JJJ", 4, {})
@settings(max_examples=20_000 if thorough() else 250)
def test_no_part_of_a_password_is_printed(
    template: str, password: str, failure: int, more: Mapping[str, Any]
) -> None:
    url = template.format(password)
    for config in ({}, {"dsn": url, **more}):
        found = leaked(password, said_by(url, config, failure))
        assert not [part for part in found if part not in template]


@pytest.mark.parametrize("special", "@/#?")
@pytest.mark.parametrize("template", [each for each in TEMPLATES if "me:{}" in each])
def test_a_password_that_shifts_the_host_is_refused_with_a_hint(
    template: str, special: str
) -> None:
    with pytest.raises(SettingsError, match="percent-encoded: '@' is %40") as refused:
        Settings.load({"DATABASE_URL": template.format(f"12{special}34")})
    assert "PGPASSWORD" in str(refused.value)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://me:secret@host:5432/mine", "me@host:5432/mine"),
        ("postgresql://me:p%40s%2Fs@host/mine", "me@host/mine"),
        ("postgresql://me%40corp.com:secret@host/mine", "me@corp.com@host/mine"),
        ("postgresql://me@[::1]:5432/mine", "me@[::1]:5432/mine"),
        ("postgresql://one:1,two:2/mine", "one:1,two:2/mine"),
        ("postgresql://me@%2Frun%2Fpostgresql/mine", "me@/run/postgresql/mine"),
        ("postgresql:///mine?host=/run/postgresql&user=me", "me@/run/postgresql/mine"),
        ("postgresql://", "localhost/"),
        ("postgresql://me@host/my%20database", "the configured database"),
        ("postgresql://me@host/mine?password=secret", "the configured database"),
        ("postgresql://me:sec@ret@host/mine", "the configured database"),
        ("postgresql://me:12/ret@host/mine", "the configured database"),
    ],
)
def test_a_database_is_named_by_its_plain_parts(url: str, said: str) -> None:
    assert describe(url) == said
