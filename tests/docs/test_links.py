"""All links are valid, and none points to this machine."""

import re

import pytest

from tests.docs.markdown import Document, documents

LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE_SPAN = re.compile(r"`[^`\n]+`")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
OUTSIDE = ("https://", "mailto:")
ELSEWHERE = re.compile(r"/(root|work|tmp|opt|usr/local)/|index-url")
DOCUMENTS = documents()


def links(document: Document) -> list[str]:
    """Return the targets of a document's links; brackets in code are none."""
    return LINK.findall(CODE_SPAN.sub("", document.prose))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_links_lead_to_files_and_headings(document: Document) -> None:
    broken = [link for link in links(document) if not leads_somewhere(document, link)]
    assert broken == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_no_path_of_the_machine_it_was_written_on(document: Document) -> None:
    assert ELSEWHERE.findall(document.text) == []


def test_every_document_can_be_reached_from_the_readme() -> None:
    by_path = {document.path: document for document in DOCUMENTS}
    [readme] = (document for document in DOCUMENTS if document.name == "README.md")
    reached, to_read = {readme.path}, [readme]
    while to_read:
        document = to_read.pop()
        for link in links(document):
            target = (document.path.parent / link.partition("#")[0]).resolve()
            if target in by_path and target not in reached:
                reached.add(target)
                to_read.append(by_path[target])
    assert reached == by_path.keys()


def leads_somewhere(document: Document, link: str) -> bool:
    if link.startswith(OUTSIDE):
        return True
    path, _, heading = link.partition("#")
    target = (document.path.parent / path).resolve() if path else document.path
    if not heading:
        return target.exists()
    return target.is_file() and heading in anchors(Document(target))


def anchors(document: Document) -> set[str]:
    """Return the anchors of the headings."""
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in HEADING.findall(document.prose)
    }
