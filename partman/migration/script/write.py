"""Write a script."""

from partman.database.engine import project_engine
from partman.migration.runner.engine import MigrationEngine
from partman.migration.script.choose import choose
from partman.migration.script.recording import record
from partman.migration.script.text import Script, written
from partman.settings import Settings


async def write_script(
    settings: Settings,
    scratch: Settings,
    *,
    start: str | None = None,
    end: str | None = None,
    reverting: bool = False,
) -> str:
    """Return a script for psql that applies or reverts migrations, as a run would.

    ``start`` and ``end`` are versions, see choose(). The migrations run on a scratch database on
    the server of ``scratch``; the live database is read for its ledger, unless ``start`` is given.
    Raises NotAllowedError, NotExpressibleError, PreflightError, and the errors of a run.
    """
    choice = await choose(settings, start=start, end=end, reverting=reverting)
    recorded = await record(scratch, choice.applied, choice.migrations, reverting=reverting)
    extensions = tuple(project_engine(MigrationEngine).extensions)
    return written(Script(choice.applied, tuple(recorded), extensions, settings))
