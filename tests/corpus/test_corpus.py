"""Real schemas are rebuilt, taken back and restored, and pg_dump says the same as partman."""

import pytest

from tests.corpus.clients import dump, psql, roles, unlike
from tests.corpus.figures import measure
from tests.corpus.packages import NotToBeHadError
from tests.corpus.schemas import SCHEMAS, Schema
from tests.corpus.sequences import SEQUENCES, MigrationSequence
from tests.corpus.table import NOT_TRIED, TRIED, Row, encoded
from tests.corpus.tools import MADE_SCHEMAS, MadeSchema
from tests.project import Project
from tests.summary import Record, thorough
from tests.support import Database

pytestmark = pytest.mark.corpus

_ALL: list[Schema | MadeSchema] = [*SCHEMAS, *MADE_SCHEMAS]
_CHOSEN = [each for each in _ALL if thorough() or each.quick]
_SEQUENCES = [each for each in SEQUENCES if thorough() or each.quick]


@pytest.mark.parametrize("schema", _CHOSEN, ids=lambda schema: schema.name)
def test_real_schema_is_rebuilt_as_pg_dump_sees_it(
    schema: Schema | MadeSchema, record_property: Record
) -> None:
    try:
        found = measure(schema)
    except NotToBeHadError as error:
        record_property(NOT_TRIED, f"{schema.name}: {error}")
        pytest.skip(f"Not tried: {schema.name}: {error}")
    row = Row(
        schema.name,
        str(schema.package),
        found.objects,
        found.statements,
        len(found.failed),
        len(found.unwritten),
        len(found.silent),
        len(found.unlike),
        len(found.left),
        len(found.drift),
        found.seconds,
    )
    record_property(TRIED, encoded(row))
    assert found.objects > 0, found.load_errors
    assert found.mistakes() == ""


@pytest.mark.parametrize("sequence", _SEQUENCES, ids=lambda sequence: sequence.name)
def test_real_migrations_do_what_psql_does(
    sequence: MigrationSequence,
    project: Project,
    other_database: Database,
    record_property: Record,
) -> None:
    try:
        steps = sequence.read()
    except NotToBeHadError as error:
        record_property(NOT_TRIED, f"{sequence.name}, as migrations: {error}")
        pytest.skip(f"Not tried: {sequence.name}: {error}")
    with roles(sequence.roles, project.database, other_database):
        for number, (_, sql) in enumerate(steps):
            project.write(f"2026-01-01T00:00:00:{number:06}", [sql])
        done = project.forwards(PARTMAN_ENV="test")
        assert done.code == 0, done.output
        errors = psql(other_database, "".join(sql for _, sql in steps))
        dumps = dump(other_database), dump(project.database)
        assert unlike(other_database, *dumps) == [], errors
