"""The development data on its way: the same rows in any shares, and few of them at a time."""

import io
import os
import sys
import tracemalloc
import uuid
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from random import Random

import pytest

from seeds import batches, generate, worker
from seeds.batches import NULL, line
from seeds.dice import Dice
from seeds.generate import SeedPlan
from seeds.rows import ROW_TYPES, OrganizationRow
from tests.unit.seed_plans import AS_OF, DEFAULT

PLAN = SeedPlan(1, AS_OF, 5, 300)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate, "PORTION", 20)
    monkeypatch.setattr(batches, "ROWS", 50)


def lines(plan: SeedPlan, numbers: range) -> list[str]:
    return [
        f"{table} {text}"
        for batch in batches.batches(plan, numbers)
        for table, texts in batch.texts.items()
        for text in texts.decode().splitlines()
    ]


@pytest.mark.parametrize("jobs", [1, 2, 3, 7])
def test_any_number_of_jobs_gives_the_same_rows(jobs: int) -> None:
    whole = [
        f"{table} {line(row)}".removesuffix("\n")
        for organization in generate.generate(PLAN)
        for table in ROW_TYPES
        for row in organization.of(table)
    ]
    shares = [lines(PLAN, range(job, PLAN.organizations, jobs)) for job in range(jobs)]
    assert Counter(text for share in shares for text in share) == Counter(whole)
    assert all(shares[: PLAN.organizations])


@pytest.mark.parametrize(("organizations", "opportunities"), [(1, 400), (40, 400), (40, 0)])
def test_each_batch_has_enough_rows_to_be_worth_it_and_not_many_more(
    organizations: int, opportunities: int
) -> None:
    plan = SeedPlan(1, AS_OF, organizations, opportunities)
    sizes = [
        sum(text.count(b"\n") for text in batch.texts.values())
        for batch in batches.batches(plan, range(organizations))
    ]
    assert len(sizes) > 5
    assert min(sizes[:-1]) >= 50
    # And the rows of a portion: an organization has 16 people and partners, and 45 goals.
    assert max(sizes) < 50 + 20 + 20 + 16 + 45 + 10


def test_memory_does_not_grow_with_the_deals_of_an_organization() -> None:
    """Apart from the commissions, which are kept: at most so many as there are prices."""

    def peak(opportunities: int) -> int:
        tracemalloc.start()
        assert all(batches.batches(SeedPlan(1, AS_OF, 1, opportunities), range(1)))
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert all(batches.batches(SeedPlan(1, AS_OF, 1, 2_000), range(1)))
    assert peak(2_000) < 1.2 * peak(200)


def test_each_row_refers_to_rows_of_its_batch_or_of_an_earlier_one() -> None:
    known: set[str] = set()
    for batch in batches.batches(PLAN, range(PLAN.organizations)):
        rows = {table: text.decode().splitlines() for table, text in batch.texts.items()}
        known |= {row.split("\t")[0] for texts in rows.values() for row in texts}
        for table in ROW_TYPES:
            names = ROW_TYPES[table]._fields
            for row in rows.get(table, ()):
                values = dict(zip(names, row.split("\t"), strict=True))
                for name in ("organization_id", "partner_id", "user_id", "assigned_user_id"):
                    assert values.get(name, NULL) in known | {NULL}


def test_a_row_is_written_as_copy_reads_it() -> None:
    at = datetime(2026, 11, 28, 7, 5, tzinfo=UTC)
    row = OrganizationRow(
        uuid.UUID(int=0x5EED), "A\tB\\N\r\nÆ", "", '{"a":"\\n"}', False, "x", 3, at, at
    )  # fmt: skip
    assert line(row) == (
        "00000000-0000-0000-0000-000000005eed\tA\\tB\\\\N\\r\\nÆ\t\t" + '{"a":"\\\\n"}'
        "\tFalse\tx\t3\t2026-11-28 07:05:00+00\t2026-11-28 07:05:00+00\n"
    )
    values = (None, Decimal("1.50"), date(2026, 11, 28))
    assert [batches._WRITERS[type(value)](value) for value in values] == [
        NULL,
        "1.50",
        "2026-11-28",
    ]


def test_a_job_ends_silently_when_its_reader_has_ended(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    ended: list[int] = []
    # What was not written is written once more when it is closed.
    with suppress(BrokenPipeError), os.fdopen(writer, "w") as output:
        monkeypatch.setattr(sys, "stdin", io.StringIO(worker.order(PLAN, 1, 2).decode()))
        monkeypatch.setattr(sys, "stdout", output)
        monkeypatch.setattr(os, "_exit", ended.append)
        worker.main()
    assert ended == [1]
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("default", [None, DEFAULT])
def test_a_job_generates_its_share_of_the_plan(default: uuid.UUID | None) -> None:
    plan = replace(PLAN, default_organization=default)
    given = worker.order(plan, 0, 2)
    assert list(worker.ordered(given)) == list(batches.batches(plan, [0, 2, 4]))


def test_dice_draw_what_random_draws() -> None:
    ours, theirs = Dice("1:0"), Random("1:0")  # noqa: S311 -- no secret
    for number in range(1, 200):
        assert ours.below(number) == theirs.randrange(number)
        assert ours.pick(range(number)) == theirs.choice(range(number))
