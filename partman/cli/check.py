"""``partman check``: what is asked of code and database before tenants are let in."""

import asyncio
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import asyncpg
import typer

from partman.cli import differences
from partman.cli.options import Json, Scratch, ScratchOption, scratch_settings
from partman.database.project_settings import project_settings
from partman.errors import (
    DatabaseUnavailableError,
    EmbeddedServerError,
    ExitCode,
    PartmanError,
    PermissionDeniedError,
)
from partman.settings import Settings
from partman.wording import counted

if TYPE_CHECKING:
    from partman.audit import Audit, Gap, Rule
    from partman.migration.ledger.contracts import Contract
    from partman.migration.verification.table_classes import Models

MODELS = "models"
"""What --ignore calls the comparison of the table classes with the migrations."""
_NO_SCRATCH = (
    PermissionDeniedError,
    DatabaseUnavailableError,
    EmbeddedServerError,
    asyncpg.InsufficientPrivilegeError,
)
"""Why no scratch database can be made, or none like the live one."""
_NO_TENANCY = "No tenancy is declared in piccolo_conf.py"


@dataclass(frozen=True)
class _Isolation:
    """What the audit found."""

    tables: list[str]
    rules: list[str]
    """Those that were asked."""
    ignored: list[str]
    gaps: "list[Gap]"
    problems: "Mapping[Gap, str]"
    """Why the SQL of a gap was not tried on a copy of the schema, or does not close it there."""
    not_asked: "Mapping[str, str]"
    """The rules for which this role lacks a right, with the server's reason."""


@dataclass(frozen=True)
class _Found:
    isolation: _Isolation | None
    """None for a project without a tenancy."""
    models: "Models | None"
    """None where it was left out or could not be made."""
    models_problem: str | None
    """Why the table classes could not be compared."""
    contracts: "tuple[Contract, ...]"
    """Changes of columns whose second half is not applied."""
    note: str | None
    """What the scratch databases could not have of the live one."""

    @property
    def is_fine(self) -> bool:
        has_gaps = self.isolation and self.isolation.gaps
        return not has_gaps and not (self.models and self.models.comparison.number)

    @property
    def is_complete(self) -> bool:
        """Whether everything was compared."""
        return not (self.models and self.models.comparison.beyond.not_compared)

    @property
    def was_looked_at(self) -> bool:
        """Whether nothing that was asked for was out of reach."""
        return not self.models_problem and not (self.isolation and self.isolation.not_asked)


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
    migrations, and compares them. In a project without a tenancy, that is all.

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
    from partman.audit import project_audit

    audit = project_audit()
    asked = audit.rules if audit else ()
    if rules:
        typer.echo(_rules_json(asked) if as_json else _rules_text(asked))
        raise typer.Exit
    ignored = _known(ignore or [], asked)
    if audit is None and MODELS in ignored:
        raise typer.BadParameter(
            f"{_NO_TENANCY}: without {MODELS}, there is nothing left to check.",
            param_hint="'--ignore'",
        )
    found = asyncio.run(_check(project_settings(), scratch, audit, ignored))
    typer.echo(_json(found) if as_json else _text(found))
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
    settings: Settings, scratch: Scratch, audit: "Audit | None", ignored: list[str]
) -> _Found:
    from partman.database.like_live import like_live
    from partman.migration.verification.table_classes import compare_models

    left_out = [name for name in ignored if name != MODELS]
    isolation = await _audit(settings, scratch, audit, left_out) if audit else None
    if MODELS in ignored:
        return _Found(isolation, None, None, (), None)
    try:
        server = scratch_settings(settings, scratch)
        if audit:  # otherwise the live database is not looked at
            server = await like_live(settings, server)
        models = await compare_models(server)
    except _NO_SCRATCH as error:
        if isolation is None:
            raise
        return _Found(isolation, None, str(error), (), None)
    contracts = await _contracts(settings, models)
    return _Found(isolation, models, None, contracts, server.scratch_note)


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
) -> _Isolation:
    from partman.audit.tried import try_remedies
    from partman.catalog.read import read_catalog
    from partman.database.connection import connected
    from partman.database.distributed import distribution
    from partman.database.like_live import like_live

    problems: Mapping[Gap, str] = {}
    async with connected(settings) as connection:
        found = await audit.look(connection, ignored)
        tables = await audit.tenant_tables(connection)
    left_out = [*ignored, *found.not_asked]
    if found.gaps:
        try:
            async with connected(settings) as connection:
                is_distributed = await distribution(connection) is not None
                live = await read_catalog(connection, distributed=is_distributed)
            server = await like_live(settings, scratch_settings(settings, scratch))
            problems = await try_remedies(server, live, audit, found.gaps, left_out)
        except _NO_SCRATCH:
            problems = dict.fromkeys(found.gaps, "not tried: no scratch database can be made")
    asked = [rule.name for rule in audit.rules if rule.name not in left_out]
    return _Isolation(tables, asked, ignored, found.gaps, problems, found.not_asked)


def _text(found: _Found) -> str:
    blocks = [
        "\n".join(
            [
                f"{gap.object}  [{gap.rule}]",
                f"  {gap.reason}",
                *(f"    {line}" for line in gap.remedy.splitlines()),
                *_problem(found.isolation, gap),
                "",
            ]
        )
        for gap in (found.isolation.gaps if found.isolation else ())
    ]
    lines = [*blocks, *_not_looked_at(found), _summary(found.isolation)]
    if found.models:
        lines += _models(found.models)
    lines += map(_contract, found.contracts)
    if found.note:
        lines.append(f"Note: {found.note}")
    return "\n".join(lines)


def _contract(found: "Contract") -> str:
    contract, since = found.contract, f" since {found.since:%Y-%m-%d %H:%M}" if found.since else ""
    return (
        f"Contract open{since}: {contract.table}.{contract.old} is still there for the old code "
        f"({contract.expanded_by}); {found.state}."
    )


def _not_looked_at(found: _Found) -> Iterator[str]:
    if found.isolation:
        for rule, reason in found.isolation.not_asked.items():
            yield f"Not looked at: {rule}: {reason}."
    if found.models_problem:
        yield f"Not looked at: {MODELS}: {found.models_problem}"


def _problem(found: _Isolation | None, gap: "Gap") -> Iterator[str]:
    """Say that the SQL of a gap was not tried, or what came of it."""
    if found and (problem := found.problems.get(gap)):
        yield f"  The SQL was {problem}." if problem.startswith("not tried") else f"  {problem}."


def _isolation_facts(found: _Isolation) -> dict[str, Any]:
    gaps = [{**asdict(gap), "problem": found.problems.get(gap)} for gap in found.gaps]
    return {
        "tables": found.tables,
        "rules": found.rules,
        "ignored": found.ignored,
        "gaps": gaps,
        "not_looked_at": dict(found.not_asked),
    }


def _summary(found: _Isolation | None) -> str:
    if found is None:
        return f"{_NO_TENANCY}: tenant isolation was not audited."
    asked = counted(len(found.rules), "rule")
    left_out = f" ({', '.join(found.ignored)} left out)" if found.ignored else ""
    if found.gaps:
        result = counted(len(found.gaps), "gap")
    else:
        result = "no gap in what was looked at" if found.not_asked else "no gaps"
    return f"{counted(len(found.tables), 'tenant table')}, {asked}{left_out}, {result}."


def _models(models: "Models") -> Iterator[str]:
    """Say whether the migrations build what the table classes say."""
    yield from differences.not_compared(models.comparison)
    if not models.comparison.number:
        yield f"{counted(models.objects, 'object')} in the table classes, all as migrated."
        return
    yield ""
    yield from differences.text(models.comparison.differences)
    yield from differences.beyond(models.comparison)
    yield ""
    yield (
        f"{counted(models.objects, 'object')} in the table classes, "
        f"{counted(models.comparison.number, 'difference')} from what the migrations build."
    )
    yield 'Expected is what the classes say. For a migration that does it: partman new "its name"'


def _json(found: _Found) -> str:
    facts = {
        "isolation": found.isolation and _isolation_facts(found.isolation),
        "models": found.models
        and {
            "objects": found.models.objects,
            "differences": differences.facts(found.models.comparison.differences),
            **differences.beyond_facts(found.models.comparison.beyond),
        },
        "contracts": [
            {**asdict(each.contract), "state": each.state.name.lower(), "since": _time(each.since)}
            for each in found.contracts
        ],
        "models_not_compared": found.models_problem,
        "notes": differences.scratch_facts(found.note),
    }
    return json.dumps(facts, indent=2)


def _time(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _rules_text(rules: "Iterable[Rule]") -> str:
    listed = [f"{rule.name}\n  {rule.why}" for rule in rules]
    return "\n".join(listed) or f"{_NO_TENANCY}: there are no rules."


def _rules_json(rules: "Iterable[Rule]") -> str:
    return json.dumps([{"name": rule.name, "why": rule.why} for rule in rules], indent=2)
