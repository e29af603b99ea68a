"""The documents are laid out as the pages of a site; `make test-site` looks at the built ones."""

import posixpath
import re

import pytest

from tests.docs.markdown import documents
from tests.docs.test_links import LINK, OUTSIDE
from website.pages import all_pages, document_of, in_the_builders_markdown, pages_in_navigation

FENCE = re.compile(r"^( *)(```+)\w*\n.*?^\1\2$", re.MULTILINE | re.DOTALL)
PAGES = {page: FENCE.sub("", text) for page, text in all_pages().items()}


def test_every_document_is_in_the_navigation_once() -> None:
    shown = [document_of(page) for page in pages_in_navigation()]
    assert sorted(shown) == sorted(document.path for document in documents())


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_pages_and_pictures(page: str) -> None:
    prose = re.sub(r"`[^`\n]+`", "", PAGES[page])
    targets = {
        posixpath.normpath(posixpath.join(posixpath.dirname(page), link.partition("#")[0] or page))
        for link in LINK.findall(prose)
        if not link.startswith((*OUTSIDE, "#"))
    }
    pictures = {target for target in targets if target.endswith((".png", ".svg"))}
    assert targets - pictures <= PAGES.keys()


def test_no_page_has_a_comment_for_the_tests_or_a_picture_to_be_drawn_by_a_script() -> None:
    assert [page for page, text in PAGES.items() if re.search("^<!--", text, re.MULTILINE)] == []
    assert [page for page, text in all_pages().items() if "```mermaid" in text] == []


def test_what_belongs_to_an_item_is_indented_by_four_spaces() -> None:
    written = """\
* one
  goes on
  * inside

1. first

   ```sh
   * no item
     more
   ```
2. second
after
```sh
* no item
  more
```"""
    laid_out = """\
* one
    goes on
    * inside

1. first

    ```sh
    * no item
      more
    ```
2. second
after
```sh
* no item
  more
```"""
    assert in_the_builders_markdown(written) == laid_out
