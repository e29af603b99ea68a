"""Render the tables on tenant isolation for docs/performance.md."""

from collections.abc import Mapping, Sequence
from statistics import median

from benchmarks.tenants.compare import Comparison, Measured
from benchmarks.tenants.data import Data, Tenant
from benchmarks.tenants.entering import Way
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
        "| query | own condition | `tenant()` | ratio | of the processes | plan "
        "| with another tenant's plan |",
        "|---|--:|--:|--:|--:|---|--:|",
    ]
    lines += [
        f"| {comparison.query.name} | {_time(comparison.explicit.cpu)} | "
        f"{_time(comparison.isolated.cpu)} | {comparison.ratio:.2f} | "
        f"{_range(comparison.ratios)} | {_plans(comparison.explicit, comparison.isolated)} | "
        f"{_time(comparison.inherited.cpu)} |"
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


def entering(ways: Sequence[Way]) -> str:
    """Render the cost of entering; each way is compared with its base."""
    lines = [
        "### Entering `tenant()`\n",
        "| | CPU, server | / without | CPU, client | both, / without | of the processes |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    lines += map(_way, ways)
    return "\n".join(lines) + "\n"


def _way(way: Way) -> str:
    of_server, of_both = way.ratios(lambda cost: cost.server), way.ratios(lambda cost: cost.both)
    return (
        f"| {way.name} | {_time(way.server)} | {median(of_server):.2f} | "
        f"{_time(way.client)} | {median(of_both):.2f} | {_range(of_both)} |"
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


def _range(ratios: Sequence[float]) -> str:
    return f"{min(ratios):.2f} to {max(ratios):.2f}"


def _time(seconds: float) -> str:
    milliseconds = seconds * 1000
    if milliseconds < 1:
        return f"{milliseconds * 1000:.1f} µs"
    return f"{milliseconds:.2f} ms" if milliseconds < 10 else f"{milliseconds:,.0f} ms"
