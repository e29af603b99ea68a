"""The list in which an operator searches for a tenant, a page at a time."""

from dataclasses import dataclass

from partman.serve.people.account_base import is_storable
from partman.serve.people.authentication import Authentication
from partman.serve.people.tenants import Choice, Search

PAGE = 50
"""Tenants on a page."""
FEW = 7
"""Tenants among which nobody needs to search."""
_MOST_WITH_ACCOUNTS = 100
_LAST_PAGE = 100_000
"""Of any platform."""


@dataclass(frozen=True)
class Listing:
    """A page of the list."""

    searched: str
    choices: tuple[Choice, ...] = ()
    count: int = 0
    """The tenants that were found, on all pages."""
    page: int = 1
    complete: bool = True
    """Whether all active tenants were searched, or only those that have an account."""
    cut: bool = False
    """Whether even some of those were left out."""

    @property
    def is_searchable(self) -> bool:
        """Whether there is so much that somebody would search."""
        return bool(self.searched) or self.count > FEW

    @property
    def first(self) -> int:
        """The number of the first tenant on this page."""
        return (self.page - 1) * PAGE + 1

    @property
    def last(self) -> int:
        """The number of the last tenant on this page."""
        return self.first + len(self.choices) - 1


def page_number(text: str) -> int:
    """Return the number of a page; 1 for any other text."""
    is_number = text.isascii() and text.isdigit() and len(text) < len(str(_LAST_PAGE))
    return max(1, int(text)) if is_number else 1


async def listing(authentication: Authentication, searched: str, page: int) -> Listing:
    """Return a page of the active tenants whose name contains a text, in any case.

    A page after the last one is the first again: the list may have become shorter meanwhile.
    """
    if not is_storable(searched):
        return Listing(searched)
    list_by = authentication.tenants.list_by
    found = await list_by(_search(searched, page)) if list_by else None
    if list_by and found and not found.choices and page > 1:
        page = 1
        found = await list_by(_search(searched, page))
    if found is None:
        return await _with_accounts(authentication, searched)
    return Listing(searched, found.choices, found.count, page)


def _search(text: str, page: int) -> Search:
    return Search(text, most=PAGE, skipped=(page - 1) * PAGE)


async def _with_accounts(authentication: Authentication, searched: str) -> Listing:
    known, cut = await authentication.tenants_with_accounts(_MOST_WITH_ACCOUNTS)
    choices = tuple(each for each in known if searched.lower() in each.name.lower())
    return Listing(searched, choices, len(choices), complete=False, cut=cut)
