"""Rows of text, in columns."""

from collections.abc import Sequence


def table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Return the lines, each column as wide as its widest cell."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (header, *rows)
    ]


def table_by_app(
    header: tuple[str, ...], rows: Sequence[tuple[str, ...]], apps: Sequence[str]
) -> list[str]:
    """Return the lines of a table; with a first column for the app where there are several."""
    if len(set(apps)) < 2:
        return table(header, rows)
    return table(("app", *header), [(app, *row) for app, row in zip(apps, rows, strict=True)])
