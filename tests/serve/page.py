"""Parse an HTML page into the parts that tests check."""

import html
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

_VOID = {"meta", "link", "input", "img", "br", "hr"}


@dataclass
class Element:
    """An element; its text includes that of all its descendants."""

    tag: str
    attributes: dict[str, str]
    children: list["Element | str"] = field(default_factory=list)

    @property
    def text(self) -> str:
        parts = (each if isinstance(each, str) else each.text for each in self.children)
        return re.sub(r"\s+", " ", " ".join(parts)).strip()

    @property
    def words(self) -> set[str]:
        return set(self.attributes.get("class", "").split())

    @property
    def raw(self) -> str:
        """Its text as it is written."""
        return "".join(each if isinstance(each, str) else each.raw for each in self.children)

    def all(self, tag: str = "", word: str = "", **attributes: str) -> list["Element"]:
        """The descendants with this tag, class and attributes."""
        found = []
        for each in self.children:
            if isinstance(each, Element):
                if (
                    tag in ("", each.tag)
                    and (not word or word in each.words)
                    and attributes.items() <= each.attributes.items()
                ):
                    found.append(each)
                found += each.all(tag, word, **attributes)
        return found

    def each(self, tag: str = "", word: str = "", **attributes: str) -> "Element":
        (found,) = self.all(tag, word, **attributes)
        return found


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.root = Element("", {})
        self._open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self._open[-1].children.append(element)
        if tag not in _VOID:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop().tag == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        self._open[-1].children.append(html.unescape(data))


class Page:
    """A whole page, which must be well-formed, with its scripts and styles in files."""

    def __init__(self, text: str) -> None:
        parser = _Parser()
        parser.feed(text)
        parser.close()
        self.root = parser.root
        self.main = self.root.each("main")
        assert self.root.each("html").attributes["lang"] == "en"
        assert self.root.each("h1").text
        elements = self.root.all()
        assert not {"style", "iframe"} & {each.tag for each in elements}
        for each in self.root.all("script"):
            assert each.attributes["src"].startswith("/static/")
            assert not each.children
        for each in elements:
            own = [name for name in each.attributes if name == "style" or name.startswith("on")]
            assert not own, f"{own} of {each.tag}"

    @property
    def text(self) -> str:
        return self.main.text

    def rows(self, heading: str) -> list[list[str]]:
        """Return the cells of the table with this heading."""
        table = self.main.each("table", **{"aria-labelledby": heading})
        body = table.each("tbody")
        return [
            [cell.text for cell in row.children if isinstance(cell, Element)]
            for row in body.all("tr")
        ]

    def fields(self) -> dict[str, str]:
        """Return what a browser sends of the form with which something is changed."""
        form = self.main.each("form", method="post")
        sent = {}
        for each in form.all():
            name = each.attributes.get("name")
            if name is None or "name" not in each.attributes or each.tag == "button":
                continue
            if each.tag == "select":
                options = each.all("option")
                chosen = [one for one in options if "selected" in one.attributes] or options
                sent[name] = chosen[0].attributes["value"]
            elif each.tag == "textarea":
                sent[name] = each.raw.removeprefix("\n").replace("\n", "\r\n")
            else:
                sent[name] = each.attributes.get("value", "")
        return sent

    def error_of(self, field: str) -> str:
        """Return what is said to be wrong with a field."""
        return self.main.each(id=f"{field}-error").text

    def states(self) -> dict[str, str]:
        """Return the state of each migration, in the order of the page."""
        found: dict[str, str] = {}
        for each in self.migrations():
            found.setdefault(each.attributes["data-migration"], each.all(word="badge")[0].text)
        return found

    def migrations(self) -> list[Element]:
        """Return all that is about one migration: alarms, what is pending, runs."""
        return [each for each in self.main.all() if "data-migration" in each.attributes]

    def of(self, migration: str) -> str:
        """Return the text about a migration that comes first."""
        found = (each for each in self.migrations())
        return next(each.text for each in found if each.attributes["data-migration"] == migration)

    def events(self) -> list[tuple[str, str]]:
        """Return the runs: the migration and what happened."""
        return [
            (each.attributes["data-migration"], each.each("span", "badge").text)
            for each in self.main.all("li", "event")
        ]

    @property
    def verdict(self) -> str:
        return self.main.each(id="verdict").text

    def notices(self, kind: str = "") -> list[str]:
        return [
            each.text for each in self.main.all(word="notice") if not kind or kind in each.words
        ]
