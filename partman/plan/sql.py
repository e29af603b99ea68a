"""What a plan needs to know of statements that the catalog does not show, by the grammar."""

from collections.abc import Iterator

from partman.grammar import NotParsedError, ParsedStatement, parse
from partman.grammar.names import quoted
from partman.grammar.statements import Node, dotted_name, nodes, table_name

CHANGING = ("UpdateStmt", "DeleteStmt", "MergeStmt")
_COPYING = frozenset({"ClusterStmt", "RefreshMatViewStmt", "VacuumStmt"})
"""Statements that give a table a new file with its rows. ALTER TABLE reports that in a message."""


def deletes_all(sql: str) -> set[str]:
    """Return the tables, as SQL names them, from which all rows are deleted."""
    return {
        table_name(delete["relation"])
        for statement in parsed(sql)
        for delete in within(statement, "DeleteStmt")
        if not {"whereClause", "usingClause"} & delete.keys()
    }


def converts(sql: str, column: str) -> bool:
    """Whether a change of type has a USING clause for the column, as SQL names it.

    One that only casts the column does what a change without it does.
    """
    return any(
        "raw_default" in definition and not _is_cast_of(definition["raw_default"], column)
        for statement in parsed(sql)
        for command in nodes(statement.node, "AlterTableCmd")
        if command["subtype"] == "AT_AlterColumnType" and quoted(command["name"]) == column
        for definition in [command.get("def", {}).get("ColumnDef", {})]
    )


def _is_cast_of(expression: Node, column: str) -> bool:
    """Whether an expression is the column itself, or a cast of it, or a cast of that."""
    while "TypeCast" in expression:
        expression = expression["TypeCast"]["arg"]
    fields = expression.get("ColumnRef", {}).get("fields", [])
    return len(fields) == 1 and "String" in fields[0] and dotted_name(fields) == column


def isparsed(sql: str) -> bool:
    """Whether the grammar knows the statements."""
    return bool(parsed(sql))


def kinds(sql: str) -> set[str]:
    """Return the kinds of the statements."""
    return {statement.kind for statement in parsed(sql)}


def called_functions(sql: str) -> set[str]:
    """Return the bare names of the functions that the statements call while they run.

    A definition, such as that of a policy, calls none.
    """
    return {
        call["funcname"][-1]["String"]["sval"]
        for statement in parsed(sql)
        if statement.kind in _RUNNING
        for field in ("FuncCall", "funccall")
        for call in nodes(statement.node, field)
    }


_RUNNING = frozenset(
    """
    CallStmt CopyStmt CreateTableAsStmt DeclareCursorStmt DeleteStmt ExplainStmt InsertStmt
    MergeStmt SelectStmt UpdateStmt
    """.split()  # noqa: SIM905 -- to be read
)
"""Statements that compute expressions when they are run."""


def copies(sql: str) -> bool:
    """Whether tables get a new file without a message that announces it."""
    return any(
        statement.kind in _COPYING
        or any(
            command["subtype"] == "AT_SetTableSpace"
            for command in nodes(statement.node, "AlterTableCmd")
        )
        for statement in parsed(sql)
    )


def only_inserts(sql: str) -> bool:
    """Whether the statements only add rows, as far as they say themselves."""
    statements = parsed(sql)
    return bool(statements) and all(
        statement.kind in {"InsertStmt", "CopyStmt"} for statement in statements
    )


def changed_tables(sql: str) -> set[str] | None:
    """Return the bare names of the tables whose rows are changed; None: perhaps any."""
    statements = parsed(sql)
    if not statements or any(each.kind in {"DoStmt", "CallStmt"} for each in statements):
        return None
    return {
        change["relation"]["relname"]
        for statement in statements
        for kind in CHANGING
        for change in within(statement, kind)
    }


def role_names(sql: str) -> Iterator[str]:
    """Yield the names of the roles that the statements change or drop, as SQL names them."""
    for statement in parsed(sql):
        match statement.kind, statement.node:
            case "AlterRoleStmt" | "AlterRoleSetStmt", {"role": role}:
                yield from _roles([{"RoleSpec": role}])
            case "DropRoleStmt" | "DropOwnedStmt" | "ReassignOwnedStmt", {"roles": roles}:
                yield from _roles(roles)
            case "RenameStmt", {"renameType": "OBJECT_ROLE", "subname": name}:
                yield quoted(name)


def changes_the_server(sql: str) -> str | None:
    """Return the kind of a statement that changes what all databases of a server share."""
    for statement in parsed(sql):
        if statement.kind in _OF_THE_SERVER:
            return statement.text.strip()
    return None


_OF_THE_SERVER = frozenset(
    """
    AlterSystemStmt AlterTableSpaceOptionsStmt CreateTableSpaceStmt CreatedbStmt DropTableSpaceStmt
    DropdbStmt
    """.split()  # noqa: SIM905 -- to be read
)

_ABOUT_ROLES = frozenset(
    """
    AlterRoleSetStmt AlterRoleStmt CreateRoleStmt DropRoleStmt GrantRoleStmt RenameStmt
    """.split()  # noqa: SIM905 -- to be read
)
_OPAQUE = frozenset({"CallStmt", "DoStmt", "ExecuteStmt", "SelectStmt"})
"""Statements that run code of their own."""


def may_change_roles(sql: str) -> bool:
    """Whether the statements may create or change roles or memberships."""
    statements = parsed(sql)
    return not statements or any(each.kind in _ABOUT_ROLES | _OPAQUE for each in statements)


def _roles(specifications: list[Node]) -> Iterator[str]:
    for each in specifications:
        if name := each["RoleSpec"].get("rolename"):
            yield quoted(name)


def within(statement: ParsedStatement, kind: str) -> Iterator[Node]:
    """Yield the statements of a kind that a statement is or contains, as in WITH."""
    return nodes({statement.kind: statement.node}, kind)


def parsed(sql: str) -> tuple[ParsedStatement, ...]:
    """Return the statements; none if the grammar does not know them."""
    try:
        return parse(sql)
    except NotParsedError:
        return ()
