"""Comment a plan on a pull request: once, and then update that comment.

Reads GITHUB_API_URL, GITHUB_REPOSITORY, GITHUB_TOKEN and PULL_REQUEST. Uses no package, because it
runs before any is installed.
"""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

MARK = "<!-- partman plan -->"
"""The first line of a plan, by which its comment is found again."""
LONGEST = 65_536
"""Characters of a comment that GitHub accepts."""
_PAGE = 100


def main(file: Path) -> None:
    """Write or update the comment with the text of a file."""
    if not file.exists():
        print("There is no plan to comment.")
        return
    body = file.read_text("utf-8")
    if len(body) > LONGEST:
        end = "\n\n*Shortened: the whole plan is in the summary of the check.*\n"
        body = body[: LONGEST - len(end)] + end
    repository, number = os.environ["GITHUB_REPOSITORY"], os.environ["PULL_REQUEST"]
    comments = f"/repos/{repository}/issues/{number}/comments"
    for comment in _all(comments):
        if comment["body"].startswith(MARK):
            _ask("PATCH", f"/repos/{repository}/issues/comments/{comment['id']}", {"body": body})
            return
    _ask("POST", comments, {"body": body})


def _all(path: str) -> Iterator[Any]:
    page = 1
    while found := _ask("GET", f"{path}?per_page={_PAGE}&page={page}"):
        yield from found
        if len(found) < _PAGE:
            return
        page += 1


def _ask(method: str, path: str, content: Any = None) -> Any:
    request = Request(  # noqa: S310 -- the address is GitHub's own
        os.environ.get("GITHUB_API_URL", "https://api.github.com") + path,
        method=method,
        data=None if content is None else json.dumps(content).encode(),
        headers={
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {os.environ['GITHUB_TOKEN']}",
        },
    )
    try:
        with urlopen(request, timeout=30) as answer:  # noqa: S310
            return json.load(answer)
    except HTTPError as error:
        advice = (
            " The workflow needs permissions: pull-requests: write. A fork's pull request has none."
            if error.code in (401, 403)
            else ""
        )
        sys.exit(f"{method} {path} failed: {error.code} {error.reason}.{advice}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
