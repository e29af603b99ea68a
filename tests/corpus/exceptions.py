"""Where partman and pg_dump may disagree about whether two schemas are equal."""

EXCEPTIONS = (
    (
        "the order of a table's columns",
        "No migration can change it, and statements that name their columns do not depend on it.",
    ),
    (
        "the name of the role that runs the migrations",
        "It may differ between servers. Other owners are compared.",
    ),
    (
        "the order of rights, of storage parameters and of types",
        "It is the order in which they were set.",
    ),
    (
        "how an expression was typed",
        "PostgreSQL prints `CHECK (c IN ('a', 'b'))` differently after it has read it from a dump.",
    ),
)
"""What does not count, and why."""
