"""``partman check``: what is asked of code and database before tenants are let in."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from partman.cli import differences
from partman.cli.options import Json, Scratch, ScratchOption, scratch_settings
from partman.errors import ExitCode
from partman.settings import Settings
from partman.wording import counted

if TYPE_CHECKING:
    from partman.audit import Gap
    from partman.migration.verification.table_classes import Models

MODELS = "models"
"""What --ignore calls the comparison of the table classes with the migrations."""


@dataclass(frozen=True)
class _Found:
    tables: list[str]
    gaps: "list[Gap]"
    ignored: list[str]
    models: "Models | None"
    """None where it was left out."""

    @property
    def is_fine(self) -> bool:
        return not self.gaps and not (self.models and self.models.differences)


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
    as_json: Json = False,
) -> None:
    """Check that nothing lets one tenant reach another's rows, and that the models are migrated.

    Reads the catalog: policies, rights, roles, keys, indexes, views and functions. Each gap comes
    with the SQL that closes it; nothing is changed. Put that SQL into a migration, so that the
    next database has it too.

    Then builds two scratch databases, one from the table classes and their extras, one from the
    migrations, and compares them.

    Exit code 1 when there is a gap or a difference.

    Where the server's administrator keeps `set_config` open to everybody, leave that rule out; and
    `models` where the code is not the question.

    Example: `partman check --ignore set-config`
    """
    if rules:
        typer.echo(_rules_json() if as_json else _rules_text())
        raise typer.Exit
    ignored = _known(ignore or [])
    found = asyncio.run(_check(Settings.load(), scratch, ignored))
    typer.echo(_json(found) if as_json else _text(found))
    raise typer.Exit(ExitCode.OK if found.is_fine else ExitCode.NO)


def _known(names: list[str]) -> list[str]:
    from partman.audit import RULES

    known = [*(rule.name for rule in RULES), MODELS]
    for name in names:
        if name not in known:
            raise typer.BadParameter(
                f"There is no rule {name}. The rules are: {', '.join(known)}",
                param_hint="'--ignore'",
            )
    return sorted(set(names))


async def _check(settings: Settings, scratch: Scratch, ignored: list[str]) -> _Found:
    from partman.migration.verification.table_classes import compare_models

    rules = [name for name in ignored if name != MODELS]
    tables, gaps = await _audit(settings, rules)
    models = (
        None if MODELS in ignored else await compare_models(scratch_settings(settings, scratch))
    )
    return _Found(tables, gaps, rules, models)


async def _audit(settings: Settings, ignored: list[str]) -> "tuple[list[str], list[Gap]]":
    from partman.audit import audit, tenant_tables
    from partman.database.connection import connected

    async with connected(settings) as connection:
        gaps = await audit(connection, ignored)
        return await tenant_tables(connection), gaps


def _text(found: _Found) -> str:
    blocks = [
        "\n".join(
            [
                f"{gap.object}  [{gap.rule}]",
                f"  {gap.reason}",
                *(f"    {line}" for line in gap.remedy.splitlines()),
                "",
            ]
        )
        for gap in found.gaps
    ]
    lines = [*blocks, _summary(found)]
    if found.models:
        lines += _models(found.models)
    return "\n".join(lines)


def _summary(found: _Found) -> str:
    from partman.audit import RULES

    asked = counted(len(RULES) - len(found.ignored), "rule")
    left_out = f" ({', '.join(found.ignored)} left out)" if found.ignored else ""
    result = counted(len(found.gaps), "gap") if found.gaps else "no gaps"
    return f"{counted(len(found.tables), 'tenant table')}, {asked}{left_out}, {result}."


def _models(models: "Models") -> Iterator[str]:
    """Say whether the migrations build what the table classes say."""
    if not models.differences:
        yield f"{counted(models.objects, 'object')} in the table classes, all as migrated."
        return
    yield ""
    yield from differences.text(models.differences)
    yield ""
    yield (
        f"{counted(models.objects, 'object')} in the table classes, "
        f"{counted(len(models.differences), 'difference')} from what the migrations build."
    )
    yield 'Expected is what the classes say. For a migration that does it: partman new "its name"'


def _json(found: _Found) -> str:
    from partman.audit import RULES

    facts = {
        "isolation": {
            "tables": found.tables,
            "rules": [rule.name for rule in RULES if rule.name not in found.ignored],
            "ignored": found.ignored,
            "gaps": [asdict(gap) for gap in found.gaps],
        },
        "models": found.models
        and {
            "objects": found.models.objects,
            "differences": differences.facts(found.models.differences),
        },
    }
    return json.dumps(facts, indent=2)


def _rules_text() -> str:
    from partman.audit import RULES

    return "\n".join(f"{rule.name}\n  {rule.why}" for rule in RULES)


def _rules_json() -> str:
    from partman.audit import RULES

    return json.dumps([{"name": rule.name, "why": rule.why} for rule in RULES], indent=2)
