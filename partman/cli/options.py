"""Options that several commands have."""

from dataclasses import replace
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


def _watch_imports(no_cache: bool) -> bool:
    """Note what the project reads when it is imported, which the command has yet to do."""
    import partman.migration.verification.build_inputs  # noqa: F401

    return no_cache


NoCache = Annotated[
    bool,
    typer.Option(
        "--no-cache",
        callback=_watch_imports,
        help="Run the migrations even if what they build is known from an earlier run.",
    ),
]


def scratch_settings(settings: Settings, where: Scratch, *, anew: bool = False) -> Settings:
    """Return the settings with which scratch databases are made; ``anew``: use nothing kept."""
    server = settings if where is Scratch.SERVER else settings.on_embedded_server
    return replace(server, builds_anew=anew)
