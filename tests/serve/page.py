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
        parts = (one if isinstance(one, str) else one.text for one in self.children)
        return re.sub(r"\s+", " ", " ".join(parts)).strip()

    @property
    def words(self) -> set[str]:
        return set(self.attributes.get("class", "").split())

    def all(self, tag: str = "", word: str = "", **attributes: str) -> list["Element"]:
        """The descendants with this tag, class and attributes."""
        found = []
        for one in self.children:
            if isinstance(one, Element):
                if (
                    tag in ("", one.tag)
                    and (not word or word in one.words)
                    and attributes.items() <= one.attributes.items()
                ):
                    found.append(one)
                found += one.all(tag, word, **attributes)
        return found

    def one(self, tag: str = "", word: str = "", **attributes: str) -> "Element":
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
    """A whole page, which must be well-formed and have no scripts or styles of its own."""

    def __init__(self, text: str) -> None:
        parser = _Parser()
        parser.feed(text)
        parser.close()
        self.root = parser.root
        self.main = self.root.one("main")
        assert self.root.one("html").attributes["lang"] == "en"
        assert self.root.one("h1").text
        elements = self.root.all()
        assert not {"script", "style", "iframe"} & {one.tag for one in elements}
        for one in elements:
            own = [name for name in one.attributes if name == "style" or name.startswith("on")]
            assert not own, f"{own} of {one.tag}"

    @property
    def text(self) -> str:
        return self.main.text

    def rows(self, heading: str) -> list[list[str]]:
        """Return the cells of the table with this heading."""
        table = self.main.one("table", **{"aria-labelledby": heading})
        body = table.one("tbody")
        return [
            [cell.text for cell in row.children if isinstance(cell, Element)]
            for row in body.all("tr")
        ]

    def states(self) -> dict[str, str]:
        """Return the state of each migration."""
        return {row[0].split()[0]: row[1] for row in self.rows("all")}

    def notices(self, kind: str = "") -> list[str]:
        return [one.text for one in self.main.all(word="notice") if not kind or kind in one.words]
