"""The engine's ``config`` means what it means to asyncpg, whose own parser is asked."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import asyncpg
import pytest
from asyncpg import connect_utils
from piccolo.engine.postgres import PostgresEngine

from partman.database.engine import DatabaseEngine
from partman.engine import PartmanEngine
from partman.errors import SettingsError
from partman.settings import Settings

ODD = "a@b:c/d?e#f%g h'i\"ä&=+\\"
URL = "postgresql://me:secret@host:6000/mine?sslmode=disable&application_name=theirs"

ADDRESSES: dict[str, dict[str, Any]] = {
    "a URL": {"dsn": URL},
    "an old kind of URL": {"dsn": "postgres://host/mine"},
    "one by one": {
        "host": "host",
        "port": 6000,
        "user": "me",
        "password": "secret",
        "database": "mine",
    },
    "a port as text": {"host": "host", "port": "6000", "user": "me", "database": "mine"},
    "a user alone": {"user": "me"},
    "a database alone": {"user": "me", "database": "mine"},
    "odd names": {"host": "host", "user": ODD, "password": ODD, "database": ODD},
    "nothing for some": {
        "dsn": None,
        "host": "host",
        "port": None,
        "user": "me",
        "password": None,
        "database": "mine",
    },
    "several hosts": {"host": ["one", "two"], "port": [6000, 6001], "user": "me"},
    "several hosts and one port": {"host": ("one", "two"), "port": 6000, "user": "me"},
    "an IPv6 address": {"host": "::1", "port": 6000, "user": "me"},
    "a socket": {"host": "/run/my server", "port": 6000, "user": "me"},
    "a URL and a host": {"dsn": URL, "host": "other"},
    "a URL and a host with a port": {"dsn": URL, "host": "other", "port": 6001},
    "a URL and a user": {"dsn": URL, "user": ODD},
    "a URL and a password": {"dsn": URL, "password": ODD},
    "a URL and a database": {"dsn": URL, "database": ODD},
    "a URL that says it in its query": {
        "dsn": "postgresql:///?host=host&port=6000&user=me&password=secret&dbname=mine"
    },
    "a query and another host": {
        "dsn": "postgresql:///?host=host&port=6000&user=me&dbname=mine",
        "host": "other",
    },
    "a query and another database": {
        "dsn": "postgresql://me@host/?dbname=mine",
        "database": "other",
    },
    "a query and another user": {"dsn": "postgresql://host/mine?user=me", "user": "other"},
}
OPTIONS: dict[str, Any] = {
    "passfile": "/nowhere/pgpass",
    "timeout": 5,
    "statement_cache_size": 0,
    "max_cached_statement_lifetime": 1,
    "max_cacheable_statement_size": 1,
    "command_timeout": 5,
    "ssl": "disable",
    "connection_class": asyncpg.Connection,
    "record_class": asyncpg.Record,
    "server_settings": {"application_name": "ours", "search_path": "a, b"},
    "target_session_attrs": "any",
    "krbsrvname": "kerberos",
    "gsslib": "sspi",
}
"""Every other argument of asyncpg.connect, with a value that is not its default."""
LEFT_OUT = {"loop", "service", "servicefile", "direct_tls"}
"""They need an event loop, a file, a newer server; they are handed on as the others are."""

_DEFAULTS = {
    name: parameter.default
    for name, parameter in inspect.signature(asyncpg.connect).parameters.items()
}


def meant(**arguments: Any) -> tuple[Any, ...]:
    """Return what asyncpg would do with its arguments: where to, as whom, and how."""
    parse: Callable[..., tuple[Any, ...]] = vars(connect_utils)["_parse_connect_arguments"]
    names = inspect.signature(parse).parameters
    addresses, parameters, config = parse(
        **{name: arguments.get(name, _DEFAULTS[name]) for name in names}
    )
    of_connect = {name: arguments.get(name, _DEFAULTS[name]) for name in OPTIONS}
    return addresses, parameters, config, of_connect


def of_settings(settings: Settings) -> tuple[Any, ...]:
    return meant(dsn=settings.database_url, **settings.driver_options)


@pytest.fixture(autouse=True)
def _nothing_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGDATABASE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PGSSLMODE", "disable")  # a TLS context equals no other one


@pytest.mark.parametrize("name", ADDRESSES)
def test_an_address_is_the_one_that_asyncpg_finds(name: str) -> None:
    config = ADDRESSES[name]
    assert of_settings(Settings.load({}, config)) == meant(**config)


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("address", ["a URL", "one by one"])
def test_every_other_argument_is_handed_on(address: str, name: str) -> None:
    config = ADDRESSES[address] | {name: OPTIONS[name]}
    assert of_settings(Settings.load({}, config)) == meant(**config)


def test_that_is_every_argument_of_asyncpg() -> None:
    of_address = {"dsn", "host", "port", "user", "password", "database"}
    assert _DEFAULTS.keys() == of_address | OPTIONS.keys() | LEFT_OUT
    assert all(OPTIONS[name] != _DEFAULTS[name] for name in OPTIONS if not name.endswith("_class"))


@pytest.mark.parametrize("name", sorted(LEFT_OUT))
def test_those_that_cannot_be_parsed_here_are_handed_on_too(name: str) -> None:
    config = {"host": "host", "user": "me", name: "something"}
    assert Settings.load({}, config).driver_options[name] == "something"


def test_a_password_may_be_a_function() -> None:
    def password() -> str:
        return "secret"

    settings = Settings.load({}, {"host": "host", "user": "me", "password": password})
    assert settings.driver_options["password"] is password
    assert settings.database_url == "postgresql://me@host"


def test_a_config_without_an_address_leaves_it_to_the_embedded_server() -> None:
    settings = Settings.load({}, {"command_timeout": 5})
    assert settings.database_url is None
    assert settings.driver_options == {"command_timeout": 5}


class TestDatabaseUrl:
    URL = "postgresql://someone@elsewhere/theirs"

    @pytest.mark.parametrize("name", ADDRESSES)
    def test_wins_over_the_address_and_nothing_of_that_is_left(self, name: str) -> None:
        settings = Settings.load({"DATABASE_URL": self.URL}, ADDRESSES[name])
        assert (settings.database_url, settings.driver_options) == (self.URL, {})

    @pytest.mark.parametrize("name", sorted(OPTIONS.keys() - {"passfile"}))
    def test_keeps_the_other_arguments(self, name: str) -> None:
        config = {"host": "host", "user": "me", name: OPTIONS[name]}
        settings = Settings.load({"DATABASE_URL": self.URL}, config)
        assert settings.driver_options == {name: OPTIONS[name]}

    @pytest.mark.parametrize("name", ["passfile", "service", "servicefile"])
    def test_is_not_given_the_files_of_the_other_address(self, name: str) -> None:
        settings = Settings.load({"DATABASE_URL": self.URL}, {name: "x", "host": "host"})
        assert settings.driver_options == {}

    @pytest.mark.parametrize(
        ("query", "name"),
        [("sslmode=disable", "ssl"), ("target_session_attrs=any", "target_session_attrs")],
    )
    def test_wins_where_it_says_the_same_itself(self, query: str, name: str) -> None:
        settings = Settings.load({"DATABASE_URL": f"{self.URL}?{query}"}, {name: OPTIONS[name]})
        assert settings.driver_options == {}


@pytest.mark.parametrize(
    "config",
    [
        {"host": "host", "port": "secret"},
        {"host": ["one", "two"], "port": [1, 2, 3], "password": "secret"},
        {"host": ["::1", "two"], "password": "secret"},
        {"dsn": "postgresql://me:secret@[host/mine", "user": "me"},
        {"dsn": "postgresql://me:secret@[host/mine"},
        {"dsn": "mysql://me:secret@host/mine"},
    ],
)
def test_an_invalid_config_is_one_line_without_the_password(
    config: Mapping[str, Any],
) -> None:
    with pytest.raises(SettingsError) as refused:
        Settings.load({}, config)
    message = str(refused.value)
    assert "\n" not in message
    assert "secret" not in message
    assert "piccolo_conf" in message


@pytest.mark.parametrize("name", ["hostname", "min_size", "pool"])
def test_unknown_arguments_are_named_with_the_known_ones(name: str) -> None:
    with pytest.raises(SettingsError) as refused:
        Settings.load({}, {"host": "host", name: 1})
    assert f"The engine's config in piccolo_conf has {name}, which asyncpg.connect does not" in (
        str(refused.value)
    )
    assert "server_settings" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("engine", [DatabaseEngine, PartmanEngine])
def test_the_engine_takes_what_piccolos_takes_but_other_nodes(engine: type[Any]) -> None:
    """A run and a tenant's block are on one server; nothing of partman knows of a second one."""
    piccolos = list(inspect.signature(PostgresEngine).parameters)
    assert piccolos.pop() == "extra_nodes"
    assert list(inspect.signature(engine).parameters) == [*piccolos, "settings", "tenancy"]


def test_the_settings_that_the_engine_is_given_replace_its_config() -> None:
    given = Settings.load({"DATABASE_URL": "postgresql://given/db"})
    assert PartmanEngine({"host": "configured"}, settings=given).settings is given
    assert PartmanEngine({"host": "configured"}).settings.database_url == "postgresql://configured"


def test_a_config_is_not_read_before_it_is_needed() -> None:
    """So a project with a wrong one can be imported, and the command says what is wrong."""
    engine = PartmanEngine({"hostname": "host"})
    with pytest.raises(SettingsError, match="hostname"):
        engine.settings.database_url  # noqa: B018 -- it is read now
