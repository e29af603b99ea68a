"""``partman diagram``."""

import asyncio
from enum import StrEnum
from typing import Annotated

import typer

from partman.cli.options import Scratch, ScratchOption, scratch_settings
from partman.database.project_settings import project_settings


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

    They are built on a scratch database; no other one is looked at.

    Example: `partman diagram --format svg > schema.svg`
    """
    from partman.database.engine import DatabaseEngine, project_engine
    from partman.diagram.mermaid import mermaid
    from partman.diagram.svg import svg
    from partman.migration.verification.rebuild import catalog_of_migrations

    settings = scratch_settings(project_settings(), scratch)
    catalog = asyncio.run(catalog_of_migrations(settings))
    draw = svg if format_ is Format.SVG else mermaid
    typer.echo(draw(catalog, project_engine(DatabaseEngine).tenancy), nl=False)
