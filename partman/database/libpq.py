"""Pass a connection on to PostgreSQL's own programs, which use libpq instead of asyncpg.

Nothing secret is on the command line, where every user of the machine can read it.
"""

import inspect
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from partman.database.connection import session_settings
from partman.errors import PgDumpFailedError
from partman.settings import Settings

_OF_THE_CONNECTION = frozenset(
    """
    host port dbname user passfile service sslmode sslcert sslkey sslrootcert sslcrl
    sslnegotiation ssl_min_protocol_version ssl_max_protocol_version target_session_attrs
    krbsrvname gsslib application_name
    """.split()  # noqa: SIM905 -- to be read
)
"""The parameters of a URL that asyncpg and libpq both know. asyncpg takes any other one for a
setting of the server.
"""
_VARIABLES = {
    "passfile": "PGPASSFILE",
    "port": "PGPORT",
    "service": "PGSERVICE",
    "servicefile": "PGSERVICEFILE",
    "krbsrvname": "PGKRBSRVNAME",
    "gsslib": "PGGSSLIB",
}
"""Arguments of ``asyncpg.connect``, and the variables of libpq that mean the same."""

_DEFAULT_HOSTS = "/run/postgresql,/var/run/postgresql,/tmp,localhost"
"""Where asyncpg looks for a server if nothing names one; libpq was built with one such place."""

_FIXED = {"LC_ALL": "C", "PGTZ": "UTC"}
"""Messages in English; times in definitions in one time zone."""


@dataclass(frozen=True)
class LibpqArguments:
    """What a program of PostgreSQL needs to connect."""

    url: str
    """Without a password."""
    environment: Mapping[str, str] = field(repr=False)


async def libpq_arguments(settings: Settings, url: str) -> LibpqArguments:
    """Return the arguments that connect a program of PostgreSQL as connect() would.

    Raises PgDumpFailedError if a program cannot be given what the connection needs.
    """
    parts = urlsplit(url)
    auth, _, hosts = parts.netloc.rpartition("@")
    user, _, password = auth.partition(":")
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    if "sslpassword" in query:
        raise PgDumpFailedError(
            "The URL has an sslpassword, which pg_dump takes only on its command line, where "
            "others can read it. Nothing was done."
        )
    secret = query.pop("password", "") or unquote(password)
    if database := query.pop("database", ""):
        query.setdefault("dbname", database)
    of_server = {name: query.pop(name) for name in [*query] if name not in _OF_THE_CONNECTION}
    options = settings.driver_options
    of_server |= session_settings(settings, url, "partman: pg_dump")
    query.setdefault("application_name", of_server.pop("application_name", "partman: pg_dump"))
    if not hosts and "host" not in query and not {"PGHOST", "PGSERVICE"} & os.environ.keys():
        query["host"] = _DEFAULT_HOSTS
    environment = {**os.environ, **_FIXED, **await _variables(options)}
    environment["PGOPTIONS"] = _as_options(of_server)
    if secret:
        environment["PGPASSWORD"] = secret
    netloc = f"{user}@{hosts}" if user else hosts
    return LibpqArguments(
        f"postgresql://{netloc}{parts.path}?{urlencode(query, quote_via=quote)}", environment
    )


async def _variables(options: Mapping[str, Any]) -> dict[str, str]:
    """Return the variables for the arguments of ``asyncpg.connect`` that the engine has."""
    found = {
        variable: str(options[name])
        for name, variable in _VARIABLES.items()
        if options.get(name) is not None
    }
    if "target_session_attrs" in options:
        attributes = options["target_session_attrs"]
        found["PGTARGETSESSIONATTRS"] = str(getattr(attributes, "value", attributes))
    password = options.get("password")
    if callable(password):
        password = password()
    if inspect.isawaitable(password):
        password = await password
    if password is not None:
        found["PGPASSWORD"] = str(password)
    return found | _tls(options.get("ssl"))


def _tls(mode: Any) -> dict[str, str]:
    match mode:
        case None:
            return {}
        case ssl.SSLContext():
            raise PgDumpFailedError(
                "The engine's config has an SSLContext, which no other program can be given. "
                "Nothing was done. Name the same in DATABASE_URL: sslmode, sslrootcert."
            )
        case False:
            return {"PGSSLMODE": "disable"}
        case True:
            return {"PGSSLMODE": "verify-full", "PGSSLROOTCERT": "system"}
    return {"PGSSLMODE": str(getattr(mode, "name", mode)).replace("_", "-")}


def _as_options(of_server: Mapping[str, str]) -> str:
    """Return settings of the server in the form that libpq passes on when it connects."""
    told = []
    for name, value in of_server.items():
        escaped = str(value).replace("\\", "\\\\").replace(" ", "\\ ")
        told.append(escaped if name == "options" else f"-c {name}={escaped}")
    return " ".join(told)
