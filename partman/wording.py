"""Text that several messages share."""

import re


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural where needed: ``1 row``, ``2,000 rows``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def abbreviated(revision: str) -> str:
    """Return a revision with its hash cut to 12 characters, and what is around it, as -dirty."""
    return re.sub("[0-9a-f]{40,}", lambda found: found[0][:12], revision)
