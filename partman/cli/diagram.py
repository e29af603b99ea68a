"""``partman diagram``."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from partman import terminal
from partman.cli.options import Scratch, ScratchOption, scratch_settings
from partman.database.project_settings import imported_settings
from partman.settings import Settings

if TYPE_CHECKING:
    from partman.diagram.entities import Entity


class Format(StrEnum):
    """What the diagram is drawn as."""

    MERMAID = "mermaid"
    SVG = "svg"


def diagram(
    format_: Annotated[
        Format, typer.Option("--format", help="Text for Mermaid, or a picture.")
    ] = Format.MERMAID,
    scratch: ScratchOption = Scratch.SERVER,
) -> None:
    """Draw the tables that the migrations build, with their keys, references and policies.

    They are built on a scratch database; no other one is looked at. A table counts as isolated if
    the audit finds no gap in its row level security.

    Example: `partman diagram --format svg > schema.svg`
    """
    from partman.diagram.mermaid import mermaid
    from partman.diagram.svg import svg

    settings = scratch_settings(imported_settings(), scratch)
    draw = svg if format_ is Format.SVG else mermaid
    typer.echo(draw(terminal.run(read_entities(settings))), nl=False)


async def read_entities(settings: Settings) -> "tuple[Entity, ...]":
    """Return the tables that the migrations build, with what the audit finds of them."""
    from partman.audit import project_audit
    from partman.database.connection import connected
    from partman.database.scratch import scratch_database
    from partman.diagram.entities import entities
    from partman.migration.verification.rebuild import read_migrated, replay

    audit = project_audit()
    async with scratch_database(settings) as database:
        await replay(database)
        catalog = await read_migrated(database)
        if audit is None:
            return entities(catalog, None, ())
        async with connected(database, "partman: audit") as connection:
            isolated = await audit.isolated_tables(connection)
    return entities(catalog, audit.tenancy, isolated)
