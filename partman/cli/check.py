"""``partman check``: what is asked of the database before its tenants are let in."""

import asyncio
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from partman.errors import ExitCode
from partman.settings import Settings

if TYPE_CHECKING:
    from partman.audit import Gap

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


def check(
    ignore: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RULE",
            help="Leave a rule out; may be given several times.",
            show_default=False,
        ),
    ] = None,
    rules: Annotated[
        bool, typer.Option("--rules", help="List the rules and why each matters; check nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check that nothing lets one tenant reach another's rows.

    Reads the catalog: policies, rights, roles, keys, indexes, views and functions. Each gap comes
    with the SQL that closes it; nothing is changed. Put that SQL into a migration, so that the
    next database has it too.

    Exit code 1 when there is a gap.

    Where the server's administrator keeps `set_config` open to everybody, leave that rule out.

    Example: `partman check --ignore set-config`
    """
    if rules:
        typer.echo(_rules_json() if as_json else _rules_text())
        raise typer.Exit
    ignored = _known(ignore or [])
    tables, gaps = asyncio.run(_audit(Settings.load(), ignored))
    typer.echo(_json(tables, gaps, ignored) if as_json else _text(tables, gaps, ignored))
    raise typer.Exit(ExitCode.NO if gaps else ExitCode.OK)


def _known(names: list[str]) -> list[str]:
    from partman.audit import RULES

    known = [rule.name for rule in RULES]
    for name in names:
        if name not in known:
            raise typer.BadParameter(
                f"There is no rule {name}. The rules are: {', '.join(known)}",
                param_hint="'--ignore'",
            )
    return sorted(set(names))


async def _audit(settings: Settings, ignored: list[str]) -> "tuple[list[str], list[Gap]]":
    from partman.audit import audit, tenant_tables
    from partman.database.connection import connected

    async with connected(settings) as connection:
        gaps = await audit(connection, ignored)
        return await tenant_tables(connection), gaps


def _text(tables: list[str], gaps: "list[Gap]", ignored: list[str]) -> str:
    blocks = [
        "\n".join(
            [
                f"{gap.object}  [{gap.rule}]",
                f"  {gap.reason}",
                *(f"    {line}" for line in gap.remedy.splitlines()),
                "",
            ]
        )
        for gap in gaps
    ]
    return "\n".join([*blocks, _summary(tables, gaps, ignored)])


def _summary(tables: list[str], gaps: "list[Gap]", ignored: list[str]) -> str:
    from partman.audit import RULES

    asked = _count(len(RULES) - len(ignored), "rule")
    left_out = f" ({', '.join(ignored)} left out)" if ignored else ""
    result = _count(len(gaps), "gap") if gaps else "no gaps"
    return f"{_count(len(tables), 'tenant table')}, {asked}{left_out}, {result}."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _json(tables: list[str], gaps: "list[Gap]", ignored: list[str]) -> str:
    from partman.audit import RULES

    facts = {
        "isolation": {
            "tables": tables,
            "rules": [rule.name for rule in RULES if rule.name not in ignored],
            "ignored": ignored,
            "gaps": [asdict(gap) for gap in gaps],
        }
    }
    return json.dumps(facts, indent=2)


def _rules_text() -> str:
    from partman.audit import RULES

    return "\n".join(f"{rule.name}\n  {rule.why}" for rule in RULES)


def _rules_json() -> str:
    from partman.audit import RULES

    return json.dumps([{"name": rule.name, "why": rule.why} for rule in RULES], indent=2)
