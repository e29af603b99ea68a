"""Kinds of objects that few databases have.

To plan the statement in ``queries`` takes a new session several times as long as to run it, and a
third of that is for objects of which most databases have none. So it leaves these kinds out, and
says in the same snapshot which of them there are: then it is asked again, with them.
"""

from collections.abc import Collection, Mapping
from typing import Final

from partman.catalog.other_queries import IDENTIFIED, KNOWN_CATALOGS, WITH_PARTS
from partman.catalog.query_words import FIRST_USER_OID

TYPE: Final = "type"
ATTACHMENT: Final = "attachment"
RULE: Final = "rule"
STATISTICS: Final = "statistics"
PUBLICATION: Final = "publication"
SETTING: Final = "setting"
DEFAULT_GRANT: Final = "default grant"
OTHER: Final = "other"
"""What is not modelled, and what is not compared."""

_OTHER = " OR ".join(
    f"EXISTS (SELECT FROM {rows})"
    for rows in (
        *(f"{catalog} WHERE oid >= {FIRST_USER_OID}" for catalog in (*IDENTIFIED, *WITH_PARTS)),
        # Base types and shells, but not the array of another type.
        f"pg_type WHERE oid >= {FIRST_USER_OID} AND (typtype = 'p'"
        " OR typtype = 'b' AND typinput <> 'array_in'::regproc)",
        *("pg_user_mappings", "pg_subscription", "pg_seclabel"),
        f"pg_class WHERE oid >= {FIRST_USER_OID} AND reltablespace <> 0",
        f"pg_depend WHERE objid >= {FIRST_USER_OID} AND classid NOT IN ({KNOWN_CATALOGS})",
    )
)

CONDITIONS: Final[Mapping[str, str]] = {
    TYPE: "EXISTS (SELECT FROM type)",
    ATTACHMENT: "EXISTS (SELECT FROM pg_inherits)",
    RULE: (
        f"EXISTS (SELECT FROM pg_rewrite WHERE oid >= {FIRST_USER_OID} AND rulename <> '_RETURN')"
    ),
    STATISTICS: "EXISTS (SELECT FROM pg_statistic_ext)",
    PUBLICATION: "EXISTS (SELECT FROM pg_publication)",
    SETTING: (
        "EXISTS (SELECT FROM pg_db_role_setting WHERE setdatabase ="
        " (SELECT oid FROM pg_database WHERE datname = current_database()))"
    ),
    DEFAULT_GRANT: "EXISTS (SELECT FROM pg_default_acl)",
    OTHER: _OTHER,
}
"""Whether there may be any; they may refer to the statement's common table expressions."""

ALL: Final = frozenset(CONDITIONS)

FOUND: Final = "Found"
"""Stands for a class in the rows that name the kinds."""


def found_query(kinds: Collection[str] = ALL) -> str:
    """Return the query for which of these kinds there are."""
    values = ", ".join(f"('{kind}', {CONDITIONS[kind]})" for kind in CONDITIONS if kind in kinds)
    return f"""
SELECT '{FOUND}', to_json(kind)::text
FROM (VALUES {values}) found (kind, is_there) WHERE is_there"""
