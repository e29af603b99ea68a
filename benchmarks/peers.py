"""Other migration tools, measured with three applied migrations and nothing to do.

Each is installed into an environment of its own. A tool that cannot be installed is left out, with
a message on standard error.
"""

import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from benchmarks.measure import Case, run
from benchmarks.server import Server

PYTHON_PACKAGES = ("alembic", "django", "psycopg2-binary", "yoyo-migrations")
NODE_PACKAGES = ("node-pg-migrate", "pg")

_ALEMBIC_ENV = """\
from alembic import context
from sqlalchemy import create_engine

with create_engine("postgresql+psycopg2://").connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""
_ALEMBIC_MIGRATION = """\
from alembic import op

revision = "{number}"
down_revision = {before}

def upgrade():
    op.execute("CREATE TABLE table_{number} (id integer)")
"""
_DJANGO_SETTINGS = """\
import os

SECRET_KEY = "benchmark"
USE_TZ = True
INSTALLED_APPS = ["many"]
DATABASES = {"default": {
    "ENGINE": "django.db.backends.postgresql",
    "NAME": os.environ["PGDATABASE"],
    "USER": os.environ["PGUSER"],
    "HOST": os.environ["PGHOST"],
    "PORT": os.environ["PGPORT"],
}}
"""
_DJANGO_MIGRATION = """\
from django.db import migrations

class Migration(migrations.Migration):
    dependencies = [{before}]
    operations = [migrations.RunSQL("CREATE TABLE table_{number} (id integer)")]
"""


@dataclass(frozen=True)
class Peer:
    """Another migration tool: a function that writes its files, and the command to apply them."""

    name: str
    write: Callable[[Path], None]
    command: Sequence[str]


def peer_cases(folder: Path, server: Server) -> list[Case]:
    """Install the peers, migrate a database with each, and return the cases to measure."""
    cases = []
    for peer in [*_python_peers(folder / "python"), *_node_peers(folder / "node")]:
        project = folder / peer.name.replace(" ", "_")
        project.mkdir(parents=True)
        peer.write(project)
        database = server.create("peer_" + project.name.replace("-", "_").lower())
        case = Case(peer.name, peer.command, database, _environment(server, database), project)
        try:
            run(case.command, case.environment, case.folder)
        except (RuntimeError, OSError) as error:
            _skip(peer.name, error)
            continue
        cases.append(case)
    return cases


def _python_peers(environment: Path) -> list[Peer]:
    binaries = environment / "bin"
    try:
        venv.create(environment, with_pip=True)
        pip = [str(binaries / "python"), "-m", "pip", "install", "-qqq", *PYTHON_PACKAGES]
        subprocess.run(pip, check=True)
    except (subprocess.CalledProcessError, OSError) as error:
        _skip(", ".join(PYTHON_PACKAGES), error)
        return []
    django = [str(binaries / "django-admin"), "migrate", "--settings=settings", "--pythonpath=."]
    yoyo = [str(binaries / "yoyo"), "apply", "--batch", "--no-config-file"]
    return [
        Peer(
            "alembic upgrade head", _write_alembic, [str(binaries / "alembic"), "upgrade", "head"]
        ),
        Peer("yoyo apply", _write_yoyo, [*yoyo, "--database=postgresql://", "migrations"]),
        Peer("django-admin migrate", _write_django, django),
    ]


def _node_peers(folder: Path) -> list[Peer]:
    folder.mkdir(parents=True)
    npm = [shutil.which("npm") or "npm", "install", "--silent", "--no-audit", "--no-fund"]
    try:
        subprocess.run([*npm, *NODE_PACKAGES], cwd=folder, check=True)
    except (subprocess.CalledProcessError, OSError) as error:
        _skip(NODE_PACKAGES[0], error)
        return []
    program = folder / "node_modules" / "node-pg-migrate" / "bin" / "node-pg-migrate.js"
    return [
        Peer(
            "node-pg-migrate up", _write_node, [shutil.which("node") or "node", str(program), "up"]
        )
    ]


def _write_alembic(project: Path) -> None:
    versions = project / "versions"
    versions.mkdir()
    (project / "alembic.ini").write_text("[alembic]\nscript_location = .\n")
    (project / "env.py").write_text(_ALEMBIC_ENV)
    for number in (1, 2, 3):
        before = f'"{number - 1}"' if number > 1 else None
        text = _ALEMBIC_MIGRATION.format(number=number, before=before)
        (versions / f"{number}.py").write_text(text)


def _write_yoyo(project: Path) -> None:
    _write_sql(project / "migrations", "{number}.sql")


def _write_node(project: Path) -> None:
    _write_sql(project / "migrations", "{number}_table.sql")


def _write_sql(folder: Path, name: str) -> None:
    folder.mkdir()
    for number in (1, 2, 3):
        text = f"CREATE TABLE table_{number} (id integer);\n"
        (folder / name.format(number=number)).write_text(text)


def _write_django(project: Path) -> None:
    migrations = project / "many" / "migrations"
    migrations.mkdir(parents=True)
    (project / "settings.py").write_text(_DJANGO_SETTINGS)
    (project / "many" / "__init__.py").touch()
    (migrations / "__init__.py").touch()
    for number in (1, 2, 3):
        before = f'("many", "{number - 1:04}_table")' if number > 1 else ""
        text = _DJANGO_MIGRATION.format(number=number, before=before)
        (migrations / f"{number:04}_table.py").write_text(text)


def _environment(server: Server, database: str) -> Mapping[str, str]:
    """Return libpq's variables, which all tools understand, with an empty URL for some."""
    parameters = parse_qs(urlsplit(server.url).query)
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": "/nonexistent",
        "PGHOST": parameters["host"][0],
        "PGPORT": parameters.get("port", ["5432"])[0],
        "PGUSER": "partman",
        "PGDATABASE": database,
        "DATABASE_URL": "postgresql://",
    }


def _skip(what: str, error: Exception) -> None:
    print(f"\nLEFT OUT, not in the table: {what}: {error}", file=sys.stderr)
