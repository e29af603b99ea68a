"""Give scratch databases on another server the form of the live database.

On the same server they have it anyway. Another server may be unable to: it is another version, its
operating system lacks the locale, it does not know a parameter.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

import asyncpg

from partman.database.connection import connected
from partman.database.database_form import (
    differing_parameters,
    effective_parameters,
    read_forms,
)
from partman.database.read_only import reading
from partman.database.scratch import scratch_database
from partman.errors import DatabaseUnavailableError
from partman.settings import DatabaseForm, DatabaseLocale, Settings

if TYPE_CHECKING:
    from asyncpg import Connection, Record


async def like_live(settings: Settings, scratch: Settings) -> Settings:
    """Return ``scratch`` with the form of the database of ``settings``, as far as it can have it.

    ``scratch_form.missing`` says what it cannot have. Raises the errors of reading() and of
    scratch_database().
    """
    if scratch.database_url == settings.database_url:
        return scratch
    async with reading(settings, "partman: scratch database") as live:
        (form, _), parameters = await read_forms(live), await effective_parameters(live)
        version = live.get_server_version().major
    async with connected(scratch, "partman: scratch database") as server:
        own, usual = await read_forms(server)
        there = server.get_server_version().major
        differing = differing_parameters(parameters, await effective_parameters(server))
        valid = {name for name, value in differing.items() if await _is_valid(server, name, value)}
    missing = [f"it is PostgreSQL {there}, not {version}"] if there != version else []
    kept = tuple(f"{name}={differing[name]}" for name in sorted(valid))
    wanted = DatabaseForm(form.locale, (), session_parameters=kept)
    if form.locale != usual and not await _can_create(replace(scratch, scratch_form=wanted)):
        missing.append(f"it has no {_in_words(form.locale)}")
        wanted = replace(wanted, locale=own.locale)
    missing += [
        f"it cannot set {name} = {value}"
        for name, value in sorted(differing.items())
        if name not in valid
    ]
    return replace(scratch, scratch_form=replace(wanted, missing=_sentence(missing)))


async def _is_valid(server: "Connection[Record]", name: str, value: str) -> bool:
    try:
        async with server.transaction():
            await server.execute("SELECT set_config($1, $2, true)", name, value)
    except asyncpg.PostgresError:
        return False
    return True


async def _can_create(scratch: Settings) -> bool:
    try:
        async with scratch_database(scratch):
            return True
    except DatabaseUnavailableError:
        return False


def _in_words(locale: DatabaseLocale) -> str:
    name = locale.locale or locale.collate
    return f"locale {name} of {locale.provider} for the encoding {locale.encoding}"


def _sentence(missing: list[str]) -> str | None:
    if not missing:
        return None
    return (
        "The scratch database is not quite like the live one, so that a statement may do something "
        f"else there: {'; '.join(missing)}."
    )
