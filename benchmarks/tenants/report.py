"""Render the tables on tenant isolation for docs/performance.md."""

from collections.abc import Iterator, Mapping, Sequence

from benchmarks.tenants.compare import Comparison, Measured
from benchmarks.tenants.data import Data, Tenant
from benchmarks.tenants.entering import Entry
from benchmarks.tenants.leakproof import Form

TARGET = 1.10


def data(made: Data) -> str:
    """Return a sentence on the data."""
    sizes = " and ".join(f"{tenant.opportunities:,}" for tenant in made.tenants)
    return (
        f"{made.organizations:,} organizations, {made.opportunities:,} opportunities; "
        f"the largest and the median organization have {sizes} of them.\n"
    )


def queries(tenant: Tenant, comparisons: Sequence[Comparison]) -> str:
    """Render the cost of queries for one tenant."""
    lines = [
        f"### Queries of the {tenant.name} organization\n",
        "| query | own condition | `tenant()` | ratio | quartiles apart | plan "
        "| with another tenant's plan |",
        "|---|--:|--:|--:|--:|---|--:|",
    ]
    lines += [
        f"| {comparison.query.name} | {_time(comparison.explicit.cpu)} | "
        f"{_time(comparison.isolated.cpu)} | {comparison.ratio:.2f} | {comparison.spread:.2f} | "
        f"{_plans(comparison.explicit, comparison.isolated)} | {_time(comparison.inherited.cpu)} |"
        for comparison in comparisons
    ]
    return "\n".join(lines) + "\n"


def missed(
    before: Sequence[Comparison],
    settings: Sequence[Mapping[str, str]],
    again: Sequence[Sequence[Comparison]],
) -> str:
    """Render the queries above the target ratio, with other settings and their plans."""
    names = [f"`{name} = {value}`" for each in settings for name, value in each.items()]
    lines = [
        f"### Above {TARGET:.2f}, again with other settings\n",
        f"| query | organization | ratio | {' | '.join(names)} |",
        "|---|---|--:|" + "--:|" * len(names),
    ]
    plans = ["", "Their plans:", ""]
    for comparison, *others in zip(before, *again, strict=True):
        cells = " | ".join(f"{other.ratio:.2f}, {_time(other.isolated.cpu)}" for other in others)
        ratio = f"{comparison.ratio:.2f}, {_time(comparison.isolated.cpu)}"
        lines.append(f"| {comparison.query.name} | {comparison.tenant.name} | {ratio} | {cells} |")
        plans += [
            f"* {comparison.query.name}, {comparison.tenant.name}",
            f"  * own condition: `{comparison.explicit.plan}`",
            f"  * `tenant()`: `{comparison.isolated.plan}`",
        ]
    return "\n".join([*lines, *plans]) + "\n"


def scans(settings: Mapping[str, str], comparisons: Sequence[Comparison]) -> str:
    """Render what the queries that read all rows of a tenant cost with other settings."""
    [(name, value)] = settings.items()
    lines = [
        f"### Scans of the largest organization without the login's `{name}`: {value}\n",
        "| query | own condition | its lossy pages | `tenant()` | its lossy pages | ratio |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {comparison.query.name} | {_time(comparison.explicit.cpu)} | "
        f"{comparison.explicit.lossy:,} | {_time(comparison.isolated.cpu)} | "
        f"{comparison.isolated.lossy:,} | {comparison.ratio:.2f} |"
        for comparison in comparisons
    ]
    return "\n".join(lines) + "\n"


def entering(entries: Sequence[Entry]) -> str:
    """Render the cost of entering; each entry is compared with its base entry."""
    lines = [
        "### Entering `tenant()`\n",
        "| | CPU, server | / without | CPU, client | both, / without |",
        "|---|--:|--:|--:|--:|",
    ]
    lines += _entries(entries)
    return "\n".join(lines) + "\n"


def _entries(entries: Sequence[Entry]) -> Iterator[str]:
    for entry in entries:
        base = entry.compared_with or entry
        both = (entry.server + entry.client) / (base.server + base.client)
        yield (
            f"| {entry.name} | {_time(entry.server)} | {entry.server / base.server:.2f} | "
            f"{_time(entry.client)} | {both:.2f} |"
        )


def forms(measured: Sequence[tuple[Form, Comparison]]) -> str:
    """Render the cost of each form of a condition."""
    lines = [
        "### Where row security takes an index away, for the largest organization\n",
        "| wanted | written | index | own condition | `tenant()` | ratio |",
        "|---|---|---|--:|--:|--:|",
    ]
    lines += [
        f"| {form.wanted} | `{form.written}` | {form.index} | {_time(comparison.explicit.cpu)} | "
        f"{_time(comparison.isolated.cpu)} | {comparison.ratio:,.2f} |"
        for form, comparison in measured
    ]
    return "\n".join(lines) + "\n"


def _plans(explicit: Measured, isolated: Measured) -> str:
    same = "same" if explicit.plan == isolated.plan else "differs"
    kept = ["kept" if side.kept else "anew" for side in (explicit, isolated)]
    return f"{same}; {kept[0] if kept[0] == kept[1] else ' / '.join(kept)}"


def _time(seconds: float) -> str:
    milliseconds = seconds * 1000
    if milliseconds < 1:
        return f"{milliseconds * 1000:.1f} µs"
    return f"{milliseconds:.2f} ms" if milliseconds < 10 else f"{milliseconds:,.0f} ms"
