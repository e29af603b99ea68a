"""Write the missing migrations: the difference between table classes and migrations.

Piccolo finds the changes of tables and columns. Its operations are run on a scratch database; the
remaining differences are read from the catalogs. The result is verified: the new migrations are
applied, reverted and re-applied, and all migrations are applied to an empty database. Each time the
catalog must equal the expected one.
"""

import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from piccolo.conf.apps import AppConfig

from partman.apps import app_configs
from partman.catalog.expansions import open_contracts, without_leftovers
from partman.catalog.model import Catalog
from partman.database.engine import DatabaseEngine, project_engine
from partman.database.scratch import one_keeper
from partman.errors import NotExpressibleError, UnknownAppError
from partman.migration.autogenerate.app_of_object import AppOfObject
from partman.migration.autogenerate.conflicts_between_apps import (
    refuse_keys_to_later_apps,
    refuse_shared_tables,
    refuse_tables_that_go,
)
from partman.migration.autogenerate.divide import Task, compose
from partman.migration.autogenerate.expand.find import Changed
from partman.migration.autogenerate.expand.trial import (
    expanded_columns,
    expander,
    refuse_open_ones,
    second_half,
)
from partman.migration.autogenerate.installed_packages import is_installed
from partman.migration.autogenerate.newest import Newest
from partman.migration.autogenerate.piccolo_operations import ask_piccolo
from partman.migration.autogenerate.render import MigrationDraft
from partman.migration.autogenerate.tenant_roles import roles_draft
from partman.migration.autogenerate.trial_files import File, create_folder, keep
from partman.migration.autogenerate.trial_run import Report, Trial
from partman.migration.autogenerate.unregistered import unregistered_classes
from partman.migration.ledger.files import import_migrations, migration_files
from partman.migration.verification.app_by_app import (
    Stage,
    classes_app_by_app,
    replay_app_by_app,
)
from partman.migration.verification.build_from_classes import app_of_table
from partman.migration.verification.rebuild import catalog_of_classes
from partman.settings import Settings


@dataclass(frozen=True)
class Generated:
    """The written files."""

    files: tuple[File, ...]
    """In the order in which Piccolo runs them."""
    left_out: tuple[str, ...]
    """Apps whose table classes and migrations differ and for which nothing was written."""
    unregistered: tuple[str, ...]
    """Table classes that are in no app's table_classes, so that nothing is written for them."""
    expanded: tuple[Changed, ...] = ()
    """Columns that get another type or name while old and new code both work."""


async def generate(
    settings: Settings,
    name: str,
    *,
    app: str | None,
    auto_input: str | None,
    report: Report,
    in_place: bool = False,
) -> Generated:
    """Write the missing migrations.

    ``settings`` name the server for scratch databases. ``app`` is the only app to write for; by
    default all apps of the project are. ``auto_input`` answers Piccolo's questions. ``report`` is
    called with a line before each slow part. ``in_place``: change types and names of columns at
    once, even if other sessions wait and the running code fails. Raises UnknownAppError,
    AnswerNeededError, NotExpressibleError, and the errors of a build; then no file is left behind.
    """
    apps = {config.app_name: config for config in app_configs()}
    chosen = _chosen(apps, app)
    for each in chosen:
        create_folder(apps[each])
    # They raise for classes that Piccolo would confuse, cannot find or cannot import.
    earlier = migration_files()
    import_migrations()
    unregistered = tuple(unregistered_classes())
    everything = {each: await ask_piccolo(config, auto_input) for each, config in apps.items()}
    asked = {each: everything[each] for each in chosen}
    report("Building a database from the migrations ...")
    async with _newest(settings) as newest:
        # First, because a migration creates the roles, which belong to the whole server.
        stages, found = await _replayed(newest)
        report("Building one from the table classes ...")
        expected = await catalog_of_classes(settings)
        open_ones = open_contracts(found).values()
        found = without_leftovers(found, expected)
        if expected == found and not any(each.operations for each in everything.values()):
            return Generated((), (), unregistered)
        app_of = await _app_of_object(settings, list(apps), stages)
        target = app_of.limited(expected, found, chosen)
        left_out = tuple(
            each
            for each in apps
            if each not in chosen
            and (everything[each].operations or app_of.limited(expected, found, [each]) != found)
        )
        if target == found and not any(each.operations for each in asked.values()):
            return Generated((), left_out, unregistered)
        refuse_shared_tables(asked)
        refuse_keys_to_later_apps(asked)
        refuse_tables_that_go(asked, found, app_of)
        trial = Trial(
            settings, newest, found, apps, asked, earlier, report,
            lambda catalog: without_leftovers(catalog, expected),
        )  # fmt: skip
        task = Task(
            asked, target, found, app_of, _description(name), earlier, _roles(found, chosen)
        )
        refuse_open_ones(open_ones, asked, target, found)
        if not in_place:
            columns = await expanded_columns(trial, asked, target, found)
            task = replace(task, expanded=columns)
        files = await _written(trial, task, _missing)
        return Generated(files, left_out, unregistered, task.expanded)


def _chosen(apps: Mapping[str, AppConfig], app: str | None) -> list[str]:
    own = [name for name, config in apps.items() if not is_installed(config)]
    if app is None:
        return own
    if app not in own:
        reason = "comes with an installed package" if app in apps else "is not registered"
        raise UnknownAppError(
            f"The app {app} {reason}. Nothing was written. The project's apps are: {', '.join(own)}"
        )
    return [app]


async def generate_contract(settings: Settings, name: str, *, report: Report) -> Generated:
    """Write the migrations that drop what earlier ones have left for the old code.

    Raises the errors of generate(). Without an open contract, nothing is written.
    """
    apps = {config.app_name: config for config in app_configs()}
    earlier = migration_files()
    import_migrations()
    report("Building a database from the migrations ...")
    async with _newest(settings) as newest:
        stages, found = await _replayed(newest)
        if not open_contracts(found):
            return Generated((), (), ())
        report("Building one from the table classes ...")
        expected = without_leftovers(found, await catalog_of_classes(settings))
        app_of = await _app_of_object(settings, list(apps), stages)
        trial = Trial(settings, newest, found, apps, {}, earlier, report, lambda catalog: catalog)
        task = Task({}, expected, found, app_of, _description(name), earlier, ())
        return Generated(await _written(trial, task, second_half), (), ())


@contextlib.asynccontextmanager
async def _newest(settings: Settings) -> AsyncIterator[Newest]:
    async with one_keeper(settings), contextlib.AsyncExitStack() as stack:
        yield Newest(settings, stack)


async def _replayed(newest: Newest) -> tuple[list[Stage], Catalog]:
    scratch = await newest.created()
    return await replay_app_by_app(scratch.settings, scratch.reader)


async def _app_of_object(
    settings: Settings, apps: Sequence[str], stages: Sequence[Stage]
) -> AppOfObject:
    """Find the app of each object; a project with one app needs no measuring."""
    declared = await classes_app_by_app(settings) if len(apps) > 1 else []
    return AppOfObject.of(apps, declared, stages)


def _roles(found: Catalog, chosen: Collection[str]) -> tuple[MigrationDraft, ...]:
    """Return the migration of the tenancy's new roles, if the tenants' app is among the chosen."""
    tenancy = project_engine(DatabaseEngine).tenancy
    app = app_of_table(tenancy.table) if tenancy else None
    if tenancy is None or app is None or app not in chosen:
        return ()
    draft = roles_draft(tenancy, app, found)
    return (draft,) if draft else ()


def _description(name: str) -> str:
    return re.sub(r"[\W_]+", " ", name).strip()


async def _missing(trial: Trial, task: Task) -> list[MigrationDraft]:
    return await compose(task, trial.probe, expander(trial, task))


async def _written(
    trial: Trial, task: Task, drafts: Callable[[Trial, Task], Awaitable[list[MigrationDraft]]]
) -> tuple[File, ...]:
    """Compose the migrations and keep the files that pass their trials."""
    for verbatim in (False, True):
        task = replace(task, verbatim=verbatim)
        files = trial.files(await drafts(trial, task))
        wrong = await trial.run(files, task)
        if wrong is None:
            break
    else:
        raise NotExpressibleError(
            "The written migrations do not produce the schema of the table classes. No file was "
            f"kept. {_by_hand(files)}\n{wrong}"
        )
    if wrong := await trial.run_from_nothing(files, task):
        raise NotExpressibleError(
            "The written migrations work on a database at the newest version, but not on an "
            "empty one, where Piccolo runs all migrations of one app before those of the next: "
            f"{', '.join(trial.apps)}. No file was kept. {_by_hand(files)}\n{wrong}"
        )
    keep(files)
    return tuple(files)


def _by_hand(files: Collection[File]) -> str:
    apps = dict.fromkeys(file.app for file in files)
    return "Write it by hand: " + ", ".join(f"piccolo migrations new {app}" for app in apps)
