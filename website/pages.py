"""Lay out the documents for the site's builder: python -m website.pages FOLDER.

The documents are written for a reader of the repository: the README and others are at its top,
links lead to files of any folder, and comments tell the tests what to run. In FOLDER/pages the
README is the first page, whatever a link leads to is a page, and the comments are gone. Only the
standard library is needed.
"""

import functools
import posixpath
import re
import shutil
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parent
DOCS = ROOT / "docs"
ICON = ROOT / "partman" / "serve" / "static" / "icon.svg"
CONFIGURATION = HERE / "zensical.toml"

# What must stay as it is: a fenced block, a code span.
_CODE = re.compile(r"^```.*?^```$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(\]\()([^)\s]+)(\))")
_COMMENT = re.compile(r"^<!-- .*? -->\n?", re.MULTILINE | re.DOTALL)
_ITEM = re.compile(r"(?:[*-]|\d+\.) +(?=\S)")
_OUTSIDE = ("https://", "http://", "mailto:")
_PICTURES = {".png", ".svg"}
_LANGUAGES = {".py": "python", ".sql": "sql", ".sh": "sh", ".yml": "yaml", ".toml": "toml"}


def lay_out(folder: Path) -> None:
    """Write the configuration, all pages and what they show to an empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    _copy(CONFIGURATION, folder / CONFIGURATION.name)
    shutil.copytree(HERE / "overrides", folder / "overrides")
    _copy_what_pages_show(folder / "pages")
    for page, text in all_pages().items():
        path = folder / "pages" / page
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


@functools.cache
def all_pages() -> dict[str, str]:
    """Return the text of each page: those of the navigation, and what their links lead to."""
    to_write = [document_of(page) for page in pages_in_navigation()]
    written: dict[Path, str] = {}
    while to_write:
        file = to_write.pop()
        if file not in written:
            written[file] = text_of(file)
            to_write += linked_files(file)
    return {page_of(file): text for file, text in written.items()}


def pages_in_navigation() -> list[str]:
    """Return the pages that the configuration names, in order."""
    config = tomllib.loads(CONFIGURATION.read_text("utf-8"))
    return list(_pages(config["project"]["nav"]))


def _pages(navigation: Any) -> Iterator[str]:
    if isinstance(navigation, str):
        yield navigation
        return
    entries = navigation.values() if isinstance(navigation, dict) else navigation
    for entry in entries:
        yield from _pages(entry)


def document_of(page: str) -> Path:
    """Return the document that a page in the navigation shows."""
    if page == "index.md":
        return ROOT / "README.md"
    at_the_top = ROOT / f"{page.removesuffix('.md').upper()}.md"
    return at_the_top if at_the_top.exists() else DOCS / page


def page_of(file: Path) -> str:
    """Return the page that shows a file or folder of the repository."""
    if file == ROOT / "README.md":
        return "index.md"
    if file.suffix == ".md":
        inside = file.relative_to(DOCS if DOCS in file.parents else ROOT)
        return inside.as_posix() if DOCS in file.parents else f"{file.stem.lower()}.md"
    return f"source/{file.relative_to(ROOT).as_posix()}.md"


def text_of(file: Path) -> str:
    """Return the text of a page: the document, or a file's contents, or a list of a folder."""
    name = file.relative_to(ROOT).as_posix()
    if file.is_dir():
        entries = [f"* [{each.name}]({each.name})" for each in files_of(file)]
        return _with_links("\n".join([f"# {name}/", "", *entries, ""]), file, file)
    text = file.read_text("utf-8")
    if file.suffix != ".md":
        language = _LANGUAGES.get(file.suffix, "text")
        return f"# {name}\n\n````{language}\n{text.rstrip()}\n````\n"
    return _with_links(in_the_builders_markdown(text), file.parent, file)


def files_of(folder: Path) -> list[Path]:
    """Return the files of a folder that a reader of the site can open."""
    return sorted(each for each in folder.iterdir() if each.is_file() and _is_text(each))


def linked_files(file: Path) -> Iterator[Path]:
    """Yield what a page's links lead to inside of the repository."""
    if file.is_dir():
        yield from files_of(file)
    elif file.suffix == ".md":
        prose = _CODE.sub("", file.read_text("utf-8"))
        for _, link, _ in _LINK.findall(prose):
            path = link.partition("#")[0]
            if path and not link.startswith(_OUTSIDE) and Path(path).suffix not in _PICTURES:
                yield (file.parent / path).resolve()


def _is_text(file: Path) -> bool:
    return file.suffix in {*_LANGUAGES, ".md"} or "Dockerfile" in file.name


def in_the_builders_markdown(text: str) -> str:
    """Return a document without the tests' comments, and in the builder's Markdown."""
    text = _COMMENT.sub("", text)
    # A picture of the same is above it; the builder would fetch a program to draw it.
    text = text.replace("```mermaid\n", "```text\n")
    text = text.replace("<details>", '<details markdown="1">')
    return "\n".join(_with_deeper_lists(text.split("\n")))


def _with_deeper_lists(lines: list[str]) -> Iterator[str]:
    """Indent what belongs to an item by four spaces, where it belongs by two or three."""
    items: list[int] = []
    in_code = False
    for line in lines:
        text = line.lstrip(" ")
        indent = len(line) - len(text)
        is_fence = text.startswith("```")
        if text and not in_code:
            while items and indent < items[-1]:
                items.pop()
        yield (" " * (4 * len(items) + max(indent - sum(items[-1:]), 0)) + text) if text else line
        if is_fence:
            in_code = not in_code
        elif not in_code and (item := _ITEM.match(text)):
            items.append(indent + len(item[0]))


def _with_links(text: str, base: Path, file: Path) -> str:
    """Return a page's text with links to pages, from where the page is."""
    here = posixpath.dirname(page_of(file))

    def led(found: re.Match[str]) -> str:
        link = found[2]
        path, _, anchor = link.partition("#")
        if not path or link.startswith(_OUTSIDE):
            return found[0]
        target = (base / path).resolve()
        way = posixpath.relpath(_shown_as(target), here or ".")
        return f"{found[1]}{way}#{anchor}{found[3]}" if anchor else f"{found[1]}{way}{found[3]}"

    return _outside_of_code(text, lambda prose: _LINK.sub(led, prose))


def _shown_as(target: Path) -> str:
    if target.suffix in _PICTURES:
        return target.relative_to(DOCS).as_posix()
    return page_of(target)


def _outside_of_code(text: str, change: Callable[[str], str]) -> str:
    parts, end = [], 0
    for code in _CODE.finditer(text):
        parts += [change(text[end : code.start()]), code[0]]
        end = code.end()
    return "".join([*parts, change(text[end:])])


def _copy_what_pages_show(folder: Path) -> None:
    for picture in (each for each in DOCS.rglob("*") if each.suffix in _PICTURES):
        _copy(picture, folder / picture.relative_to(DOCS))
    for own in ("accessible.js", "iframe-worker.js", "site.css"):
        _copy(HERE / own, folder / "assets" / own)
    _copy(ICON, folder / "assets" / ICON.name)


def _copy(file: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, to)


if __name__ == "__main__":
    lay_out(Path(sys.argv[1]))
