"""The built site shows what the documents have, and needs nothing from another host."""

from collections import Counter
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from markdown_it import MarkdownIt

from tests.support import ROOT
from website.pages import all_pages

pytestmark = pytest.mark.site

SITE = ROOT / "build" / "documents" / "site"
PAGES = sorted(all_pages())
SHOWN = {
    *("h1", "h2", "h3", "h4", "h5", "ul", "ol", "li", "table", "tr", "pre", "img", "details"),
}
LOADED = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src"}
NOT_LOADED = {"canonical", "next", "prev", "alternate"}


class Seen(HTMLParser):
    """The elements of a page."""

    def __init__(self, inside: str | None = None) -> None:
        super().__init__()
        self.inside = inside
        self.is_inside = inside is None
        self.shown = Counter[str]()
        self.anchors = set[str]()
        self.links = list[str]()
        self.loaded = list[str]()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.is_inside = self.is_inside or tag == self.inside
        if self.is_inside and tag in SHOWN:
            self.shown[tag] += 1
        self.anchors.add(given.get("id", ""))
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag in LOADED and given.get("rel") not in NOT_LOADED:
            self.loaded.append(given.get(LOADED[tag], ""))

    def handle_endtag(self, tag: str) -> None:
        self.is_inside = self.is_inside and tag != self.inside


def built(page: str) -> Path:
    """Return the file of a page."""
    file = SITE / page
    return file.with_name("index.html") if file.name == "README.md" else file.with_suffix(".html")


@cache
def seen(file: Path, inside: str | None = "article") -> Seen:
    found = Seen(inside)
    found.feed(file.read_text("utf-8"))
    return found


@pytest.mark.parametrize("page", PAGES)
def test_a_page_shows_all_lists_tables_and_blocks(page: str) -> None:
    as_on_github = Seen()
    as_on_github.feed(MarkdownIt("gfm-like", {"linkify": False}).render(all_pages()[page]))
    assert seen(built(page)).shown == as_on_github.shown


def test_no_page_loads_from_another_host() -> None:
    files = sorted(SITE.rglob("*.html"))
    assert len(files) > len(PAGES)
    foreign = [
        (file.name, loaded)
        for file in files
        for loaded in seen(file).loaded
        if "//" in loaded.removeprefix("data:")
    ]
    assert foreign == []
    styles = "".join(file.read_text("utf-8") for file in SITE.rglob("*.css"))
    assert "url(http" not in styles
    assert "@import" not in styles


def test_all_links_lead_to_a_built_file_and_its_headings() -> None:
    broken = [
        (page, link)
        for page in PAGES
        for link in seen(built(page)).links
        if not leads_somewhere(built(page), link)
    ]
    assert broken == []


def leads_somewhere(file: Path, link: str) -> bool:
    if link.startswith(("https://", "http://", "mailto:")):
        return True
    path, _, anchor = link.partition("#")
    target = (file.parent / unquote(path)).resolve() if path else file
    if target.is_dir():
        target /= "index.html"
    if not target.is_file():
        return False
    is_place = bool(anchor) and not anchor.startswith("__")
    return not is_place or unquote(anchor) in seen(target).anchors


def test_the_search_knows_every_page() -> None:
    index = (SITE / "search.js").read_text("utf-8")
    unknown = [
        page for page in PAGES if f'"{built(page).relative_to(SITE).as_posix()}' not in index
    ]
    assert unknown == []
