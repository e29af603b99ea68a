"""Text that several messages share."""

import re

NO_VERSION = "none, no migration is applied"
"""What is said of the schema version of a database without migrations."""


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural where needed: ``1 row``, ``2,000 rows``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def abbreviated(revision: str) -> str:
    """Return a revision with its hash cut to 12 characters, and what is around it, as -dirty."""
    return re.sub("[0-9a-f]{40,}", lambda found: found[0][:12], revision)


def in_seconds(seconds: float) -> str:
    """Return a time with its unit: ``4 ms``, ``3.4 s``, ``2 min 10 s``."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms" if seconds >= 0.001 else f"{seconds * 1000:.1f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"


def in_words(name: str) -> str:
    """Return a name of the code as people write it: ``quarterly_goals`` as Quarterly goals."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).replace("_", " ").strip()
    words = ("ID" if word.lower() == "id" else word for word in spaced.split())
    lowered = " ".join(word if word.isupper() else word.lower() for word in words)
    return lowered[:1].upper() + lowered[1:]
