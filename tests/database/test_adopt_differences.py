"""``partman adopt`` where a database is not quite what the migrations build."""

import asyncio
import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from partman.catalog.read import read_catalog
from partman.catalog.render import headline
from partman.errors import NotAdoptableError
from partman.migration.verification.match_closely import match_boundary_closely
from partman.migration.verification.rebuild import Boundary, boundaries
from partman.settings import Settings
from tests.catalog import read, reader
from tests.database.adopt_support import adopt, recorded
from tests.database.test_schema import DEFAULT_DATA, INDEXES, INITIAL_SCHEMA
from tests.faults.processes import Zygote
from tests.project import Project
from tests.support import MIGRATIONS, Database, execute

pytestmark = pytest.mark.same_on_every_version

# The same as the migrations', but for one thing each; and how that is told.
WRONG = {
    "a missing index": (
        "DROP INDEX idx_alerts_user_status",
        ["missing   index public.idx_alerts_user_status"],
    ),
    "other columns in an index": (
        "DROP INDEX idx_partners_org_domain;"
        "CREATE INDEX idx_partners_org_domain ON partners (domain, organization_id)",
        ["different index public.idx_partners_org_domain: definition"],
    ),
    "another default": (
        "ALTER TABLE organizations ALTER max_users SET DEFAULT 25",
        ["different column public.organizations.max_users: default"],
    ),
    "another type": (
        "ALTER TABLE partners ALTER website TYPE varchar(255)",
        ["different column public.partners.website: type"],
    ),
    "NOT NULL dropped": (
        "ALTER TABLE users ALTER email DROP NOT NULL",
        ["different column public.users.email: null"],
    ),
    "an extra column": (
        "ALTER TABLE partners ADD tier text",
        ["extra     column public.partners.tier"],
    ),
    "a missing foreign key": (
        "ALTER TABLE alerts DROP CONSTRAINT alerts_user_id_fkey",
        ["missing   constraint alerts_user_id_fkey on public.alerts"],
    ),
    "another ON DELETE": (
        "ALTER TABLE opportunities DROP CONSTRAINT opportunities_assigned_user_id_fkey,"
        " ADD FOREIGN KEY (assigned_user_id) REFERENCES users (id) ON DELETE CASCADE",
        ["different constraint opportunities_assigned_user_id_fkey on public.opportunities"],
    ),
    "a renamed constraint": (
        "ALTER TABLE users RENAME CONSTRAINT users_organization_id_email_key TO users_email",
        [
            "extra     constraint users_email on public.users",
            "missing   constraint users_organization_id_email_key on public.users",
        ],
    ),
    "row level security off": (
        "ALTER TABLE quarterly_goals DISABLE ROW LEVEL SECURITY",
        ["different table public.quarterly_goals: row_security"],
    ),
    "an extra trigger": (
        "CREATE TRIGGER touch BEFORE UPDATE ON users FOR EACH ROW"
        " EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        ["extra     trigger touch on public.users"],
    ),
    "a view": (
        "CREATE VIEW open_opportunities AS SELECT * FROM opportunities WHERE status = 'open'",
        ["extra     view public.open_opportunities"],
    ),
    "a right for everybody": (
        "GRANT SELECT ON users TO PUBLIC",
        ["extra     grant PUBLIC on table public.users"],
    ),
    "a foreign key that is not valid": (
        "ALTER TABLE alerts DROP CONSTRAINT alerts_user_id_fkey, ADD FOREIGN KEY (user_id)"
        " REFERENCES users (id) ON DELETE CASCADE NOT VALID",
        ["different constraint alerts_user_id_fkey on public.alerts: valid"],
    ),
}


@pytest.fixture(scope="module")
def settings(template: Database) -> Settings:
    """Those of the server that the tests run on, where the roles are."""
    return Settings.load(template.environment)


@pytest.fixture(scope="module")
def known(settings: Settings) -> Sequence[Boundary]:
    """What each migration builds."""
    return asyncio.run(boundaries(settings))


async def test_one_small_thing_is_refused_and_named(
    story: Database, settings: Settings, known: Sequence[Boundary]
) -> None:
    async with reader(story.url) as connection:
        for name, (change, told) in WRONG.items():
            await connection.execute("BEGIN")
            await connection.execute(change)
            live = await read_catalog(connection)
            await connection.execute("ROLLBACK")
            match = await match_boundary_closely(
                settings, live, known, allow_extra=False, through=None
            )
            assert not match.may_be_recorded(strict=False), name
            assert match.boundary.id == INDEXES, name
            found = sorted(map(headline, match.differences))
            assert len(found) == len(told), name
            assert all(map(str.startswith, found, sorted(told))), name


async def test_is_not_recorded_through_a_different_result(
    story: Database, settings: Settings, known: Sequence[Boundary]
) -> None:
    live = await asyncio.to_thread(read, story.url)
    for wrong in (INITIAL_SCHEMA, MIGRATIONS[-1], "nothing"):
        with pytest.raises(NotAdoptableError, match=f"differs from the result of {wrong}") as told:
            await match_boundary_closely(settings, live, known, allow_extra=False, through=wrong)
        assert f"through: {INDEXES}, {DEFAULT_DATA}" in str(told.value)


def test_what_differs_is_told_and_nothing_is_recorded(story: Database, zygote: Zygote) -> None:
    change, [told] = WRONG["other columns in an index"]
    execute(story.url, change)
    before = read(story.url, bookkeeping=True)
    completed = adopt(story, zygote)
    assert completed.code == 1, completed.output
    differences = re.findall(r"^(?:missing|extra|different) +.*", completed.stdout, re.MULTILINE)
    assert differences == [told]
    assert f"The nearest is {INDEXES} (indexes)" in completed.stdout
    assert "Nothing was recorded" in completed.stdout
    assert read(story.url, bookkeeping=True) == before


class TestWhatIsExtra:
    EXTRA = "CREATE VIEW emails AS SELECT email FROM users"

    def test_passes_when_it_is_allowed_and_is_listed(self, story: Database, zygote: Zygote) -> None:
        execute(story.url, self.EXTRA)
        refused = adopt(story, zygote)
        assert refused.code == 1
        assert "partman adopt --allow-extra" in refused.stdout
        completed = adopt(story, zygote, "--allow-extra")
        assert completed.code == 0, completed.output
        assert "\n\nextra     view public.emails\n" in completed.stdout
        assert "beside 1 extra object." in completed.stdout
        assert recorded(story) == [INITIAL_SCHEMA, INDEXES]

    def test_does_not_make_it_an_older_version_of_which_the_rest_would_be_extra(
        self, story: Database, zygote: Zygote
    ) -> None:
        assert adopt(story, zygote, "--allow-extra").code == 0
        assert recorded(story) == [INITIAL_SCHEMA, INDEXES]

    def test_allowed_extras_do_not_hide_other_differences(
        self, story: Database, zygote: Zygote
    ) -> None:
        execute(story.url, self.EXTRA, "ALTER TABLE users ALTER email DROP NOT NULL")
        completed = adopt(story, zygote, "--allow-extra")
        assert completed.code == 1
        assert "different column public.users.email: null" in completed.stdout
        assert recorded(story) == []

    def test_alone_is_no_database_to_adopt(self, empty_database: Database, zygote: Zygote) -> None:
        execute(empty_database.url, "CREATE TABLE somebody_elses (id int)")
        completed = adopt(empty_database, zygote, "--allow-extra")
        assert completed.code == 1
        assert f"The nearest is {INITIAL_SCHEMA}" in completed.stdout
        assert recorded(empty_database) == []


def test_the_sql_that_is_shown_makes_it_equal(story: Database, zygote: Zygote) -> None:
    # Two of them are about the same key.
    wrong = [change for name, (change, _) in WRONG.items() if name != "a missing foreign key"]
    execute(story.url, *wrong)
    refused = adopt(story, zygote, "--json")
    assert refused.code == 1
    assert len(json.loads(refused.stdout)["differences"]) > len(wrong)
    execute(story.url, *json.loads(refused.stdout)["sql"])
    assert adopt(story, zygote).code == 0


def test_what_pg_dump_sees_is_not_adopted(
    empty_database: Database, tmp_path: Path, zygote: Zygote
) -> None:
    project = Project.create(tmp_path, empty_database, zygote)
    extension = ["CREATE EXTENSION hstore", "COMMENT ON EXTENSION hstore IS NULL"]
    project.write("1", extension)
    execute(empty_database.url, *extension, "COMMENT ON EXTENSION hstore IS 'by hand'")
    completed = project.partman("adopt")
    assert completed.code == 1
    assert "pg_dump also sees: extra COMMENT EXTENSION hstore\n" in completed.stdout
    assert "with 1 difference. Nothing was recorded." in completed.stdout
    assert recorded(empty_database) == []
    completed = project.partman("adopt", "--allow-extra", "--strict")
    assert completed.code == 0, completed.output
    assert recorded(empty_database) != []
