"""What pg_dump prints of a schema, in a form that can be compared."""

import asyncio
import os
from pathlib import Path
from urllib.parse import quote

import pytest

from partman.database import embedded, pg_dump
from partman.database.libpq import libpq_arguments
from partman.database.pg_dump import Dump
from partman.errors import PgDumpFailedError
from partman.piccolo_migrations.partman_2026_11_24t09_10_00_isolation import ROLES
from partman.settings import Settings
from tests.database.catalog_sample import SAMPLE
from tests.support import Database, as_role, execute, query


def dumped(database: Database, *, owner: str | None = None) -> Dump:
    settings = Settings.load({"DATABASE_URL": database.url})
    found = asyncio.run(pg_dump.dump(settings, owner=owner))
    if found is None:
        pytest.skip("No pg_dump fits this server.")
    return found


def normal_forms(dump: Dump) -> dict[str, tuple[str, ...]]:
    return {str(each.identity): each.normal_form for each in dump.objects}


def test_it_is_divided_into_all_objects(empty_database: Database) -> None:
    execute(empty_database.url, ROLES, *SAMPLE)
    found = normal_forms(dumped(empty_database))
    assert {
        "SCHEMA shop",
        "TABLE shop.partners",
        "CONSTRAINT shop.partners partners_pkey",
        "FK CONSTRAINT shop.goals goals_partner_fkey",
        "INDEX shop.partners_name",
        "STATISTICS shop.partners_statistics",
        "COMMENT SCHEMA shop",
        "EXTENSION hstore",
        "TYPE shop.span",
    } <= found.keys()
    text = "\n".join(line for lines in found.values() for line in lines)
    owner = query(empty_database.url, "SELECT current_user")[0][0]
    assert f"OWNER TO {owner}" not in text
    assert "default_table_access_method" not in text
    assert "pg_dump" not in text
    assert "\\" not in text.replace("'\\xdead'", "")


def test_bookkeeping_is_left_out(database: Database) -> None:
    found = normal_forms(dumped(database))
    assert "TABLE public.partners" in found
    assert [name for name in found if "migration" in name] == []


def test_history_of_an_object_does_not_count(
    empty_database: Database, other_database: Database
) -> None:
    """The order of columns, options and rights, and the name of the owner."""
    role = f"{empty_database.name}_owner"
    execute(
        empty_database.url,
        "CREATE TABLE t (a int, b text, PRIMARY KEY (a)) WITH (fillfactor=70, parallel_workers=2)",
        "GRANT SELECT ON t TO PUBLIC",
        f"CREATE ROLE {role}",
    )
    try:
        execute(
            other_database.url,
            f"GRANT {role} TO CURRENT_USER",
            "CREATE TABLE t (b text, a int PRIMARY KEY) WITH (parallel_workers=2, fillfactor=70)",
            f"GRANT ALL ON SCHEMA public TO {role}",
            f"ALTER TABLE t OWNER TO {role}",
            "GRANT SELECT ON t TO PUBLIC",
            f"REVOKE ALL ON SCHEMA public FROM {role}",
        )
        same = normal_forms(dumped(other_database, owner=role))
        assert same == normal_forms(dumped(empty_database))
        other = normal_forms(dumped(other_database))
        assert f"ALTER TABLE public.t OWNER TO {role};" in other["TABLE public.t"]
    finally:
        execute(other_database.url, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


CHANGES = [
    "ALTER TABLE t ALTER b SET STATISTICS 7",
    "ALTER TABLE t ALTER b SET STORAGE external",
    "ALTER TABLE t ALTER b DROP NOT NULL",
    "ALTER TABLE t CLUSTER ON t_pkey",
    "CREATE RULE r AS ON DELETE TO t DO INSTEAD NOTHING",
    "CREATE PUBLICATION p FOR TABLE t",
    "CREATE OPERATOR === (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq)",
    "COMMENT ON COLUMN t.b IS $$one\n--\n-- Name: t; Type: TABLE; Schema: public; Owner: x\n--$$",
]


@pytest.mark.parametrize("change", CHANGES)
def test_changes_show(empty_database: Database, change: str) -> None:
    execute(empty_database.url, "CREATE TABLE t (a int PRIMARY KEY, b text NOT NULL)")
    before = normal_forms(dumped(empty_database))
    execute(empty_database.url, change)
    assert normal_forms(dumped(empty_database)) != before


def test_another_access_method_shows(empty_database: Database) -> None:
    """It is not in the object's own SQL, but set before it."""
    superuser = as_role(empty_database.url, "postgres")
    try:
        execute(superuser, "CREATE ACCESS METHOD heap2 TYPE TABLE HANDLER heap_tableam_handler")
    except OSError:
        pytest.skip("No superuser here.")
    execute(
        empty_database.url,
        "CREATE TABLE a (a int)",
        "CREATE TABLE b (a int) USING heap2",
        "CREATE TABLE c (a int)",
    )
    found = normal_forms(dumped(empty_database))
    with_method = [name for name, lines in found.items() if "-- Access method: heap2" in lines]
    assert with_method == ["TABLE public.b"]


class TestPrograms:
    @pytest.fixture
    def program(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A pg_dump on PATH, the only one that there is, which says that it is version 17."""
        path = tmp_path / "pg_dump"
        path.write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 17beta1 (Debian 17)'\n")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setattr(pg_dump, "_DEBIAN", tmp_path / "none")
        monkeypatch.setattr(embedded, "find_binaries", lambda: None)
        return path

    @pytest.mark.same_on_every_version
    def test_it_must_be_as_new_as_the_server(self, program: Path) -> None:
        assert pg_dump.find(15) == pg_dump.find(17) == program
        assert pg_dump.find(18) is None

    @pytest.mark.same_on_every_version
    def test_the_server_s_own_is_preferred(self, program: Path, tmp_path: Path) -> None:
        for version in (15, 16):
            other = tmp_path / "none" / str(version) / "bin" / "pg_dump"
            other.parent.mkdir(parents=True)
            other.write_text(f"#!/bin/sh\necho 'pg_dump (PostgreSQL) {version}.2'\n")
            other.chmod(0o755)
        found = [pg_dump.find(version) for version in (14, 15, 16, 17)]
        folder = tmp_path / "none"
        assert found == [
            folder / "15/bin/pg_dump",
            folder / "15/bin/pg_dump",
            folder / "16/bin/pg_dump",
            program,
        ]

    @pytest.mark.same_on_every_version
    def test_a_broken_one_is_passed_over(self, program: Path) -> None:
        program.write_text("#!/bin/sh\nexit 1\n")
        assert pg_dump.find(15) is None

    @pytest.mark.same_on_every_version
    def test_none_is_no_error(self, program: Path, empty_database: Database) -> None:
        program.unlink()
        settings = Settings.load({"DATABASE_URL": empty_database.url})
        assert asyncio.run(pg_dump.dump(settings)) is None

    @pytest.mark.same_on_every_version
    def test_a_failure_is_told(self, program: Path, empty_database: Database) -> None:
        program.write_text(
            "#!/bin/sh\n"
            '[ "$1" = --version ] && echo "pg_dump (PostgreSQL) 99.1" && exit\n'
            'echo "pg_dump: error: query failed: permission denied for table t" >&2; exit 1\n'
        )
        with pytest.raises(PgDumpFailedError, match="failed: query failed: permission denied"):
            dumped(empty_database)


@pytest.mark.same_on_every_version
class TestConnection:
    async def test_no_password_is_on_the_command_line(self) -> None:
        password = "p@ss word/#?%"
        for url in (
            f"postgresql://me:{quote(password, safe='')}@db.example:5433/shop?sslmode=require",
            f"postgresql://me@db.example:5433/shop?sslmode=require&password={quote(password)}",
        ):
            arguments = await libpq_arguments(Settings.load({"DATABASE_URL": url}), url)
            assert arguments.url.startswith("postgresql://me@db.example:5433/shop?sslmode=require")
            assert arguments.environment["PGPASSWORD"] == password
            assert quote(password, safe="") not in arguments.url

    async def test_settings_of_the_server_are_passed_on(self) -> None:
        url = "postgresql://h/d?role=the%20owner&options=-c%20jit%3Doff"
        settings = Settings.load({"DATABASE_URL": url})
        arguments = await libpq_arguments(settings, url)
        assert "role" not in arguments.url
        assert arguments.environment["PGOPTIONS"] == "-c role=the\\ owner -c\\ jit=off"

    async def test_the_engine_s_arguments_are_passed_on(self) -> None:
        async def password() -> str:
            return "of a vault"

        config = {
            "dsn": "postgresql://h/d",
            "password": password,
            "ssl": "verify-ca",
            "server_settings": {"role": "owner"},
        }
        settings = Settings.load({}, config)
        assert settings.database_url is not None
        environment = (await libpq_arguments(settings, settings.database_url)).environment
        assert environment["PGPASSWORD"] == "of a vault"
        assert environment["PGSSLMODE"] == "verify-ca"
        assert environment["PGOPTIONS"] == "-c role=owner"
        assert environment["PATH"] == os.environ["PATH"]
