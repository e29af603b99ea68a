"""Pages are small, and load nothing from elsewhere.

With ``--weights``, the table of docs/performance.md is written anew.
"""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from statistics import median
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser

from benchmarks import report
from tests.browser.console import choose_organization, signed_in
from tests.browser.site import OPERATOR, Organization, Site
from tests.browser.watching import Visitors
from tests.browser.weight import Scale, Weight

KILOBYTES = 100
"""The most of a page, with its styles and scripts."""
REQUESTS = 7
ROUNDS = 7
"""Loads of each page for the table."""


async def test_pages_are_small_and_load_nothing_from_elsewhere(
    visitors: Visitors, site: Site, first: Organization, pytestconfig: pytest.Config
) -> None:
    page = await visitors.new()
    scale = Scale(page)
    await scale.begin()
    rounds = ROUNDS if pytestconfig.getoption("--weights", default=False) else 1
    weights = {"Sign in": [await scale.weigh("/sign-in") for _ in range(rounds)]}
    await signed_in(page, OPERATOR)
    await choose_organization(page, first.subdomain)
    sql = "SELECT id FROM opportunities WHERE organization_id = $1 LIMIT 1"
    row = await site.value(sql, first.id)
    for name, path in {
        "Console": "/console/",
        "A list of rows": "/console/opportunities/",
        "A form": f"/console/opportunities/row/{row}",
        "Organization": "/organization",
        "Migrations": "/migrations",
        "Plan, not made": "/migrations/plan",
        "Diagram": "/migrations/diagram",
    }.items():
        weights[name] = [await scale.weigh(path) for _ in range(rounds)]
    for name, each in weights.items():
        assert each[0].bytes < KILOBYTES * 1000, name
        assert each[0].requests <= REQUESTS, name
        assert each[0].hosts == {urlsplit(site.url).netloc}, name
    if rounds > 1:
        report.write(table(weights, visitors.browser), "pages")


def table(weights: Mapping[str, list[Weight]], browser: Browser) -> str:
    lines = [
        f"Measured on {datetime.now(UTC):%Y-%m-%d}: {os.cpu_count()} cores with a load average of"
        f" {os.getloadavg()[0]:.0f}, Chromium {browser.version}; {ROUNDS} loads of each page.\n",
        "| page | kB | requests | first paint, median | slowest |",
        "|---|--:|--:|--:|--:|",
    ]
    for name, each in weights.items():
        painted = [load.painted for load in each]
        lines.append(
            f"| {name} | {each[0].bytes / 1000:.1f} | {each[0].requests} |"
            f" {median(painted):.0f} ms | {max(painted):.0f} ms |"
        )
    return "\n".join(lines) + "\n"
