"""What a statement may take away, according to PostgreSQL's grammar.

The guard finds out what a statement did by comparing the catalog before and after it. What is gone
then cannot be counted any more, so the grammar says beforehand where to look.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass

from partman.grammar import NotParsedError, ParsedStatement, parse
from partman.grammar.statements import Node, dotted_name, nodes, table_name


@dataclass(frozen=True)
class Reach:
    """What a statement may take away. Names are SQL, as the statement has them."""

    is_harmless: bool = False
    """It neither removes nor changes a row that exists, whatever triggers and functions there are;
    only event triggers could."""
    removed: tuple[str, ...] = ()
    """Tables that it drops or empties."""
    altered: tuple[str, ...] = ()
    """Tables that it may give a new file."""
    dropped_columns: tuple[tuple[str, str], ...] = ()
    """Table, and the column's name as the catalog has it."""
    retyped_columns: tuple[tuple[str, str], ...] = ()
    functions: tuple[str, ...] = ()
    """Bare names of the functions that it calls."""
    is_unknown: bool = False
    """It may do anything, also to tables that it does not name."""

    @property
    def tables(self) -> tuple[str, ...]:
        """All tables that it names."""
        columns = (*self.dropped_columns, *self.retyped_columns)
        return tuple(
            dict.fromkeys((*self.removed, *self.altered, *(table for table, _ in columns)))
        )


UNKNOWN = Reach(is_unknown=True)
HARMLESS = Reach(is_harmless=True)

_HARMLESS = frozenset(
    """
    AlterDatabaseSetStmt AlterDefaultPrivilegesStmt AlterEnumStmt AlterFunctionStmt
    AlterObjectDependsStmt AlterOperatorStmt AlterOwnerStmt AlterPolicyStmt
    AlterRoleSetStmt AlterRoleStmt AlterSeqStmt ClosePortalStmt CommentStmt CompositeTypeStmt
    CreateCastStmt CreateDomainStmt CreateEnumStmt CreateFunctionStmt CreatePolicyStmt
    CreateRangeStmt CreateRoleStmt CreateSchemaStmt CreateSeqStmt CreateStatsStmt CreateStmt
    CreateTrigStmt DeallocateStmt DefineStmt DropRoleStmt FetchStmt GrantRoleStmt GrantStmt
    IndexStmt LockStmt PrepareStmt RuleStmt SecLabelStmt TransactionStmt
    VariableSetStmt VariableShowStmt ViewStmt
    """.split()  # noqa: SIM905 -- to be read
)
_CHANGE_ROWS = frozenset(
    """
    CopyStmt CreateTableAsStmt DeclareCursorStmt DeleteStmt InsertStmt MergeStmt SelectStmt
    UpdateStmt
    """.split()  # noqa: SIM905 -- to be read
)
"""Which rows they change, PostgreSQL counts; what else happens, happens in functions."""
_RENAMING = frozenset({"AlterObjectSchemaStmt", "RenameStmt"})
"""They harm nothing, but the guard has to read the names before them."""

_KEEP_THE_FILE = frozenset(
    """
    AT_AddConstraint AT_AddIndexConstraint AT_AlterConstraint AT_ColumnDefault AT_DisableRowSecurity
    AT_DropConstraint AT_DropNotNull AT_EnableRowSecurity AT_ForceRowSecurity AT_NoForceRowSecurity
    AT_ReplicaIdentity AT_ResetRelOptions AT_SetNotNull AT_SetOptions AT_SetRelOptions
    AT_SetStatistics AT_SetStorage AT_ValidateConstraint
    """.split()  # noqa: SIM905 -- to be read
)
"""Forms of ALTER TABLE that never rewrite the table. It is enough that all others are looked at."""


_RETURNING = frozenset(
    """
    SelectStmt InsertStmt UpdateStmt DeleteStmt MergeStmt CopyStmt
    CallStmt FetchStmt ExecuteStmt ExplainStmt VariableShowStmt
    """.split()  # noqa: SIM905 -- to be read
)
"""Statements that may return rows: queries, and those of PostgreSQL's UtilityReturnsTuples()."""


# Of the same statement it is asked by the transaction and by the connection, and of the ledger's
# for each migration.
@functools.lru_cache(maxsize=4)
def divided(sql: str) -> tuple[tuple[str, ParsedStatement | None], ...]:
    """Return the texts of a string's statements with their parse trees; None: not parsed."""
    try:
        statements = parse(sql)
    except NotParsedError:
        return ((sql, None),)
    return tuple((each.text, each) for each in statements) or ((sql, None),)


def returns_rows(sql: str) -> bool:
    """Whether a string may return rows, or is not one statement that the grammar knows."""
    [(_, statement), *more] = divided(sql)
    return bool(more) or statement is None or statement.kind in _RETURNING


def is_empty(sql: str) -> bool:
    """Whether a string has no statement, only comments."""
    try:
        return not parse(sql)
    except NotParsedError:
        return False


def reach_of(statement: ParsedStatement | None) -> Reach:
    """Return what a statement may take away; None is one that the grammar does not know."""
    if statement is None:
        return UNKNOWN
    if statement.kind in _HARMLESS:
        return HARMLESS
    if statement.kind in _RENAMING:
        return Reach()
    if statement.kind in _CHANGE_ROWS:
        return Reach(functions=tuple(sorted(_functions(statement.node))))
    return _of_definition(statement)


def _of_definition(statement: ParsedStatement) -> Reach:
    node = statement.node
    cascades = node.get("behavior") == "DROP_CASCADE"
    match statement.kind, node:
        case "TruncateStmt", {"relations": relations}:
            names = tuple(table_name(each["RangeVar"]) for each in relations)
            return Reach(removed=names, is_unknown=cascades)
        case "DropStmt", {"removeType": "OBJECT_TABLE", "objects": objects}:
            names = tuple(dotted_name(each["List"]["items"]) for each in objects)
            return Reach(removed=names, is_unknown=cascades)
        case "DropStmt", {"removeType": kind}:
            # An extension takes its members along without CASCADE.
            return Reach(is_unknown=cascades or kind == "OBJECT_EXTENSION")
        case "AlterTableStmt", {"relation": relation, "cmds": commands}:
            altered = [each["AlterTableCmd"] for each in commands]
            return _of_alter_table(table_name(relation), altered)
    return UNKNOWN


def ends_transaction(statement: ParsedStatement | None) -> bool:
    """Whether a statement begins or ends a transaction, other than with savepoints."""
    if statement is None or statement.kind != "TransactionStmt":
        return False
    return statement.node["kind"] not in {
        "TRANS_STMT_SAVEPOINT",
        "TRANS_STMT_RELEASE",
        "TRANS_STMT_ROLLBACK_TO",
    }


def _of_alter_table(table: str, commands: list[Node]) -> Reach:
    return Reach(
        altered=() if all(each["subtype"] in _KEEP_THE_FILE for each in commands) else (table,),
        dropped_columns=tuple(
            (table, each["name"]) for each in commands if each["subtype"] == "AT_DropColumn"
        ),
        retyped_columns=tuple(
            (table, each["name"]) for each in commands if each["subtype"] == "AT_AlterColumnType"
        ),
        is_unknown=any(
            each.get("behavior") == "DROP_CASCADE" and each["subtype"] != "AT_DropConstraint"
            for each in commands
        ),
    )


def _functions(node: Node) -> Iterator[str]:
    for call in nodes(node, "FuncCall"):
        yield call["funcname"][-1]["String"]["sval"]
