"""What another site makes a browser send changes nothing."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.browser.console import choose_organization, cookie, sign_in, signed_in
from tests.browser.site import OPERATOR, Organization, Site
from tests.browser.watching import Visitors

FORM = """<!DOCTYPE html><title>elsewhere</title>{icon}<form method="post" action="{action}"
enctype="{encoding}">{fields}</form><script>document.forms[0].submit()</script>"""
FETCH = """<!DOCTYPE html><title>elsewhere</title>{icon}<p></p><script>
fetch("{action}", {{method: "POST", credentials: "include", mode: "no-cors", body: {body}}})
  .then(() => "answered", () => "blocked")
  .then(word => document.querySelector("p").textContent = word)</script>"""
NO_ICON = '<link rel="icon" href="data:,">'
CHANGING = (
    "/organization",
    "/sign-in",
    "/sign-out",
    "/password",
    "/migrations/plan",
    "/migrations/drift",
    "/console/partners/new/",
    "/console/partners/delete/",
    "/console/partners/row/1",
)
"""Where a POST does something."""
PARTNER = {"name": "Forged", "domain": "identity", "commission_structure": "{}"}


@contextmanager
def elsewhere(pages: Sequence[str]) -> Iterator[int]:
    """Serve pages from another origin, at /0, /1 and so on; return its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(pages[int(self.path[1:])].encode())

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def form(action: str, encoding: str = "application/x-www-form-urlencoded", **fields: str) -> str:
    inputs = "".join(f"<input name='{name}' value='{value}'>" for name, value in fields.items())
    return FORM.format(icon=NO_ICON, action=action, encoding=encoding, fields=inputs)


@pytest.mark.parametrize("attacker", ["localhost", "127.0.0.1"])
async def test_another_origin_changes_nothing(
    page: Page,
    visitors: Visitors,
    site: Site,
    first: Organization,
    second: Organization,
    attacker: str,
) -> None:
    """Of another site, or of one that gets the cookies all the same: another port of the host.

    Not even one that knows the CSRF token, as the latter does.
    """
    await signed_in(page, OPERATOR)
    await choose_organization(page, first.subdomain)
    sessions = await site.rows("SELECT * FROM console_sessions")
    partners = await site.value("SELECT count(*) FROM partners")
    token = await cookie(page, "csrftoken")
    forms, fetches = [], []
    for path, fields in (
        ("/organization", {"subdomain": second.subdomain}),
        ("/organization", {}),
        ("/sign-out", {}),
        ("/migrations/plan", {}),
        ("/console/partners/new/", {"_tenant": str(first.id), **PARTNER}),
    ):
        action = f"{site.url}{path}"
        forms.append(form(action, **fields, csrftoken=token))
        body = json.dumps(json.dumps(fields))
        fetches.append(FETCH.format(icon=NO_ICON, action=action, body=body))
    with elsewhere([*forms, *fetches]) as port:
        origin = f"http://{attacker}:{port}"
        visitors.allow_origin(origin)
        for number in range(len(forms)):
            await page.goto(f"{origin}/{number}")
            await expect(page.locator("body")).to_contain_text("Nothing was done.")
        # And none for the icon of the page that says so.
        visitors.expect("status of 40[34]")
        for number in range(len(forms), len(forms) + len(fetches)):
            await page.goto(f"{origin}/{number}")
            await expect(page.locator("p")).to_have_text("blocked")
        visitors.expect("ERR_BLOCKED_BY_RESPONSE")
    assert await site.rows("SELECT * FROM console_sessions") == sessions
    assert await site.value("SELECT count(*) FROM partners") == partners


async def test_without_the_token_of_the_cookie_nothing_is_done(page: Page, site: Site) -> None:
    await sign_in(page, OPERATOR)
    before = await site.rows("SELECT * FROM console_sessions")
    for path in CHANGING:
        for options in (
            {"form": {"username": OPERATOR}},
            {"form": {"username": OPERATOR, "csrftoken": "wrong"}},
            {"data": PARTNER, "headers": {"X-CSRFToken": "wrong"}},
        ):
            refused = await page.context.request.post(path, **options)  # type: ignore[arg-type]
            assert refused.status == 403, path
            assert "CSRF token" in await refused.text()
    assert await site.rows("SELECT * FROM console_sessions") == before
