"""The migration that creates a tenancy's roles, before grants and policies name them."""

from collections.abc import Iterator

from partman.catalog.ddl.online import SqlStep
from partman.catalog.model import Catalog, Grant
from partman.database import bookkeeping
from partman.isolation import Tenancy
from partman.isolation.roles import (
    create_roles,
    drop_roles,
    let_read,
    let_set_config,
    restrict_set_config,
    revoke_usage,
)
from partman.migration.autogenerate.render import MigrationDraft


def roles_draft(tenancy: Tenancy, app: str, found: Catalog) -> MigrationDraft | None:
    """Return the migration that creates the roles missing in earlier migrations; None if all exist.

    ``found`` is the catalog of the earlier migrations: creating a role also grants it a privilege
    there. ``app`` has the tenants' table. The migration is online so that a step is retried when a
    run on another database of the server changes the roles at the same time.
    """
    known = {grant.name for grant in found.of(Grant)}
    new = [role for role in tenancy.roles.all if role not in known]
    if not new:
        return None
    steps = tuple(SqlStep((do,), (undo,)) for do, undo in _rights(tenancy, new))
    return MigrationDraft(
        app,
        description="roles",
        online=True,
        steps=(
            # When reverting, this is the last step: the roles have no privileges left in this
            # database.
            SqlStep(backwards=(drop_roles(new),)),
            SqlStep((create_roles(tenancy),), (revoke_usage(new),)),
            *steps,
        ),
    )


def _rights(tenancy: Tenancy, new: list[str]) -> Iterator[tuple[str, str]]:
    """Yield the statements for the roles' privileges beyond the tables, and how to revert them."""
    roles = tenancy.roles
    if roles.app in new:
        yield restrict_set_config()
    if logins := [role for role in roles.those_of("api", "seed", "console") if role in new]:
        yield let_set_config(logins)
    if readers := [role for role in roles.those_of("seed", "console", "operator") if role in new]:
        yield let_read(readers, bookkeeping.TABLES)
