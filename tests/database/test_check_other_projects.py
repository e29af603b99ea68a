"""``partman check`` in projects of other apps, and without a tenancy."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.database.new_support import BLOG, SHOP, declare_blog_and_shop, written_once
from tests.several_apps import SeveralApps

pytestmark = pytest.mark.same_on_every_version

NOT_AUDITED = "No tenancy is declared in piccolo_conf.py: tenant isolation was not audited."


def declare(several: SeveralApps) -> None:
    declare_blog_and_shop(several)
    several.register("shop", "blog", "piccolo.apps.user.piccolo_app")


@pytest.fixture
def migrated(tmp_path: Path) -> Iterator[SeveralApps]:
    """A blog and a shop that refers to it, registered the wrong way round, and Piccolo's user."""
    with written_once("blog_shop_and_user", declare, tmp_path) as several:
        yield several


def test_compares_the_classes_of_all_apps_and_says_that_it_audited_nothing(
    migrated: SeveralApps,
) -> None:
    checked = migrated.partman("check")
    assert checked.code == 0, checked.output
    audited, models = checked.stdout.splitlines()
    assert audited == f"no difference  {NOT_AUDITED}"
    assert models.endswith("objects in the table classes, all as migrated.")
    assert checked.stderr == ""
    facts = json.loads(migrated.partman("check", "--json").stdout)
    assert facts["isolation"] is None
    assert facts["models"]["differences"] == []


def test_is_1_for_a_difference_in_any_app(migrated: SeveralApps) -> None:
    migrated.app("blog", BLOG.replace("lower(name)", "upper(name)"))
    migrated.app("shop", f"{SHOP}\nclass Basket(Table):\n    pass\n", needs=["blog"])
    checked = migrated.partman("check")
    assert checked.code == 1, checked.output
    assert NOT_AUDITED in checked.stdout
    assert "different index public.author_lower_name: definition" in checked.stdout
    assert "missing   table public.basket" in checked.stdout
    assert "2 differences from what the migrations build." in checked.stdout
    told = json.loads(migrated.partman("check", "--json").stdout)["models"]["differences"]
    assert {each["name"] for each in told} == {"public.author_lower_name", "public.basket"}


def test_has_no_rules_without_a_tenancy(migrated: SeveralApps) -> None:
    listed = migrated.partman("check", "--rules")
    assert listed.code == 0, listed.output
    assert listed.stdout == "No tenancy is declared in piccolo_conf.py: there are no rules.\n"
    assert json.loads(migrated.partman("check", "--rules", "--json").stdout) == []
    unknown = migrated.partman("check", "--ignore", "tenant-policy")
    assert unknown.code == 2
    assert "There is no rule tenant-policy" in unknown.stderr


def test_does_not_succeed_where_there_is_nothing_left_to_check(migrated: SeveralApps) -> None:
    refused = migrated.partman("check", "--ignore", "models")
    assert refused.code == 2
    assert refused.stdout == ""
    assert "nothing left to check" in refused.stderr
