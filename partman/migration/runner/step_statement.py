"""What the statement of an online step is, according to PostgreSQL's grammar."""

from dataclasses import dataclass
from enum import Enum, auto

from partman.grammar import ParsedStatement
from partman.grammar.statements import dotted_name, table_name


class Work(Enum):
    """What a statement that cannot run in a transaction does."""

    BUILD = auto()
    """CREATE INDEX CONCURRENTLY."""
    DROP = auto()
    """DROP INDEX CONCURRENTLY."""
    DETACH = auto()
    """ALTER TABLE ... DETACH PARTITION ... CONCURRENTLY."""
    REPEATABLE = auto()
    """It may be repeated: VACUUM, REINDEX, CLUSTER."""
    OWN_COMMITS = auto()
    """A procedure or a DO block, which may commit."""
    OTHER = auto()


@dataclass(frozen=True)
class StepStatement:
    """A statement that cannot run in a transaction."""

    work: Work
    table: str = ""
    """The table that it builds on or detaches, as SQL names it."""
    index: str | None = None
    """The bare name, as the catalog has it, of the index that it builds; None: PostgreSQL's."""
    indexes: tuple[str, ...] = ()
    """The indexes that it drops, as SQL names them."""


_WORK = {
    "VacuumStmt": Work.REPEATABLE,
    "ReindexStmt": Work.REPEATABLE,
    "ClusterStmt": Work.REPEATABLE,
    "CallStmt": Work.OWN_COMMITS,
    "DoStmt": Work.OWN_COMMITS,
}


def step_statement(parsed: ParsedStatement | None) -> StepStatement:
    """Return what a statement is; None is one that the grammar does not know."""
    if parsed is None:
        return StepStatement(Work.OTHER)
    match parsed.kind, parsed.node:
        case "IndexStmt", {"concurrent": True, "relation": relation, **node}:
            return StepStatement(Work.BUILD, table_name(relation), node.get("idxname"))
        case "DropStmt", {"removeType": "OBJECT_INDEX", "objects": objects}:
            names = tuple(dotted_name(each["List"]["items"]) for each in objects)
            return StepStatement(Work.DROP, indexes=names)
        case "AlterTableStmt", {"cmds": [{"AlterTableCmd": command}]}:
            if command["subtype"] == "AT_DetachPartition":
                return StepStatement(
                    Work.DETACH, table_name(command["def"]["PartitionCmd"]["name"])
                )
    return StepStatement(_WORK.get(parsed.kind, Work.OTHER))
