"""Digests that tell whether two databases are equal, without having all of either.

They are kept beside what was built, so that nothing large is read where nothing differs. Where they
differ, both sides are compared as a whole, which says in what.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, fields

from partman.catalog.expansions import open_contracts
from partman.catalog.model import Catalog, Object
from partman.catalog.python_defaults import PythonDefault
from partman.database.pg_dump import Dump, PrintedDump
from partman.isolation import Tenancy
from partman.migration.verification.deployment import as_deployed
from partman.migration.verification.dump_comparison import NotAsked


@dataclass(frozen=True)
class Seal:
    """The digests of a database."""

    objects: int
    """How many objects it has."""
    catalog: str
    """Of all that is compared of them."""
    forms: str | None
    """Of the normal forms of what pg_dump prints; None if it was not asked."""
    printed: str | None
    """Of what it prints, as it prints it."""
    beside: Catalog
    """What it does not print: see read_beside_dump()."""
    is_read_in_full: bool
    """Whether nothing in the database is not compared."""
    has_contracts: bool
    """Whether changes of columns have an open second half."""

    @classmethod
    def of(cls, catalog: Catalog, printed: PrintedDump | NotAsked, beside: Catalog) -> "Seal":
        """Return the seal of a database that was read."""
        return cls(
            objects=len(catalog.objects),
            catalog=_digest(_compared(obj) for obj in catalog.objects),
            forms=None if isinstance(printed, NotAsked) else _forms(printed.divided),
            printed=None if isinstance(printed, NotAsked) else printed.digest,
            beside=beside,
            is_read_in_full=not catalog.not_compared,
            has_contracts=bool(open_contracts(catalog)),
        )

    def is_same_as(self, other: "Seal") -> bool:
        """Whether a comparison of catalogs and dumps would find no difference."""
        return (
            self.forms is not None
            and (self.catalog, self.forms) == (other.catalog, other.forms)
            and self.is_read_in_full
            and other.is_read_in_full
        )

    def is_of_live(
        self, printed: PrintedDump | NotAsked, beside: Catalog, tenancy: Tenancy | None
    ) -> bool:
        """Whether a live database, of which this was read, differs in nothing.

        pg_dump has printed the same text, and what it does not print is the same but for what the
        deployment does.
        """
        return (
            isinstance(printed, PrintedDump)
            and printed.digest == self.printed
            and not (self.beside.not_compared or beside.not_compared)
            and as_deployed(self.beside, beside, tenancy) == beside
        )


def _forms(dump: Dump) -> str:
    return _digest(sorted({obj.identity: obj.normal_form for obj in dump.objects}.items()))


def _digest(values: Iterable[object]) -> str:
    found = hashlib.sha256()
    for value in values:
        found.update(f"{value!r}\n".encode(errors="surrogateescape"))
    return found.hexdigest()


def _compared(obj: Object) -> tuple[object, ...]:
    """Return what makes two objects equal."""
    class_ = type(obj)
    values: list[object] = [getattr(obj, each.name) for each in fields(obj) if each.compare]
    # What Python computes is equal to every other such value.
    told = (type(each) if isinstance(each, PythonDefault) else each for each in values)
    return class_.__name__, *told
