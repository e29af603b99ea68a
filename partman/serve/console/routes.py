"""The console: pages with the rows of one tenant at a time."""

from collections.abc import Sequence

from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Route

from partman.serve.console.delete_view import delete
from partman.serve.console.form_view import add, edit
from partman.serve.console.list_view import export, show_home, show_list
from partman.serve.console.project_console import ProjectConsole
from partman.serve.console.scope import View, visited
from partman.serve.console.tables import shown_tables

_READ = ("GET",)
_WRITE = ("GET", "POST")


def routes(console: ProjectConsole, middleware: Sequence[Middleware]) -> list[BaseRoute]:
    """Return the routes; ``middleware`` admits only people who have signed in."""
    tables = shown_tables(console)
    views: tuple[tuple[str, View, Sequence[str]], ...] = (
        ("/console/", show_home, _READ),
        ("/console/{table}.csv", export, _READ),
        ("/console/{table}/", show_list, _READ),
        ("/console/{table}/new/", add, _WRITE),
        ("/console/{table}/delete/", delete, _WRITE),
        ("/console/{table}/row/{row:path}", edit, _WRITE),
    )
    return [
        Route(path, visited(view, tables, console.tenants), methods=methods, middleware=middleware)
        for path, view, methods in views
    ]
