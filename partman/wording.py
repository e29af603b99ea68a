"""Text that several messages share."""


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural where needed: ``1 row``, ``2,000 rows``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
