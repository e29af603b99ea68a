"""A backfill as a DO block, which commits each of its portions."""

from collections.abc import Sequence

from partman.database import bookkeeping
from partman.grammar.names import quoted
from partman.migration.runner.backfill import Backfill, PrimaryKey
from partman.migration.script.psql import do_block

_FROM, _TO = "partman_from", "partman_to"


def backfill_block(backfill: Backfill, key: PrimaryKey, is_step: str) -> str:
    """Return the block.

    ``is_step`` is the condition in SQL for the record of the step. There the block records how far
    it is, as a run does.
    """
    names = [quoted(each.name) for each in key.columns]
    variables = "".join(
        f"    {variable}_{number} {column.type};\n"
        for number, column in enumerate(key.columns)
        for variable in (_FROM, _TO)
    )
    starts = _values(_FROM, names)
    ends = _values(_TO, names)
    position = ", ".join(f"{_TO}_{number}::text" for number in range(len(names)))
    moves = " ".join(f"{_FROM}_{n} := {_TO}_{n};" for n in range(len(names)))
    return do_block(
        f"""
    partman_rows integer := {backfill.pace.rows};
    partman_done bigint := 0;
    partman_is_first boolean := true;
    partman_is_last boolean;
    partman_began timestamptz;
{variables}""",
        f"""
    LOOP
        partman_began := clock_timestamp();
        IF partman_is_first THEN
            {_find_end(key, names, None)}
            partman_is_last := NOT FOUND;
        ELSE
            {_find_end(key, names, starts)}
            partman_is_last := NOT FOUND;
        END IF;
        IF partman_is_first AND partman_is_last THEN
            {_update(backfill, key)};
        ELSIF partman_is_first THEN
            {_update(backfill, key, f"({key.sql}) <= {ends}")};
        ELSIF partman_is_last THEN
            {_update(backfill, key, f"({key.sql}) > {starts}")};
        ELSE
            {_update(backfill, key, f"({key.sql}) > {starts}", f"({key.sql}) <= {ends}")};
        END IF;
        partman_done := partman_done + partman_rows;
        UPDATE public.{bookkeeping.STEPS} SET progress = jsonb_build_object(
            'rows', partman_done, 'total', NULL,
            'position', CASE WHEN NOT partman_is_last THEN jsonb_build_array({position}) END
        ), finished_at = CASE WHEN partman_is_last THEN clock_timestamp() END WHERE {is_step};
        COMMIT;
        EXIT WHEN partman_is_last;
        PERFORM pg_catalog.pg_sleep({backfill.pace.pause});
        partman_rows := greatest(1, least(1000000, partman_rows * least(2.0, greatest(0.25,
            {backfill.pace.portion} / greatest(0.001,
                extract(epoch FROM clock_timestamp() - partman_began) - {backfill.pace.pause})))));
        {moves}
        partman_is_first := false;
    END LOOP;
""",
    )


def _values(variable: str, names: Sequence[str]) -> str:
    return f"({', '.join(f'{variable}_{number}' for number in range(len(names)))})"


def _find_end(key: PrimaryKey, names: Sequence[str], after: str | None) -> str:
    columns = ", ".join(f"of.{name}" for name in names)
    where = f" WHERE ({columns}) > {after}" if after else ""
    into = ", ".join(f"{_TO}_{number}" for number in range(len(names)))
    return (
        f"SELECT {columns} INTO {into} FROM {key.table} AS of{where}"
        f" ORDER BY {columns} OFFSET partman_rows - 1 LIMIT 1;"
    )


def _update(backfill: Backfill, key: PrimaryKey, *conditions: str) -> str:
    every = [*conditions, *([f"({backfill.where}\n)"] if backfill.where else [])]
    where = f" WHERE {' AND '.join(every)}" if every else ""
    return f"UPDATE {key.table}\nSET {backfill.set}\n{where}"
