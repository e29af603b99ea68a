"""The text of a script: what a run does, in the words of psql."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from piccolo.apps.migrations.tables import Migration as LedgerTable

from partman import __version__
from partman.database import bookkeeping
from partman.grammar import NotParsedError, parse
from partman.grammar.names import literal, quoted
from partman.migration.ledger import history, lock, step_records
from partman.migration.ledger.files import MigrationFile
from partman.migration.ledger.identity import DirectedMigration, schema_version
from partman.migration.runner import session_setup
from partman.migration.runner.requirements import Requirement
from partman.migration.runner.step_statement import Work, step_statement
from partman.migration.script.backfill_block import backfill_block
from partman.migration.script.psql import echo, refuse_if, sent_by_psql
from partman.migration.script.recording import RecordedMigration, RecordedStatement
from partman.settings import Settings

_LEDGER = f"public.{bookkeeping.LEDGER}"
_STEPS = f"public.{bookkeeping.STEPS}"

# Piccolo reverts migrations in the order of these times. They have no time zone, and those of the
# runs are of machines that the server does not know. So it is UTC, and never before another one.
_RAN_ON = (
    "greatest(current_timestamp AT TIME ZONE 'UTC',"
    f" (SELECT max(ran_on) FROM {_LEDGER}) + interval '1 microsecond')"
)

_CLIENT = history.Client(
    os_user="'psql'", host="coalesce(pg_catalog.host(pg_catalog.inet_client_addr()), 'local')"
)
"""Who runs the script, as SQL: not the user and the machine that have written it."""


@dataclass(frozen=True)
class Script:
    """The content of a script."""

    applied: tuple[MigrationFile, ...]
    """The migrations that the database must have, and no others."""
    migrations: tuple[RecordedMigration, ...]
    """The migrations that it applies or reverts, in this order."""
    extensions: tuple[str, ...]
    """The extensions that the engine needs."""
    settings: Settings

    @property
    def before(self) -> str:
        """The version that the database must have."""
        return _version(self.applied)

    @property
    def after(self) -> str:
        """The version that the database has afterwards."""
        reverted = [each.file for each in self.migrations if each.backwards]
        added = [each.file for each in self.migrations if not each.backwards]
        return _version([*(file for file in self.applied if file not in reverted), *added])


def written(script: Script) -> str:
    """Return the script."""
    parts = [*_header(script), *_preparation(script)]
    for number, migration in enumerate(script.migrations):
        parts += _migration(migration, script, is_first=number == 0)
    parts += ["", f"SELECT pg_catalog.pg_advisory_unlock({lock.KEY}) \\g /dev/null"]
    parts.append(echo(f"Schema version: {script.after}"))
    return "\n".join(parts) + "\n"


def _version(files: Sequence[MigrationFile]) -> str:
    apps = len({file.app for file in files})
    return schema_version((file.key for file in files), apps=apps) or "none"


# The beginning


def _header(script: Script) -> Iterator[str]:
    yield f"-- Schema version {script.before} -> {script.after}, written by partman {__version__}."
    yield "--"
    yield "-- Run it with psql 15 or newer, as the role that runs the migrations, connected to the"
    yield "-- server itself and not through a pooler:"
    yield '--   psql --no-psqlrc --file SCRIPT "$DATABASE_URL"'
    yield "--"
    yield "-- It stops at the first error. The migrations before it stay applied and recorded. The"
    yield "-- one that failed is rolled back; of an online one, the steps that are done stay, and"
    yield "-- partman migrate goes on after them. Otherwise write a new script."
    yield "--"
    yield "-- It does not count what it loses, as a run of partman does: see partman plan."
    yield "\\set ON_ERROR_STOP on"
    yield "\\set QUIET on"


def _preparation(script: Script) -> Iterator[str]:
    yield "SET client_min_messages = warning;"
    yield refuse_if(
        "pg_catalog.current_schema() IS DISTINCT FROM 'public'",
        "The search_path of this session does not begin with public. Nothing was run. Reset it "
        "where it is set: the URL, the role or the database.",
    )
    yield refuse_if(
        f"NOT pg_catalog.pg_try_advisory_lock({lock.KEY})",
        "Another run holds the migration lock. Nothing was run. Run the script again when it has "
        "ended.",
    )
    yield _session(script.settings)
    yield "\n-- The tables in which migrations are recorded"
    [ledger] = LedgerTable.create_table(if_not_exists=True).ddl
    yield sent_by_psql(ledger)
    yield f"SELECT {history.IS_MISSING} AS missing, {history.IS_OLD} AS old \\gset partman_"
    yield f"\\if :partman_missing\n{history.TABLE.strip()}\n\\elif :partman_old"
    yield f"{history.UPGRADE.strip()}\n\\endif"
    yield step_records.TABLE.strip()
    yield _refuse_other_migrations(script)
    yield refuse_if(
        f"EXISTS (SELECT FROM {_STEPS})",
        "An online migration was interrupted in this database. Nothing was run. Finish it: "
        "partman migrate",
    )
    yield f"{history.COMPLETE_KILLED};"
    yield from (f"CREATE EXTENSION IF NOT EXISTS {quoted(name)};" for name in script.extensions)


def _session(settings: Settings) -> str:
    """Return the commands that set a session's settings, as a run has them."""
    return (
        "SET client_encoding = 'UTF8';\n"
        f"{session_setup.session(settings)}\n"
        f"SELECT format('SET %I = 0', name) FROM {session_setup.TIMEOUTS} \\gexec"
    )


def _put_back(settings: Settings) -> str:
    return f"{session_setup.RESET}\n{_session(settings)}"


def _refuse_other_migrations(script: Script) -> str:
    expected = sorted(f"{file.app} {file.id}" for file in script.applied)
    named = "app_name || ' ' || name"
    return refuse_if(
        f"(SELECT coalesce(string_agg(DISTINCT {named} COLLATE \"C\", ', '), '') FROM {_LEDGER})"
        f"\n        <> {literal(', '.join(expected))}",
        f"The script is for a database at version {script.before}, and the migrations in this "
        "ledger are others. Nothing was run. Write another script: partman sql",
    )


# A migration


def _migration(migration: RecordedMigration, script: Script, *, is_first: bool) -> Iterator[str]:
    file = migration.file
    directed = DirectedMigration(file.app, file.id, migration.backwards)
    how = "Reverting" if migration.backwards else "Applying"
    title = " ".join(f"{how} {file.id} of {file.app} {file.description}".split())
    yield f"\n-- {title}"
    yield echo(title)
    if not is_first:
        yield session_setup.FORGET
    yield f"{history.beginning(directed, migration.steps, _CLIENT)};"
    if not migration.is_one_transaction:
        yield from map(_requirement, migration.requirements)
        yield from _commits(migration, directed, script.settings)
    yield "BEGIN;"
    if migration.is_one_transaction:
        yield from map(_requirement, migration.requirements)
        yield from (sent_by_psql(each.sql) for each in migration.statements)
    yield _put_back(script.settings)
    yield from _records(directed)
    yield "COMMIT;"


def _requirement(requirement: Requirement) -> str:
    return refuse_if(
        f"EXISTS (SELECT FROM (\n{requirement.query}\n) AS violating)",
        f"Rows violate this: {requirement.rule}. Correct or delete them, then go on.",
    )


def _records(directed: DirectedMigration) -> Iterator[str]:
    name, app = literal(directed.id), literal(directed.app)
    yield f"DELETE FROM {_STEPS} WHERE {_is_step_of(directed)};"
    if directed.backwards:
        yield f"DELETE FROM {_LEDGER} WHERE name = {name} AND app_name = {app};"
    else:
        yield (f"INSERT INTO {_LEDGER} (name, app_name, ran_on) VALUES ({name}, {app}, {_RAN_ON});")
    yield f"{history.COMPLETE};"


# A migration that is several commits


def _commits(
    migration: RecordedMigration, directed: DirectedMigration, settings: Settings
) -> Iterator[str]:
    groups = itertools.groupby(migration.statements, lambda each: (each.step, each.transaction))
    for (step, transaction), group in groups:
        statements = [*group]
        text = migration.steps_sql[step - 1] if step else ""
        if step:
            yield f"\n-- Step {step}"
        if step in migration.backfills:
            yield _step_record(directed, step, text, done=False)
            yield "SET lock_timeout = 0; SET statement_timeout = 0;"
            is_step = f"{_is_step_of(directed)} AND number = {step}"
            yield backfill_block(*migration.backfills[step], is_step)
            yield _put_back(settings)
            continue
        if transaction is None:
            for statement in statements:
                yield from _outside(statement, text, directed, settings)
            continue
        yield "BEGIN;"
        yield from (sent_by_psql(each.sql) for each in statements)
        if step:
            yield _put_back(settings)
            yield _step_record(directed, step, text, done=True)
        yield "COMMIT;"


def _outside(
    statement: RecordedStatement, text: str, directed: DirectedMigration, settings: Settings
) -> Iterator[str]:
    """Yield a statement that cannot run in a transaction; it waits without blocking others."""
    if statement.step:
        yield _step_record(directed, statement.step, text, done=False)
    table = _built_on(statement.sql)
    if table:
        yield _refuse_invalid(table, "Nothing of this statement was run. Drop the index.")
    yield "SET lock_timeout = 0; SET statement_timeout = 0;"
    yield sent_by_psql(statement.sql)
    if table:
        yield _refuse_invalid(table, "Finish it: partman migrate")
    yield _put_back(settings)
    if statement.step:
        yield (
            f"UPDATE {_STEPS} SET finished_at = clock_timestamp()"
            f" WHERE {_is_step_of(directed)} AND number = {statement.step};"
        )


def _built_on(sql: str) -> str | None:
    """Return the table on which a statement builds an index concurrently, if it does."""
    try:
        parsed = parse(sql)
    except NotParsedError:
        return None
    statement = step_statement(parsed[0] if len(parsed) == 1 else None)
    return statement.table if statement.work is Work.BUILD else None


def _refuse_invalid(table: str, remedy: str) -> str:
    return refuse_if(
        "EXISTS (\n        SELECT FROM pg_catalog.pg_index"
        f" WHERE indrelid = to_regclass({literal(table)}) AND NOT indisvalid\n    )",
        f"{table} has an invalid index. {remedy}",
    )


def _is_step_of(directed: DirectedMigration) -> str:
    return (
        f"migration = {literal(directed.id)} AND app = {literal(directed.app)}"
        f" AND {'' if directed.backwards else 'NOT '}backwards"
    )


def _step_record(directed: DirectedMigration, number: int, text: str, *, done: bool) -> str:
    return (
        f"INSERT INTO {_STEPS} (app, migration, backwards, number, statement, finished_at)"
        f" VALUES ({literal(directed.app)}, {literal(directed.id)},"
        f" {str(directed.backwards).lower()}, {number}, {literal(text)},"
        f" {'clock_timestamp()' if done else 'NULL'});"
    )
