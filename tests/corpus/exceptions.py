"""Where partman and pg_dump may disagree about whether two schemas are equal."""

EXCEPTIONS = (
    (
        "the order of a table's columns",
        "No migration can change it, and statements that name their columns do not depend on it.",
    ),
    (
        "the name of the role that runs the migrations",
        "It may differ between servers. `pg_database_owner` means the same role.",
    ),
    (
        "the order of rights, of storage parameters and of types",
        "It is the order in which they were set.",
    ),
    (
        "rights on the database itself, and settings of it and of roles in it",
        "pg_dump prints them with `--create` only. partman compares them.",
    ),
    (
        "the validator of a language whose handler is PostgreSQL's own",
        "pg_dump does not print it. partman compares it.",
    ),
    (
        "a number that PostgreSQL adds to a name of NOT NULL, and an inherited name of it",
        "It depends on what was created first. It is written as pg_dump prints it.",
    ),
    (
        "a comment on an extension",
        "It comes with the server's package. It is not read; pg_dump sees it.",
    ),
    (
        "the right to MAINTAIN of the owner, and of a grantee with all other rights",
        "PostgreSQL 15 and 16 do not have it.",
    ),
    (
        "how an expression was typed",
        "PostgreSQL prints `CHECK (c IN ('a', 'b'))` differently after it has read it from a dump. "
        "Both are restored and dumped once more.",
    ),
)
"""What does not count, and why."""

UNLIKE = {
    "language l: definition",
    "different grant <its owner> on table shop.cache: privileges",
    "different grant PUBLIC on database: privileges",
}
"""The changes in the tests to which this applies."""

OF_THE_DATABASE = ("database", "setting")
"""The kinds of objects that pg_dump prints with ``--create`` only."""
