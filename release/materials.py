"""The software bill of materials: what partman installs, as CycloneDX JSON.

It has the packages of requirements/: their pinned versions, hashes, licences, and which of them a
plain installation needs. The licences are what the installed packages say of themselves; of a
package that this system does not install (for Windows, say), none is known here.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageMetadata, PackageNotFoundError, metadata
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

LISTS = ("base", "embedded", "serve")
"""The lists in requirements/ that an installation uses; the first is needed by all of them."""

_PINNED = re.compile(r"^([\w.-]+)==([^\s;\\]+).*\n((?: +--hash=.*\n)+)", re.MULTILINE)
_HASH = re.compile(r"sha256:(\w+)")
_LICENCE = re.compile(r"^License :: (?:OSI Approved :: )?(.+)$")


@dataclass(frozen=True)
class Pinned:
    """A package in a list, with the hashes of its files."""

    name: str
    version: str
    hashes: tuple[str, ...]


def bill_of_materials(root: Path, version: str, epoch: int) -> str:
    """Return the bill of partman's version, made at a time in seconds since 1970."""
    needed = set(pinned(root, LISTS[0]))
    found = {each: None for name in LISTS for each in pinned(root, name)}
    itself = Component(
        name="partman",
        version=version,
        type=ComponentType.APPLICATION,
        licenses=[LicenseFactory().make_from_string("MIT")],
        bom_ref=f"pkg:pypi/partman@{version}",
        purl=PackageURL("pypi", name="partman", version=version),
    )
    components = [_component(each, each in needed) for each in found]
    content = "".join(f"{each}\n" for each in found)
    bill = Bom(
        components=components,
        metadata=BomMetaData(component=itself, timestamp=datetime.fromtimestamp(epoch, UTC)),
        serial_number=uuid5(NAMESPACE_URL, f"partman {version} {epoch} {content}"),
    )
    bill.register_dependency(itself, components)
    return JsonV1Dot6(bill).output_as_string(indent=2) + "\n"


def pinned(root: Path, name: str) -> Iterator[Pinned]:
    """Yield the packages of a list in requirements/."""
    text = (root / "requirements" / f"{name}.txt").read_text("utf-8")
    for found in _PINNED.finditer(text):
        yield Pinned(found[1], found[2], tuple(sorted(_HASH.findall(found[3]))))


def licence(package: str) -> str | None:
    """Return what an installed package says of its licence; None if it is not installed."""
    try:
        says = metadata(package)
    except PackageNotFoundError:
        return None
    expression = says.get_all("License-Expression") or []
    free_text = says.get_all("License") or []
    return " ".join(expression) or _in_classifiers(says) or " ".join(free_text) or None


def _in_classifiers(says: PackageMetadata) -> str | None:
    named = (_LICENCE.match(each) for each in says.get_all("Classifier") or [])
    return " and ".join(each[1] for each in named if each) or None


def _component(package: Pinned, needed: bool) -> Component:
    said = licence(package.name)
    purl = PackageURL("pypi", name=package.name.lower(), version=package.version)
    return Component(
        name=package.name,
        version=package.version,
        type=ComponentType.LIBRARY,
        scope=ComponentScope.REQUIRED if needed else ComponentScope.OPTIONAL,
        licenses=[LicenseFactory().make_from_string(said)] if said else [],
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=each) for each in package.hashes],
        bom_ref=str(purl),
        purl=purl,
    )
