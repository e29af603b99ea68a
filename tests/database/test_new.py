"""``partman new``, as a developer uses it: change a class, type the command, run what it wrote."""

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from partman.catalog.compare import compare
from partman.catalog.model import Catalog
from partman.catalog.render import lines
from partman.database import embedded
from tests.catalog import read
from tests.docs.following import copy_checkout
from tests.faults.processes import zygote_of
from tests.support import Completed, Database, clean_environment, execute, query, run, script

pytestmark = pytest.mark.same_on_every_version

MIGRATIONS = "partman/piccolo_migrations"


@dataclass(frozen=True)
class Checkout:
    """A clone of the project, and a migrated database."""

    folder: Path
    database: Database
    before: frozenset[str]
    """The migration files that there were."""
    level: str = "packages"
    """What its commands have imported when they start."""

    def edit(self, file: str, old: str, new: str, package: str = "tables") -> None:
        path = self.folder / "partman" / package / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def add(self, name: str, text: str) -> None:
        """Write a module with a table class: it is found without being named anywhere."""
        (self.folder / f"partman/tables/{name.lower()}.py").write_text(text)

    def run(self, *command: str, **variables: str) -> Completed:
        environment = {**self.database.environment, "PYTHONPATH": str(self.folder), **variables}
        return run(*command, environment=environment, cwd=self.folder, level=self.level)

    def new(self, *arguments: str, **variables: str) -> Completed:
        return self.run("partman", "new", *arguments, **variables)

    def waits_for_nobody(self, name: str) -> int:
        """Write a migration with a standard input that never ends; return the exit code."""
        with subprocess.Popen(
            [script("partman"), "new", name],
            env=clean_environment(**self.database.environment, PYTHONPATH=str(self.folder)),
            cwd=self.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            return process.wait(60)

    @property
    def written(self) -> list[str]:
        """The text of the files that have been written, in the order in which they run."""
        names = {path.name for path in (self.folder / MIGRATIONS).glob("*.py")}
        return [
            (self.folder / MIGRATIONS / name).read_text() for name in sorted(names - self.before)
        ]

    @property
    def first_id(self) -> str:
        """The ID of the oldest migration that has been written."""
        found = re.search(r'^ID = "(.*)"', self.written[0], re.MULTILINE)
        assert found
        return found[1]

    def runs_both_ways(self) -> Catalog:
        """Run what was written there, back and there again; return what came of it."""
        before = read(self.database.url)
        self.migrate("forwards", "all")
        self.migrate("backwards", "partman", self.first_id, "--auto_agree")
        assert "\n".join(lines(compare(before, read(self.database.url)))) == ""
        self.migrate("forwards", "all")
        return read(self.database.url)

    def migrate(self, *arguments: str) -> None:
        completed = self.run("piccolo", "migrations", *arguments)
        assert completed.code == 0, completed.output


def _checkout(folder: Path, level: str, database: Database) -> Checkout:
    files = (folder / MIGRATIONS).glob("*.py")
    return Checkout(folder, database, frozenset(path.name for path in files), level)


@pytest.fixture
def own_checkout(tmp_path: Path, database: Database) -> Checkout:
    """For a test that edits more than the app, before a zygote of its own imports that."""
    copy_checkout(tmp_path)
    return _checkout(tmp_path, "packages", database)


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A clone for all tests of a worker, and the level of its zygote, which has imported it."""
    folder = tmp_path_factory.mktemp("clone")
    copy_checkout(folder)
    with zygote_of(folder) as level:
        yield folder, level


@pytest.fixture
def checkout(clone: tuple[Path, str], database: Database) -> Iterator[Checkout]:
    folder, level = clone
    yield _checkout(folder, level, database)
    for undo in (("reset", "--quiet", "--hard"), ("clean", "--quiet", "--force", "-d")):
        subprocess.run(["git", "-C", str(folder), *undo], check=True)


def test_there_is_nothing_to_do(checkout: Checkout) -> None:
    completed = checkout.new("nothing")
    assert completed.code == 0, completed.output
    assert completed.stdout == "Nothing to do. The migrations build what the table classes say.\n"
    assert checkout.written == []


def test_a_file_needs_a_name(checkout: Checkout) -> None:
    assert checkout.new("/../").code == 2
    assert checkout.written == []


def test_edited_extras_become_a_migration(own_checkout: Checkout) -> None:
    """An index, a policy, a trigger, a function, a grant: one migration, for no column changes."""
    own_checkout.edit("partner.py", "(organization_id, domain)", "(organization_id, lower(domain))")
    for old, new in (
        (
            'TO {tenancy.roles.app}\\nUSING ({condition})",',
            'TO {tenancy.roles.app}\\nUSING (organization_exists())",',
        ),
        (
            "SELECT, INSERT, DELETE ON {table} TO {role}",
            "SELECT, INSERT, DELETE, TRUNCATE ON {table} TO {role}",
        ),
    ):
        own_checkout.edit("row_security.py", old, new, "isolation")
    own_checkout.edit("functions.py", "BEFORE UPDATE ON", "BEFORE INSERT OR UPDATE ON")
    own_checkout.edit(
        "functions.py", "NEW.updated_at := now()", "NEW.updated_at := clock_timestamp()"
    )
    own_checkout.edit(
        "functions.py",
        "    _SET_UPDATED_AT,\n",
        "    _SET_UPDATED_AT,\n"
        '    "CREATE FUNCTION organization_exists() RETURNS boolean LANGUAGE sql RETURN true",\n',
    )
    with zygote_of(own_checkout.folder) as level:
        checkout = replace(own_checkout, level=level)
        completed = checkout.new("Look at /domains/!")
        assert completed.code == 0, completed.output
        [text] = checkout.written
        assert 'DESCRIPTION = "Look at domains"' in text
        assert "manager.online()" in text
        assert "CREATE INDEX CONCURRENTLY idx_partners_org_domain" in text
        assert "CREATE OR REPLACE FUNCTION set_updated_at()" in text
        assert "ALTER POLICY tenant_access ON partners USING (organization_exists())" in text
        assert '"GRANT TRUNCATE ON partners TO partman_seed"' in text
        assert "public." not in text.replace("public.organizations", "")
        checkout.runs_both_ways()
        assert checkout.new("again").stdout.startswith("Nothing to do")


def test_a_new_column_gets_its_update_privilege(checkout: Checkout) -> None:
    checkout.edit(
        "partner.py",
        "    created_at = ",
        "    tier = Varchar(length=20, default=None, null=True)\n    created_at = ",
    )
    completed = checkout.new("partner_tier")
    assert completed.code == 0, completed.output
    [text] = checkout.written
    assert "from partman.migration import MigrationManager\n" in text
    assert "manager.add_column(" in text
    assert 'forwards="GRANT UPDATE (tier) ON partners TO partman_app"' in text
    assert "online" not in text
    granted = checkout.runs_both_ways()
    assert "tier" in repr([each for each in granted.objects if each.name == "partman_app"])
    # The question that Piccolo would ask.
    checkout.edit("partner.py", "    tier = ", "    level = ")
    asked = checkout.new("partner level")
    assert asked.code == 2
    assert "Did you rename the `tier` column to `level`" in asked.stderr
    assert len(checkout.written) == 1
    assert checkout.waits_for_nobody("partner level") == 2
    completed = checkout.new("partner level", "--auto_input", "y")
    assert completed.code == 0, completed.output
    assert "manager.rename_column(" in checkout.written[1]
    assert "manager.online()" in checkout.written[1]
    assert "partners.tier: renamed to level" in completed.stdout
    assert "partman new --contract" in completed.stdout


_TASK = '''
"""Tasks."""

from piccolo.columns import Timestamptz
from piccolo.constraints import Check
from piccolo.table import Table

from partman.tables.columns import Now, TenantReference, Varchar
from partman.tables.opportunity import Opportunity
from partman.tables.tenant import TenantTable


class Task(TenantTable, Table, tablename="tasks"):
    """What is to be done."""

    opportunity = TenantReference(Opportunity, null=False, db_column_name="opportunity_id")
    title = Varchar(length=255, default=None, null=False)
    updated_at = Timestamptz(default=Now(), null=True)

    tasks_title_is_said = Check("title <> \'\'")

    extras = ("CREATE INDEX idx_tasks_opportunity ON tasks (organization_id, opportunity_id)",)
'''


def add_tasks(checkout: Checkout) -> None:
    """Declare a whole tenant table, and the key of a big one that it refers to."""
    checkout.add("Task", _TASK)
    checkout.edit("opportunity.py", "import Check", "import Check, Unique")
    checkout.edit(
        "opportunity.py",
        "    opportunities_deal_value_not",
        '    opportunities_organization_id_id_key = Unique(["organization_id", "id"])\n'
        "    opportunities_deal_value_not",
    )


def test_a_whole_tenant_table_and_the_key_that_it_refers_to(checkout: Checkout) -> None:
    """What is new is made at once, and the key of the big table, online, after it."""
    add_tasks(checkout)
    completed = checkout.new("tasks", "--json")
    assert completed.code == 0, completed.output
    assert [file["online"] for file in json.loads(completed.stdout)["written"]] == [False, True]
    at_once, online = checkout.written
    assert "CREATE INDEX idx_tasks_opportunity" in at_once
    assert "CREATE POLICY tenant_only ON tasks AS RESTRICTIVE TO partman_app" in at_once
    assert "ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY" in at_once
    assert "CREATE TRIGGER set_updated_at" in at_once
    assert "with manager.done_in_sql():" in online
    assert "CREATE UNIQUE INDEX CONCURRENTLY opportunities_organization_id_id_key" in online
    assert "USING INDEX opportunities_organization_id_id_key" in online
    assert "tasks_organization_id_opportunity_id_fkey" in online
    found = checkout.runs_both_ways()
    assert any(each.name == "public.tasks" for each in found.objects)
    assert checkout.new("again").stdout.startswith("Nothing to do")


def test_rows_that_a_new_rule_forbids_stop_it_before_it_begins(checkout: Checkout) -> None:
    checkout.edit(
        "organization.py",
        "    idx_organizations_subdomain",
        '    organizations_name_is_long = Check("length(name) > 5")\n'
        "    idx_organizations_subdomain",
    )
    assert checkout.new("long names").code == 0
    [text] = checkout.written
    assert "manager.require_no_rows(" in text
    assert "NOT VALID" in text
    assert "VALIDATE CONSTRAINT organizations_name_is_long" in text
    execute(
        checkout.database.url,
        "INSERT INTO organizations (name, subdomain) VALUES ('Ada', 'ada')",
    )
    stopped = checkout.run("piccolo", "migrations", "forwards", "all")
    assert stopped.code == 7, stopped.output
    assert "organizations: length(name) > 5: 1 row violates this" in stopped.output
    execute(checkout.database.url, "DELETE FROM organizations WHERE name = 'Ada'")
    checkout.runs_both_ways()


_PENDING = """\
        "CREATE POLICY pending ON alerts FOR SELECT TO partman_auth USING (status = 'pending')",
"""


def test_reverting_restores_objects_dropped_with_a_column(checkout: Checkout) -> None:
    """An index and a right; and a policy, which would not let the column go."""
    checkout.edit("alert.py", "    extras = (", f"    extras = (\n{_PENDING}        ")
    assert checkout.new("pending").code == 0
    checkout.migrate("forwards", "all")
    checkout.edit("alert.py", _PENDING, "")
    checkout.edit("alert.py", "(organization_id, user_id, status)", "(organization_id, user_id)")
    path = checkout.folder / "partman/tables/alert.py"
    path.write_text(re.sub(r"    status = .*\n", "", path.read_text()))
    completed = checkout.new("no status")
    assert completed.code == 0, completed.output
    at_once, online = checkout.written[1:]
    assert at_once.index("DROP POLICY pending ON alerts") < at_once.index("manager.drop_column(")
    assert "GRANT UPDATE (status) ON alerts" in at_once
    assert "CREATE INDEX CONCURRENTLY idx_alerts_user_status" in online
    before = read(checkout.database.url)
    checkout.migrate("forwards", "all")
    there = read(checkout.database.url)
    second = re.findall(r'^ID = "(.*)"', at_once, re.MULTILINE)[0]
    checkout.migrate("backwards", "partman", second, "--auto_agree")
    assert read(checkout.database.url) == before
    checkout.migrate("forwards", "all")
    assert read(checkout.database.url) == there


def test_an_unwritable_difference_is_shown_and_leaves_no_file(checkout: Checkout) -> None:
    checkout.edit(
        "functions.py",
        "    _SET_UPDATED_AT,\n",
        '    _SET_UPDATED_AT,\n    "CREATE TEXT SEARCH CONFIGURATION ours (COPY = simple)",\n',
    )
    refused = checkout.new("a configuration")
    assert refused.code == 1
    assert "missing   text search configuration public.ours" in refused.stderr
    assert "Nothing was written" in refused.stderr
    assert checkout.written == []


def test_a_failing_migration_is_refused_and_leaves_no_file(checkout: Checkout) -> None:
    """No value of the one type can become one of the other."""
    spot = "ALTER TABLE partners ADD spot point"
    checkout.edit("partner.py", "    extras = (", f'    extras = (\n        "{spot}",\n        ')
    assert checkout.new("spot").code == 0
    [kept] = checkout.written
    checkout.edit("partner.py", "spot point", "spot macaddr")
    refused = checkout.new("another type")
    assert refused.code == 1, refused.output
    assert "No file was kept" in refused.stderr
    assert "cannot cast type point to macaddr" in refused.stderr
    assert checkout.written == [kept]


def test_a_function_that_a_default_calls_gets_another_result(checkout: Checkout) -> None:
    function = "CREATE FUNCTION usual_domain() RETURNS text LANGUAGE sql RETURN 'x'"
    checkout.edit(
        "functions.py", "    _SET_UPDATED_AT,\n", f'    _SET_UPDATED_AT,\n    "{function}",\n'
    )
    default = "ALTER TABLE partners ALTER domain SET DEFAULT usual_domain()"
    checkout.edit("partner.py", "    extras = (", f'    extras = (\n        "{default}",\n        ')
    assert checkout.new("usual domain").code == 0
    [kept] = checkout.written
    assert kept.index("CREATE FUNCTION") < kept.index("SET DEFAULT usual_domain()")
    checkout.edit("functions.py", "usual_domain() RETURNS text", "usual_domain() RETURNS varchar")
    assert checkout.new("another result").code == 0


@pytest.fixture
def own_server(checkout: Checkout) -> Iterator[Path]:
    """Where a server is once it was needed, on which nobody else has scratch databases."""
    directory = checkout.folder / "server"
    yield directory
    embedded.stop(directory)


def test_a_role_that_may_not_make_databases_uses_the_embedded_server(
    checkout: Checkout, own_server: Path
) -> None:
    """The database itself is not even asked. And nothing stays behind."""
    checkout.edit("partner.py", "(organization_id, domain)", "(organization_id, name)")
    completed = checkout.new(
        "by name",
        "--scratch",
        "embedded",
        DATABASE_URL="postgresql://nobody@localhost:1/nothing",
        PARTMAN_DATA_DIR=str(own_server),
    )
    assert completed.code == 0, completed.output
    assert len(checkout.written) == 1
    databases = query(embedded.start(own_server), "SELECT datname FROM pg_database")
    left = {row["datname"] for row in databases}
    assert left == {"partman", "postgres", "template0", "template1"}


_NOTE = '''
"""Notes."""

from piccolo.table import Table

from partman.tables.columns import Varchar
from partman.tables.tenant import TenantTable


class Note(TenantTable, Table, tablename="notes"):
    """What somebody wrote down."""

    title = Varchar(length=255, default=None, null=False)

    extras = (
        """
        CREATE FUNCTION shorten_note() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            NEW.title := left(NEW.title, 20);
            RETURN NEW;
        END
        $$
        """,
        "CREATE TRIGGER s BEFORE INSERT ON notes FOR EACH ROW EXECUTE FUNCTION shorten_note()",
        "CREATE FUNCTION is_title(text) RETURNS boolean LANGUAGE sql IMMUTABLE RETURN $1 <> ''",
        "CREATE INDEX idx_notes_titled ON notes (organization_id) WHERE is_title(title)",
    )
'''


def test_a_function_goes_after_what_calls_it_on_a_table_that_piccolo_drops(
    checkout: Checkout,
) -> None:
    checkout.add("Note", _NOTE)
    completed = checkout.new("notes")
    assert completed.code == 0, completed.output
    [text] = checkout.written
    assert "DROP TRIGGER s ON notes" in text
    assert "DROP POLICY" not in text, "that goes with its table"
    checkout.runs_both_ways()
    (checkout.folder / "partman/tables/note.py").unlink()
    completed = checkout.new("no notes")
    assert completed.code == 0, completed.output
    assert "CREATE TRIGGER s" in checkout.written[1]
    checkout.migrate("forwards", "all")
    assert checkout.new("again").stdout.startswith("Nothing to do")
