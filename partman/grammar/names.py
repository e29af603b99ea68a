"""SQL names and literals, quoted where needed."""

import re

LONGEST_NAME = 63
"""Length in bytes to which PostgreSQL truncates a name."""

_PLAIN = re.compile(r"[a-z_][a-z0-9_]*", re.ASCII)

KEYWORDS = frozenset(
    """
    all analyse analyze and any array as asc asymmetric authorization between bigint binary bit
    boolean both case cast char character check coalesce collate collation column concurrently
    constraint create cross current_catalog current_date current_role current_schema
    current_time current_timestamp current_user dec decimal default deferrable desc distinct do
    else end except exists extract false fetch float for foreign freeze from full grant greatest
    group grouping having ilike in initially inner inout int integer intersect interval into is
    isnull join json json_array json_arrayagg json_exists json_object json_objectagg json_query
    json_scalar json_serialize json_table json_value lateral leading least left like limit
    localtime localtimestamp merge_action national natural nchar none normalize not notnull null
    nullif numeric offset on only or order out outer overlaps overlay placing position precision
    primary real references returning right row select session_user setof similar smallint some
    substring symmetric system_user table tablesample then time timestamp to trailing treat trim
    true union unique user using values varchar variadic verbose when where window with
    xmlattributes xmlconcat xmlelement xmlexists xmlforest xmlnamespaces xmlparse xmlpi xmlroot
    xmlserialize xmltable
    """.split()  # noqa: SIM905 -- to be read
)
"""The words that PostgreSQL quotes when it prints them as names: all of pg_get_keywords(), in the
newest version, except the unreserved ones.
"""


def is_plain(name: str) -> bool:
    """Whether a name means the same with and without quotes."""
    return _PLAIN.fullmatch(name) is not None and len(name) <= LONGEST_NAME and name not in KEYWORDS


def quoted(name: str) -> str:
    """Return a name for SQL, quoted if needed."""
    return name if is_plain(name) else '"' + name.replace('"', '""') + '"'


def unquoted(name: str) -> str:
    """Return the name that SQL means: ``"a""b"`` is ``a"b``."""
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


def without_schema(name: str) -> str:
    """Return the name of an object without its schema: ``schema."a.b"`` is ``"a.b"``."""
    end = name.find('"', 1)
    while name.startswith('"') and name[end + 1 : end + 2] == '"':
        end = name.find('"', end + 2)
    return name[end + 2 :] if name.startswith('"') else name.partition(".")[2]


def literal(text: str) -> str:
    """Return a text as an SQL literal that is valid for either ``standard_conforming_strings``."""
    escaped = text.replace("'", "''")
    return f"E'{escaped}'".replace("\\", "\\\\") if "\\" in text else f"'{escaped}'"
