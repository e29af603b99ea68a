"""Options that several commands have."""

from enum import StrEnum
from typing import Annotated

import typer

from partman.settings import Settings


class Scratch(StrEnum):
    """On which server scratch databases are made."""

    SERVER = "server"
    EMBEDDED = "embedded"


Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
ScratchOption = Annotated[
    Scratch,
    typer.Option(
        "--scratch",
        help="Where scratch databases are made: on the server of DATABASE_URL, or on the embedded "
        "one, for a role that may not create databases.",
    ),
]


def scratch_settings(settings: Settings, where: Scratch) -> Settings:
    """Return the settings with which scratch databases are made."""
    return settings if where is Scratch.SERVER else settings.on_embedded_server
