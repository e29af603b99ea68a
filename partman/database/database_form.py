"""The form of a database: its encoding, its locale, and the settings that its sessions start with.

A statement may depend on all of them: a cast of a timestamp on the time zone, a unique index on the
collation, the table that a name means on the search_path.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from partman.grammar.names import literal, quoted
from partman.settings import DatabaseForm, DatabaseLocale

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_ORDINARY_TEMPLATE = "template1"

_PASSED_OVER = """
(name LIKE '%\\_timeout'
    OR name IN ('default_transaction_read_only', 'lc_messages', 'synchronous_commit'))
"""
"""Settings without a meaning for a scratch database. It is written to, without limits for a session
that is idle; what the server says must be in English, by which a plan knows some of the work; and
a scratch database needs not survive a crash.
"""

# The names of the locale's columns are those of PostgreSQL 17, and of 15 and 16. Parameters that
# only a superuser sets are about logs, libraries and replication.
_FORMS = f"""
WITH settings AS (
    SELECT setdatabase, setrole, assigned.setting
    FROM pg_db_role_setting CROSS JOIN unnest(setconfig) assigned (setting)
    CROSS JOIN split_part(assigned.setting, '=', 1) parameter (name)
    WHERE NOT {_PASSED_OVER}
        AND NOT EXISTS (
            SELECT FROM pg_settings s WHERE s.name = parameter.name AND context <> 'user')
)
SELECT datname, pg_encoding_to_char(encoding) AS encoding, datcollate AS collate, datctype AS ctype,
    CASE datlocprovider WHEN 'c' THEN 'libc' WHEN 'i' THEN 'icu' ELSE 'builtin' END AS provider,
    coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale') AS locale,
    to_jsonb(d) ->> 'daticurules' AS icu_rules,
    ARRAY(SELECT setting FROM settings WHERE setdatabase = d.oid AND setrole = 0) AS parameters,
    ARRAY(SELECT setting FROM settings JOIN pg_roles r ON r.oid = setrole
        WHERE setdatabase = d.oid AND rolname = session_user) AS role_parameters,
    ARRAY(SELECT name || '=' || reset_val FROM pg_settings
        WHERE source IN ('database', 'database user') AND context = 'user' AND NOT {_PASSED_OVER})
        AS session_parameters
FROM pg_database d
WHERE datname IN (coalesce($1, current_database()), '{_ORDINARY_TEMPLATE}')
"""

# What a session starts with, wherever it comes from, but for what the client asked for.
_EFFECTIVE = f"""
SELECT name, reset_val, boot_val FROM pg_settings
WHERE context = 'user' AND source <> 'client' AND NOT {_PASSED_OVER}
"""

_LISTS_OF_NAMES = frozenset(("local_preload_libraries", "search_path", "temp_tablespaces"))
"""The parameters with GUC_LIST_QUOTE that a user may set: their values are stored as SQL, each name
quoted. PostgreSQL does not tell which they are; pg_dump has the same list.
"""


async def read_forms(
    connection: "Connection[Record]", database: str | None = None
) -> tuple[DatabaseForm, DatabaseLocale]:
    """Return the form of a database, by default the session's, and the locale of the template.

    ``session_parameters`` are always those of the session. The template is that which CREATE
    DATABASE copies if none is named.
    """
    rows = {row["datname"]: row for row in await connection.fetch(_FORMS, database)}
    usual = _locale(rows[_ORDINARY_TEMPLATE])
    own = next((row for name, row in rows.items() if name != _ORDINARY_TEMPLATE), None)
    row = own or rows[_ORDINARY_TEMPLATE]
    form = DatabaseForm(
        _locale(row),
        tuple(row["parameters"]),
        tuple(row["role_parameters"]),
        tuple(row["session_parameters"]),
    )
    return form, usual


async def effective_parameters(connection: "Connection[Record]") -> dict[str, tuple[str, str]]:
    """Return the value with which a session starts, and the default, of a user's parameters."""
    rows = await connection.fetch(_EFFECTIVE)
    return {row["name"]: (row["reset_val"], row["boot_val"]) for row in rows}


def differing_parameters(
    live: Mapping[str, tuple[str, str]], other: Mapping[str, tuple[str, str]]
) -> dict[str, str]:
    """Return the live server's values that another server's sessions do not start with."""
    return {
        name: value
        for name, (value, default) in live.items()
        # A parameter that the other server does not know has no effect at its default.
        if value != (other[name][0] if name in other else default)
    }


def create_options(form: DatabaseForm, usual: DatabaseLocale) -> str:
    """Return the options of CREATE DATABASE; ``usual`` is what it does without any."""
    wanted = form.locale
    if wanted == usual:
        return ""
    options = [
        # Only this template may be copied with another encoding or locale.
        "TEMPLATE template0",
        f"ENCODING {literal(wanted.encoding)}",
        f"LOCALE_PROVIDER {wanted.provider}",
        f"LC_COLLATE {literal(wanted.collate)}",
        f"LC_CTYPE {literal(wanted.ctype)}",
    ]
    if wanted.locale is not None:
        options.append(f"{wanted.provider}_LOCALE {literal(wanted.locale)}")
    if wanted.icu_rules is not None:
        options.append(f"ICU_RULES {literal(wanted.icu_rules)}")
    return " ".join(options)


def alter_statements(form: DatabaseForm, database: str) -> Iterator[str]:
    """Yield the statements that give a database, and the login role in it, the form's settings."""
    for setting in _assignments(form.parameters):
        yield f"ALTER DATABASE {database} SET {setting}"
    for setting in _assignments(form.role_parameters):
        yield f"ALTER ROLE SESSION_USER IN DATABASE {database} SET {setting}"


def _assignments(parameters: Iterable[str]) -> Iterator[str]:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        yield assignment(name, value)


def assignment(name: str, value: str | None = None) -> str:
    """Return a parameter and its value as stored, as in SET; or only its name, as in RESET."""
    dotted = ".".join(quoted(part) for part in name.split("."))
    if value is None:
        return dotted
    return f"{dotted} TO {_names(value) if name in _LISTS_OF_NAMES else literal(value)}"


def _names(value: str) -> str:
    """Return a list of names for SQL; an empty one is stored as a name without a letter."""
    return "''" if value in ("", '""') else value


def _locale(row: "Record") -> DatabaseLocale:
    return DatabaseLocale(
        encoding=row["encoding"],
        provider=row["provider"],
        collate=row["collate"],
        ctype=row["ctype"],
        locale=row["locale"],
        icu_rules=row["icu_rules"],
    )
