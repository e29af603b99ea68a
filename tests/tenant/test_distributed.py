"""tenant() on a database whose tables Citus distributes, by a stand-in of Citus's list of them."""

from collections.abc import Iterator

import pytest

from partman.engine import PartmanEngine
from partman.errors import TenancyError
from partman.tables import Opportunity, Partner
from partman.tenant import shard_count, tenant
from tests.database.test_distributed import distribute
from tests.support import Database, as_role, temporary_database
from tests.tenants import Tenants, in_use

pytestmark = pytest.mark.same_on_every_version


@pytest.fixture
def distributed(template: Database) -> Iterator[Database]:
    with temporary_database(template.name) as database:
        distribute(database, "partners", "opportunities", "organizations")
        yield database


async def test_its_queries_name_the_tenant(
    distributed: Database, application_role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenants = Tenants(distributed, as_role(distributed.url, application_role))
    await tenants.add_organizations()
    async with in_use(tenants.engine(), monkeypatch, pool=True) as engine:
        query = Opportunity.count().where(Opportunity.partner.name == "x")
        names = Partner.select(Partner.name).output(as_list=True)
        for own in (tenants.first, tenants.second):
            async with tenant(own):
                assert f"organization_id\" = '{own}'" in str(query)
                assert await query == 0
                assert len(await names) == 1
                propagates = "SELECT current_setting('citus.propagate_set_commands')"
                assert (await Partner.raw(propagates))[0]["current_setting"] == "local"
            async with tenant(tenants.first):
                some = Partner.select(Partner.id).where(Partner.name == "x")
                by_partner = Opportunity.count().where(Opportunity.partner.is_in(some))
            async with tenant(own):
                text = str(by_partner)
                assert text.count(f"'{own}'") == 2, "also in the query that is a value"
                assert await by_partner == 0
        assert str(tenants.second) not in str(by_partner)
        assert engine.is_distributed
        assert str(tenants.second) not in str(query)


async def test_a_single_server_is_asked_as_it_always_was(
    tenants: Tenants, engine: PartmanEngine
) -> None:
    async with tenant(tenants.first):
        assert not engine.is_distributed
        assert str(tenants.first) not in str(Partner.select())
        for query in (Partner.objects().first(), Partner.count().freeze()):
            assert await shard_count(query) == 1
        assert await shard_count("SELECT 1 FROM partners WHERE name = $1", "x") == 1
    with pytest.raises(TenancyError, match="Call it inside of"):
        await shard_count(Partner.count())
