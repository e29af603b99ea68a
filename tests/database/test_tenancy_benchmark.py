"""The benchmark of tenant isolation runs, and compares equal work."""

import sys

import pytest

from benchmarks import tenancy
from benchmarks.tenants.leakproof import FORMS
from benchmarks.tenants.queries import QUERIES, Query, always

pytestmark = pytest.mark.same_on_every_version

EVERY_QUERY = [*QUERIES, *(form.query for form in FORMS)]


linux = pytest.mark.skipif(sys.platform != "linux", reason="a process's CPU time is from /proc")


@pytest.fixture(scope="module")
def measure(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """As little as there can be, of rows that are made once."""
    rows = str(tmp_path_factory.mktemp("rows"))
    return ["--scale", "0.001", "--rounds", "1", "--sample", "0", "--data", rows]


@pytest.mark.parametrize("query", EVERY_QUERY, ids=lambda query: query.name)
def test_queries_inside_tenant_compare_no_organization(query: Query) -> None:
    assert "organization_id = $" not in query.isolated


@pytest.mark.parametrize("query", EVERY_QUERY, ids=lambda query: query.name)
def test_explicit_queries_compare_every_table_with_the_organization(query: Query) -> None:
    tables = query.explicit.count("JOIN ") + query.explicit.count(", opportunity_words") + 1
    assert query.inserts or query.explicit.count("organization_id = $") == tables


@linux
def test_every_query_is_measured_both_ways(
    measure: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    tenancy.main(measure)
    printed = capsys.readouterr().out
    for query in QUERIES:
        assert printed.count(f"| {query.name} |") >= 2  # of each organization
    for form in FORMS:
        assert f"| `{form.written}` |" in printed


@linux
def test_a_query_with_other_results_inside_tenant_is_refused(
    measure: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sql = "SELECT count(*) FROM opportunities WHERE true\n AND organization_id = $1 OR true"
    monkeypatch.setattr(tenancy, "QUERIES", [Query("everybody's", sql, always())])
    with pytest.raises(RuntimeError, match=r"everybody's: tenant\(\) and the explicit condition"):
        tenancy.main([*measure, "--only", "queries"])
