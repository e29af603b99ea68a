"""How many shards of a distributed database a query goes to."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from piccolo.query.base import FrozenQuery, Query

from partman.database.engine import project_engine
from partman.errors import TenancyError
from partman.tenant.engine import TenantEngine
from partman.tenant.transaction import TenantTransaction

if TYPE_CHECKING:
    from piccolo.query.proxy import Proxy


async def shard_count(
    query: "Query[Any, Any] | FrozenQuery | Proxy[Any, Any] | str",
    *arguments: Any,
    engine: TenantEngine | None = None,
) -> int:
    """Return how many shards a query of the current ``tenant()`` block goes to, without running it.

    ``query`` is Piccolo's, or SQL with its ``arguments``. 1 is what an application wants: the query
    goes to the node that has the tenant's rows. A larger number is the number of shards that a step
    of the query asks, usually all. On a single server it is 1.

    ``engine`` is piccolo_conf's, unless another is given. Raises TenancyError outside of
    ``tenant()``, NotRoutedError, and what the server says of the query.
    """
    current = (engine or project_engine(TenantEngine)).current_transaction.get()
    if not isinstance(current, TenantTransaction) or current.over:
        raise TenancyError(
            "shard_count() was called outside of tenant(), where a query names no tenant. Nothing "
            "was run. Call it inside of async with tenant(...)."
        )
    counts = [1]
    for sql, values in _statements(query, arguments):
        plan = await current.connection.fetchval(
            f"EXPLAIN (COSTS false, FORMAT json) {sql}", *values
        )
        counts.extend(_task_counts(json.loads(plan)))
    return max(counts)


def _statements(query: Any, arguments: tuple[Any, ...]) -> Iterator[tuple[str, Any]]:
    if isinstance(query, str):
        yield query, arguments
        return
    while not isinstance(query, Query):  # first(), output(as_list=True), freeze()
        query = query.query
    for querystring in query.querystrings:
        yield querystring.compile_string()


def _task_counts(plan: Any) -> Iterator[int]:
    """Yield how many tasks each step of a plan is made of; a task asks one shard."""
    if isinstance(plan, list):
        for each in plan:
            yield from _task_counts(each)
    elif isinstance(plan, dict):
        for name, value in plan.items():
            if name == "Task Count":
                yield value
            else:
                yield from _task_counts(value)
