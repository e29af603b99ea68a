"""The engine's ``config``, which is what ``asyncpg.connect`` takes: a URL, and other arguments."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import asyncpg

from partman.connection_url import has_one_meaning
from partman.errors import SettingsError

_IN_URL = frozenset({"dsn", "host", "port", "user", "password", "database"})
_OF_ADDRESS = _IN_URL | {"passfile", "service", "servicefile"}
_QUERY_NAMES = {
    "database": ("database", "dbname"),
    "direct_tls": ("sslnegotiation",),
    "ssl": ("sslmode",),
}
"""What an argument is called in the query of a URL, where that is another name."""


def split_config(config: Mapping[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """Return the URL that ``asyncpg.connect``'s arguments mean, and the others of them.

    The URL is None where they do not say which database it is. A password that is a function is
    among the others. Raises SettingsError.
    """
    _refuse_unknown(config)
    given = {name: value for name, value in config.items() if value not in (None, "", [], ())}
    options = {name: given[name] for name in given.keys() - _IN_URL}
    if given.keys().isdisjoint(_IN_URL | {"service"}):
        return None, options
    if callable(given.get("password")):
        options["password"] = given.pop("password")
    if "port" in given and "host" not in given:
        options["port"] = given.pop("port")
    try:
        return _url(given), options
    except (ValueError, TypeError):
        # From None, as the error may quote the password.
        raise SettingsError(
            "The engine's config in piccolo_conf is not valid: its dsn, host or port cannot be "
            "understood. Nothing was done. Correct it; it takes what asyncpg.connect takes. In a "
            "dsn, special characters of the password must be percent-encoded ('@' is %40)."
        ) from None


def _refuse_unknown(config: Mapping[str, Any]) -> None:
    known = inspect.signature(asyncpg.connect).parameters.keys()
    if unknown := sorted(config.keys() - known):
        raise SettingsError(
            f"The engine's config in piccolo_conf has {', '.join(map(str, unknown))}, which "
            "asyncpg.connect does not take. Nothing was done. Correct the name; these are known: "
            f"{', '.join(sorted(known))}"
        )


def options_for(url: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return those arguments that go with a URL that is not the config's.

    What belongs to the config's own address does not, nor does what the URL says itself.
    """
    told = query_names(url)
    return {
        name: value
        for name, value in options.items()
        if name not in _OF_ADDRESS and told.isdisjoint(_QUERY_NAMES.get(name, (name,)))
    }


def query_names(url: str) -> set[str]:
    """Return the names of what a URL says in its query."""
    return {name for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True)}


def _url(given: Mapping[str, Any]) -> str:
    dsn = str(given.get("dsn") or "postgresql://")
    if not has_one_meaning(dsn):
        raise ValueError
    if given.keys() == {"dsn"}:
        return dsn
    parts = urlsplit(dsn)
    auth, _, hosts = parts.netloc.rpartition("@")
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    if "host" in given:
        hosts = _hosts(given["host"], given.get("port") or query.pop("port", "").split(","))
    for name in given:
        for other in _QUERY_NAMES.get(name, (name,)):
            query.pop(other, None)
    auth = f"{auth}@" if (auth := _auth(auth, given)) else ""
    path = f"/{_quoted(given['database'])}" if "database" in given else parts.path
    rest = urlencode(query, quote_via=quote)
    return f"{parts.scheme}://{auth}{hosts}{path}{'?' if rest else ''}{rest}"


def _auth(auth: str, given: Mapping[str, Any]) -> str:
    user, _, password = auth.partition(":")
    if "user" in given:
        user = _quoted(given["user"])
    if "password" in given:
        password = _quoted(given["password"])
    return f"{user}:{password}" if password else user


def _hosts(host: Any, port: Any) -> str:
    hosts, ports = _each(host), [str(int(each)) for each in _each(port) if each]
    if len(ports) == 1:
        ports *= len(hosts)
    if ports and len(ports) != len(hosts):
        raise ValueError(ports)
    if len(hosts) > 1 and any(":" in each and not each.startswith("/") for each in hosts):
        raise ValueError(hosts)  # no URL can have an IPv6 address among several hosts
    named = [_host(each) for each in hosts]
    return ",".join(map(":".join, zip(named, ports, strict=True)) if ports else named)


def _host(name: str) -> str:
    is_ipv6 = ":" in name and not name.startswith("/")
    return f"[{quote(name, safe=':')}]" if is_ipv6 else _quoted(name)


def _each(value: Any) -> list[str]:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [str(each) for each in value]
    return [str(value)]


def _quoted(value: object) -> str:
    return quote(str(value), safe="")
