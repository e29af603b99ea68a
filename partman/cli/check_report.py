"""What ``partman check`` prints."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from partman.cli import differences, look
from partman.cli.look import Block
from partman.wording import counted

if TYPE_CHECKING:
    from partman.audit import Gap, Rule
    from partman.migration.ledger.contracts import Contract
    from partman.migration.verification.table_classes import Models

MODELS = "models"
"""What --ignore calls the comparison of the table classes with the migrations."""
NO_TENANCY = "No tenancy is declared in piccolo_conf.py"


@dataclass(frozen=True)
class Isolation:
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
class Found:
    """What the check found."""

    isolation: Isolation | None
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
        """Whether there is no gap and no difference."""
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


def report(found: Found) -> Iterator[Block]:
    """Yield it for people."""
    isolation, models = found.isolation, found.models
    yield look.verdict(*_verdict(found), _asked(isolation))
    if models:
        yield look.said(_migrated(models))
    yield from _not_looked_at(found)
    yield from (look.said(_contract(each)) for each in found.contracts)
    if found.note:
        yield look.note(found.note)
    for gap in isolation.gaps if isolation else ():
        yield look.BLANK
        yield from _gap(gap, isolation)
    if models and models.comparison.number:
        yield look.BLANK
        yield from differences.blocks(models.comparison.differences)
        yield from differences.beyond(models.comparison)
        yield look.BLANK
        yield look.said("Expected is what the classes say.")
        yield look.Verbatim('For a migration that does it: partman new "its name"')


def _migrated(models: "Models") -> str:
    number = models.comparison.number
    result = (
        f"{counted(number, 'difference')} from what the migrations build"
        if number
        else "all as migrated"
    )
    return f"{counted(models.objects, 'object')} in the table classes, {result}."


def _verdict(found: Found) -> look.Span:
    """Return in a few words what was found, and its style."""
    gaps = len(found.isolation.gaps) if found.isolation else 0
    number = found.models.comparison.number if found.models else 0
    bad = [(gaps, "gap"), (number, "difference")]
    if told := ", ".join(counted(each, noun) for each, noun in bad if each):
        return told, look.BAD
    fine = "no gaps" if found.isolation else "no difference"
    if not (found.was_looked_at and found.is_complete):
        return f"{fine} in what was looked at", look.WARNING
    return fine, look.GOOD


def _asked(found: Isolation | None) -> str:
    if found is None:
        return f"{NO_TENANCY}: tenant isolation was not audited."
    left_out = f" ({', '.join(found.ignored)} left out)" if found.ignored else ""
    return (
        f"{counted(len(found.tables), 'tenant table')}, {counted(len(found.rules), 'rule')}"
        f"{left_out}."
    )


def _gap(gap: "Gap", found: Isolation | None) -> Iterator[Block]:
    yield look.Prose(((gap.object, look.BAD), (f"  [{gap.rule}]", look.QUIET)))
    yield look.Prose(((f"  {gap.reason}", look.PLAIN),), hanging=2)
    yield from (look.Verbatim(f"    {line}") for line in gap.remedy.splitlines())
    if found and (problem := found.problems.get(gap)):
        told = f"The SQL was {problem}" if problem.startswith("not tried") else problem
        yield look.Prose(((f"  {told}.", look.WARNING),), hanging=2)


def _contract(found: "Contract") -> str:
    contract, since = found.contract, f" since {found.since:%Y-%m-%d %H:%M}" if found.since else ""
    return (
        f"Contract open{since}: {contract.table}.{contract.old} is still there for the old code "
        f"({contract.expanded_by}); {found.state}."
    )


def _not_looked_at(found: Found) -> Iterator[Block]:
    not_asked = found.isolation.not_asked if found.isolation else {}
    reasons = [f"{rule}: {why}." for rule, why in not_asked.items()]
    if found.models_problem:
        reasons.append(f"{MODELS}: {found.models_problem}")
    for reason in reasons:
        yield look.Prose((("Not looked at: ", look.WARNING), (reason, look.PLAIN)), hanging=2)
    if found.models:
        yield from differences.not_compared(found.models.comparison)


def _isolation_facts(found: Isolation) -> dict[str, Any]:
    gaps = [{**asdict(gap), "problem": found.problems.get(gap)} for gap in found.gaps]
    return {
        "tables": found.tables,
        "rules": found.rules,
        "ignored": found.ignored,
        "gaps": gaps,
        "not_looked_at": dict(found.not_asked),
    }


def found_json(found: Found) -> str:
    """Return it for scripts."""
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


def rules_text(rules: "Iterable[Rule]") -> str:
    """Return the rules for people."""
    listed = [f"{rule.name}\n  {rule.why}" for rule in rules]
    return "\n".join(listed) or f"{NO_TENANCY}: there are no rules."


def rules_json(rules: "Iterable[Rule]") -> str:
    """Return the rules for scripts."""
    return json.dumps([{"name": rule.name, "why": rule.why} for rule in rules], indent=2)
