"""Parse the engine's ``config``, the arguments of ``asyncpg.connect``: a URL and others."""

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
"""Names of arguments in the query of a URL, where they differ."""


def split_config(config: Mapping[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """Return the URL that ``asyncpg.connect``'s arguments mean, and the remaining arguments.

    The URL is None if they name no database. A password that is a function is among the remaining
    ones. Raises SettingsError.
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
            "parsed. Nothing was done. Correct it; it takes the arguments of asyncpg.connect. In a "
            "dsn, special characters of the password must be percent-encoded ('@' is %40)."
        ) from None


def _refuse_unknown(config: Mapping[str, Any]) -> None:
    known = inspect.signature(asyncpg.connect).parameters.keys()
    if unknown := sorted(config.keys() - known):
        raise SettingsError(
            f"The engine's config in piccolo_conf has {', '.join(map(str, unknown))}, which "
            "asyncpg.connect does not accept. Nothing was done. Correct the name; the known "
            f"arguments are: {', '.join(sorted(known))}"
        )


def options_for(url: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that fit a URL other than the config's.

    Arguments of the config's own address are left out, and arguments that the URL has itself.
    """
    told = query_names(url)
    return {
        name: value
        for name, value in options.items()
        if name not in _OF_ADDRESS and told.isdisjoint(_QUERY_NAMES.get(name, (name,)))
    }


def query_names(url: str) -> set[str]:
    """Return the names in the query of a URL."""
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
        raise ValueError(hosts)  # a URL with several hosts cannot contain an IPv6 address
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
