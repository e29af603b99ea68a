"""Run the SQL that is to close gaps on a copy of the live schema, and ask the rules again."""

from collections.abc import Collection, Mapping, Sequence

from partman.audit.rule import Gap
from partman.audit.run import Audit
from partman.catalog.ddl.change import Change
from partman.catalog.identity import Reference
from partman.catalog.model import Catalog
from partman.database.connection import connected
from partman.database.scratch import scratch_database
from partman.errors import NotIsolatedError
from partman.grammar import NotParsedError, ParsedStatement, parse
from partman.migration.verification.schema_copy import apply, schema_copy
from partman.settings import Settings

_OF_SERVER = frozenset(
    {
        "AlterDatabaseSetStmt",
        "AlterDatabaseStmt",
        "AlterRoleSetStmt",
        "AlterRoleStmt",
        "AlterSystemStmt",
        "CreateRoleStmt",
        "DropRoleStmt",
        "GrantRoleStmt",
    }
)

_NOT_TRIED = "not tried: it changes roles or the database, not the schema"
_NOT_THERE = "not tried: a copy of this schema does not have the gap"
_STILL_THERE = "on a copy of this schema, it does not close the gap"
_FAILED = "on a copy of this schema, it fails: {}"


async def try_remedies(
    scratch: Settings,
    live: Catalog,
    audit: Audit,
    gaps: Sequence[Gap],
    ignore: Collection[str] = (),
) -> Mapping[Gap, str]:
    """Run the remedies, one after the other; return the reason for each that closes no gap there.

    ``scratch`` is the server to build the copy on; ``ignore`` has names of rules that are not
    asked. Raises the errors of scratch_database().
    """
    async with (
        scratch_database(scratch) as settings,
        connected(settings, "partman: check") as connection,
        schema_copy(connection, live),
    ):
        try:
            there = {_key(gap) for gap in await audit.gaps(connection, ignore)}
            problems = {
                gap: _NOT_TRIED if changes_server(gap.remedy) else _NOT_THERE
                for gap in gaps
                if changes_server(gap.remedy) or _key(gap) not in there
            }
            tried = [gap for gap in gaps if gap not in problems]
            for gap in tried:
                change = Change(
                    Reference("gap", gap.object), (gap.remedy.rstrip().rstrip(";"),), ()
                )
                problems[gap] = (await apply(connection, [change])).get(0, "")
            left = {_key(gap) for gap in await audit.gaps(connection, ignore)}
        except NotIsolatedError as error:
            return dict.fromkeys(gaps, f"not tried: {error}")
    for gap in tried:
        failed = problems.pop(gap)
        if _key(gap) in left:
            problems[gap] = _FAILED.format(failed) if failed else _STILL_THERE
    return problems


def changes_server(remedy: str) -> bool:
    """Whether SQL changes what a copy of the schema does not have: roles, the database itself."""
    try:
        return any(map(_is_of_server, parse(remedy)))
    except NotParsedError:
        return True


def _is_of_server(statement: ParsedStatement) -> bool:
    if statement.kind == "GrantStmt":
        return statement.node.get("objtype") in {"OBJECT_DATABASE", "OBJECT_PARAMETER_ACL"}
    return statement.kind in _OF_SERVER


def _key(gap: Gap) -> tuple[str, str]:
    return gap.rule, gap.object
