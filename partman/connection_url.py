"""Whether a database's URL can be read in one way only, and what of it may be printed.

An unencoded '@', '/', '#' or '?' in a password moves the place where a parser ends the password,
and the rest of the password becomes a host, a database or a parameter. Such a URL has an '@'
outside of its authority, or two of them, or a '#'. It is refused, and no part of it is printed.
"""

import re
from urllib.parse import parse_qs, parse_qsl, unquote, urlsplit

_USER = re.compile(r"[\w.@+-]*")
_HOST = re.compile(r"(/[\w./-]+|\[[\dA-Fa-f:.]+\]|[\w.-]*)(:\d*)?")
_DATABASE = re.compile(r"[\w.-]*")

_SECRET = frozenset({"password", "sslpassword"})


def has_one_meaning(url: str) -> bool:
    """Whether no unencoded character of a password can have been taken for a separator."""
    try:
        parts = urlsplit(url)
    except ValueError:  # such as brackets around no IPv6 address
        return False
    return "#" not in url and url.count("@") == parts.netloc.count("@") <= 1


def has_secret_in_query(url: str) -> bool:
    """Whether a password is in the query, where an unencoded '&' begins another parameter."""
    names = {name for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True)}
    return not names.isdisjoint(_SECRET)


def describe(url: str) -> str:
    """Return ``user@host:port/database`` for a URL, without its password.

    Returns "the configured database" if it can be divided in several ways, or if a part has other
    characters than such a part usually has.
    """
    unknown = "the configured database"
    if not has_one_meaning(url) or has_secret_in_query(url):
        return unknown
    parts = urlsplit(url)
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    auth, _, hosts = parts.netloc.rpartition("@")
    host = unquote(hosts) or query.get("host", "localhost")
    user = unquote(auth.partition(":")[0]) or query.get("user", "")
    database = unquote(parts.path.lstrip("/")) or query.get("dbname", "") or user
    is_plain = (
        all(map(_HOST.fullmatch, host.split(",")))
        and _USER.fullmatch(user)
        and (_DATABASE.fullmatch(database) or database == user)
    )
    if not is_plain:
        return unknown
    return f"{user}@{host}/{database}" if user else f"{host}/{database}"
