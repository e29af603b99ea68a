"""Make the copy on which migrations are rehearsed; drop it afterwards, unless it was there."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import asyncpg

from partman.connection_url import describe
from partman.database.connection import connected, database_url
from partman.database.engine import project_engine
from partman.database.explain import server_message
from partman.database.like_live import like_live
from partman.database.scratch import scratch_database
from partman.engine import PartmanEngine
from partman.errors import RehearsalError
from partman.plan.model import size_in_words
from partman.rehearsal import programs
from partman.rehearsal.model import CopyFacts
from partman.rehearsal.personal import Masks, masks_for
from partman.rehearsal.roles import roles_of_source
from partman.rehearsal.sample import Sample, by_name, by_share, rows_of
from partman.rehearsal.scale import Scale, lacks_checkpoint
from partman.rehearsal.source import Source, source_of
from partman.rehearsal.transfer import Pace, Report, Transfer
from partman.settings import Settings

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_NAME = "partman rehearse: copy"
_ROOM = 2
"""How many times its size a copy may need: for itself, and for what the migrations write."""


@dataclass(frozen=True)
class Wanted:
    """What the copy is made of."""

    url: str | None = None
    """A database that may be changed."""
    dump: Path | None = None
    """A dump of pg_dump."""
    percent: float | None = None
    """Copy so many percent of the tenants."""
    tenant: str | None = None
    """Copy this tenant."""
    mask: bool = False
    rate: float | None = None
    """Bytes a second at most."""
    jobs: int = 2
    """Connections that copy at once."""


@dataclass(frozen=True)
class Copy:
    """A database for a rehearsal."""

    settings: Settings
    facts: CopyFacts
    scale: Mapping[str, Scale] = field(default_factory=dict)
    """How many rows of each table a sample has; empty without a sample."""
    notes: tuple[str, ...] = ()


@asynccontextmanager
async def copy_of(
    live: Settings, scratch: Settings, wanted: Wanted, report: Report
) -> AsyncIterator[Copy]:
    """Yield the copy; ``scratch`` is the server on which it is made.

    Raises RehearsalError, the errors of scratch_database(), and those of reading the source.
    """
    began = monotonic()
    if wanted.url is not None:
        yield await _facts(
            Copy(live.on(wanted.url, "--on"), CopyFacts("a database of yours")), began
        )
        return
    if scratch.database_url != live.database_url:
        scratch = await like_live(live, scratch)
    notes = (scratch.scratch_note,) if scratch.scratch_note else ()
    if wanted.dump is not None:
        async with (
            roles_of_source(live, scratch),
            scratch_database(scratch) as database,
        ):
            report(f"Restoring {wanted.dump}")
            lacks = await programs.restore_file(database, wanted.dump, wanted.jobs)
            await _analyze(database)
            facts = CopyFacts(f"restored from {wanted.dump}")
            yield await _facts(Copy(database, facts, notes=(*notes, *lacks)), began)
        return
    async with source_of(live) as source:
        sample = await _sample(source, wanted)
        masks = masks_for(source) if wanted.mask else None
        await _require_room(scratch, source, sample)
        async with (
            roles_of_source(live, scratch),
            scratch_database(scratch) as database,
        ):
            scale, more = await _make(source, database, sample, masks, wanted, report)
            facts = CopyFacts(
                f"a copy of {source.where}",
                sample=sample.said,
                masked=masks.columns if masks else (),
            )
            made = await _facts(Copy(database, facts, scale, (*notes, *more)), began)
            # The source is not needed any more, and what it keeps for the snapshot.
            await source.connection.execute("ROLLBACK")
            yield made


async def _sample(source: Source, wanted: Wanted) -> Sample:
    tenancy = project_engine(PartmanEngine).tenancy
    if wanted.tenant is not None:
        return await by_name(source, tenancy, wanted.tenant)
    if wanted.percent is not None:
        return await by_share(source, tenancy, wanted.percent)
    return Sample()


async def _make(
    source: Source,
    database: Settings,
    sample: Sample,
    masks: Masks | None,
    wanted: Wanted,
    report: Report,
) -> tuple[dict[str, Scale], list[str]]:
    """Copy schema and rows; return the scale of a sample, and notes."""
    report("Copying the schema")
    archive = await programs.dump_schema(source.settings, source.snapshot)
    notes = await programs.restore_section(database, archive, "pre-data")
    expected = sum(max(0, table.rows) for table in source.tables) * sample.share
    pace = Pace(wanted.rate, round(expected), report)
    copied = await Transfer(source, database, sample, masks, pace).run(wanted.jobs)
    report("Building indexes and keys")
    notes += await programs.restore_section(database, archive, "post-data")
    async with connected(database, _NAME) as connection:
        for sequence, (value, is_called) in source.sequences.items():
            await connection.execute("SELECT setval($1::text, $2, $3)", sequence, value, is_called)
        notes += [note async for note in _refreshed(connection, source)]
    await _analyze(database)
    if sample.said is None:
        return {}, notes
    scale = {
        table.name: Scale(copied[table.name], await rows_of(source.connection, table))
        for table in source.tables
    }
    async with connected(database, _NAME) as connection:
        notes += await lacks_checkpoint(connection)
    return scale, notes


async def _refreshed(connection: "Connection[Record]", source: Source) -> AsyncIterator[str]:
    for view in source.materialized_views:
        try:
            await connection.execute(f"REFRESH MATERIALIZED VIEW {view}")
        except asyncpg.PostgresError as error:
            yield f"The materialized view {view} is empty on the copy: {server_message(error)}."


async def _analyze(database: Settings) -> None:
    """Let the planner know the copy as it knows the live database."""
    async with connected(database, _NAME) as connection:
        await connection.execute("SET statement_timeout = 0; ANALYZE")


async def _facts(copy: Copy, began: float) -> Copy:
    async with connected(copy.settings, _NAME) as connection:
        rows = await connection.fetchval(
            "SELECT coalesce(sum(greatest(reltuples, 0)), 0)::bigint FROM pg_class c"
            " JOIN pg_namespace n ON n.oid = relnamespace"
            " WHERE relkind = 'r' AND nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'"
        )
        size = await connection.fetchval("SELECT pg_database_size(current_database())")
    facts = replace(copy.facts, rows=rows, size=size, seconds=monotonic() - began)
    return replace(copy, facts=facts)


async def _require_room(scratch: Settings, source: Source, sample: Sample) -> None:
    """Refuse a copy that would fill the disk, where the disk can be asked: on this machine."""
    if scratch.database_url is not None:
        return
    needed = round(source.size * sample.share) * _ROOM
    free = (await asyncio.to_thread(shutil.disk_usage, _existing(scratch.data_directory))).free
    if free < needed:
        raise RehearsalError(
            f"{source.where} has {size_in_words(source.size)}. Its copy, and what the migrations "
            f"write, may need {size_in_words(needed)} in {scratch.data_directory}, and "
            f"{size_in_words(free)} are free. Nothing was changed. Copy a part: --sample 5%; or "
            "let PARTMAN_DATA_DIR name a folder on a larger disk."
        )


def _existing(folder: Path) -> Path:
    return next(each for each in (folder, *folder.parents) if each.exists())


async def where(settings: Settings) -> str:
    """Return the database that settings name, without its password."""
    return describe(await asyncio.to_thread(database_url, settings))
