"""``partman check``: what is asked of code and database before tenants are let in."""

from typing import TYPE_CHECKING, Annotated

import typer

from partman import terminal
from partman.cli import differences, look
from partman.cli.check_report import (
    MODELS,
    NO_TENANCY,
    Found,
    Isolation,
    found_json,
    report,
    rules_json,
    rules_text,
)
from partman.cli.options import Json, NoCache, Scratch, ScratchOption, scratch_settings
from partman.database.project_settings import imported_settings
from partman.deferred import load_when_used
from partman.errors import (
    DatabaseUnavailableError,
    EmbeddedServerError,
    ExitCode,
    PartmanError,
    PermissionDeniedError,
)
from partman.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from partman.audit import Audit, Gap, Rule
    from partman.migration.ledger.contracts import Contract
    from partman.migration.verification.table_classes import Models


def _no_scratch() -> tuple[type[Exception], ...]:
    """Return the reasons why no scratch database can be made, or none like the live one."""
    from asyncpg import InsufficientPrivilegeError  # not needed for --help

    return (
        PermissionDeniedError,
        DatabaseUnavailableError,
        EmbeddedServerError,
        InsufficientPrivilegeError,
    )


def check(
    ignore: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RULE",
            help="Leave a rule out, or `models`; may be given several times.",
            show_default=False,
        ),
    ] = None,
    rules: Annotated[
        bool, typer.Option("--rules", help="List the rules and why each matters; check nothing.")
    ] = False,
    scratch: ScratchOption = Scratch.SERVER,
    no_cache: NoCache = False,
    strict: differences.Strict = False,
    as_json: Json = False,
) -> None:
    """Check that nothing lets one tenant reach another's rows, and that the models are migrated.

    Reads the catalog: policies, rights, roles, keys, indexes, views and functions. Each gap comes
    with the SQL that closes it, which was tried on a copy of the schema; nothing is changed. SQL
    that was not tried or did not close the gap is marked. Put the SQL into a migration, so that
    the next database has it too.

    Of a database that `partman distribute` has made, also what each node and shard has otherwise
    than the coordinator (`nodes`).

    Then builds two scratch databases, one from the table classes and their extras, one from the
    migrations, and compares them. In a project without a tenancy, that is all. What both build is
    kept in `.partman/`, as `partman drift` does.

    Names the columns that are still there for old code: see `partman new --contract`. They are no
    difference.

    What could not be looked at is listed: a rule for which the role lacks a right, and the table
    classes where no scratch database can be made.

    Exit code 1 when there is a gap or a difference, or when something was not looked at; with
    --strict, also if something could not be compared.

    Where the server's administrator keeps `set_config` open to everybody, leave that rule out; and
    `models` where the code is not the question.

    Example: `partman check --ignore set-config`
    """
    load_when_used("black")  # Piccolo formats new migrations with it
    from partman.audit import project_audit

    audit = project_audit()
    asked = audit.rules if audit else ()
    if rules:
        typer.echo(rules_json(asked) if as_json else rules_text(asked))
        raise typer.Exit
    ignored = _known(ignore or [], asked)
    if audit is None and MODELS in ignored:
        raise typer.BadParameter(
            f"{NO_TENANCY}: without {MODELS}, there is nothing left to check.",
            param_hint="'--ignore'",
        )
    found = terminal.run(_check(imported_settings(), scratch, audit, ignored, no_cache))
    if as_json:
        typer.echo(found_json(found))
    else:
        look.show(report(found))
    is_fine = found.is_fine and found.was_looked_at and (found.is_complete or not strict)
    raise typer.Exit(ExitCode.OK if is_fine else ExitCode.NO)


def _known(names: list[str], rules: "Iterable[Rule]") -> list[str]:
    known = [*(rule.name for rule in rules), MODELS]
    for name in names:
        if name not in known:
            raise typer.BadParameter(
                f"There is no rule {name}. The rules are: {', '.join(known)}",
                param_hint="'--ignore'",
            )
    return sorted(set(names))


async def _check(
    settings: Settings,
    scratch: Scratch,
    audit: "Audit | None",
    ignored: list[str],
    anew: bool,
) -> Found:
    from partman.database.like_live import like_live
    from partman.migration.verification.table_classes import compare_models

    left_out = [name for name in ignored if name != MODELS]
    isolation = await _audit(settings, scratch, audit, left_out) if audit else None
    if MODELS in ignored:
        return Found(isolation, None, None, (), None)
    try:
        server = scratch_settings(settings, scratch, anew=anew)
        if audit:  # otherwise the live database is not looked at
            server = await like_live(settings, server)
        models = await compare_models(server)
    except _no_scratch() as error:
        if isolation is None:
            raise
        return Found(isolation, None, str(error), (), None)
    contracts = await _contracts(settings, models)
    return Found(isolation, models, None, contracts, server.scratch_note)


async def _contracts(settings: Settings, models: "Models") -> "tuple[Contract, ...]":
    """Return the open contracts; since when they are open, if the database can be asked."""
    from partman.database.connection import connected
    from partman.migration.ledger.contracts import read_contracts, unread_contracts

    try:
        async with connected(settings) as connection:
            return await read_contracts(connection, models.contracts)
    except PartmanError:
        return unread_contracts(models.contracts)


async def _audit(
    settings: Settings, scratch: Scratch, audit: "Audit", ignored: list[str]
) -> Isolation:
    from partman.audit.tried import try_remedies
    from partman.catalog.read import read_live_catalog
    from partman.database.connection import connected
    from partman.database.like_live import like_live

    problems: Mapping[Gap, str] = {}
    async with connected(settings) as connection:
        found = await audit.look(connection, ignored)
        tables = await audit.tenant_tables(connection)
    left_out = [*ignored, *found.not_asked]
    if found.gaps:
        try:
            async with connected(settings) as connection:
                live = await read_live_catalog(connection)
            server = await like_live(settings, scratch_settings(settings, scratch))
            problems = await try_remedies(server, live, audit, found.gaps, left_out)
        except _no_scratch():
            problems = dict.fromkeys(found.gaps, "not tried: no scratch database can be made")
    asked = [rule.name for rule in audit.rules if rule.name not in left_out]
    return Isolation(tables, asked, ignored, found.gaps, problems, found.not_asked)
