"""Read a live database, and give what its migrations declare the form that the database has."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from partman.catalog.distributed_form import distributed_form
from partman.catalog.model import Catalog
from partman.catalog.node_tables import NodeDifference, node_differences
from partman.catalog.read import read_catalog
from partman.database.distributed import own_distribution
from partman.database.engine import DatabaseEngine, project_engine
from partman.isolation import Tenancy
from partman.migration.verification.deployment import as_deployed
from partman.migration.verification.dump_comparison import NotAsked

if TYPE_CHECKING:
    from asyncpg import Connection, Record

DUMP_OF_OTHER_KEYS = NotAsked(
    "what only pg_dump sees, as the keys of a distributed database are others"
)


@dataclass(frozen=True)
class LiveDatabase:
    """What a live database has."""

    catalog: Catalog
    """Of a distributed database, its coordinator's."""
    tenancy: Tenancy | None
    """The project's."""
    is_distributed: bool
    nodes: tuple[NodeDifference, ...]
    """Of a distributed database: what a node or a shard has otherwise than the coordinator."""

    def form_of(self, declared: Catalog) -> Catalog:
        """Return the catalog that this database has to have if a single server has ``declared``."""
        if not self.is_distributed or self.tenancy is None:
            return declared
        deployed = as_deployed(declared, self.catalog, self.tenancy)
        return distributed_form(deployed, self.tenancy, self.catalog)


async def read_live(connection: "Connection[Record]", *, owner: str | None = None) -> LiveDatabase:
    """Read a database; ``owner`` as in read_catalog().

    Raises DistributedError if something else than ``partman distribute`` has distributed it.
    """
    is_distributed = await own_distribution(connection) is not None
    return LiveDatabase(
        await read_catalog(connection, owner=owner, distributed=is_distributed),
        project_engine(DatabaseEngine).tenancy,
        is_distributed,
        await node_differences(connection) if is_distributed else (),
    )
