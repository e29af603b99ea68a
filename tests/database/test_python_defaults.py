"""Defaults that Python computes are no difference, wherever databases are compared."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from partman.catalog.model import Catalog, Column, Reference
from partman.catalog.python_defaults import PythonDefault, mark
from tests.database.new_support import forwards, written, written_once
from tests.several_apps import SeveralApps
from tests.support import execute

pytestmark = pytest.mark.same_on_every_version

_EVERY_KIND = """
import datetime, decimal, random, secrets, uuid

def token(): return secrets.token_hex()
def number(): return random.randrange(-1000, 1000)
def real(): return random.uniform(-1, 1)
def tiny(): return random.uniform(-1, 1) / 10**9
def exact(): return decimal.Decimal(random.randrange(-1000, 1000)) / 100
def flag(): return random.random() < 0.5
def now(): return datetime.datetime.now()
def utc(): return datetime.datetime.now(tz=datetime.timezone.utc)
def day(): return datetime.date(2000, 1, 1) + datetime.timedelta(days=random.randrange(10000))
def clock(): return datetime.time(random.randrange(24), random.randrange(60))
def wait(): return datetime.timedelta(seconds=random.randrange(10**6))
def key(): return uuid.uuid4()
def letters(): return [secrets.token_hex(2) for _ in range(random.randrange(3))]
def numbers(): return [random.randrange(5) for _ in range(random.randrange(3))]
def data(): return '{"a": %d}' % random.randrange(1000)
def raw(): return secrets.token_bytes(4)

class Kind(Table):
    a = Varchar(default=token)
    b = Text(default=token)
    c = Integer(default=number)
    d = BigInt(default=number)
    e = Real(default=real)
    f = DoublePrecision(default=tiny)
    g = Numeric(default=exact)
    h = Boolean(default=flag)
    i = Timestamp(default=now)
    j = Timestamptz(default=utc)
    k = Date(default=day)
    l = Time(default=clock)
    m = Interval(default=wait)
    n = UUID(default=key)
    o = Array(Varchar(), default=letters)
    p = Array(Integer(), default=numbers)
    q = JSON(default=data)
    r = JSONB(default=data)
    s = Bytea(default=raw)
    t = Secret(default=token)
    u = SmallInt(default=number)
    # Piccolo has expressions for these, and so does the database.
    v = UUID(default=uuid.uuid4)
    w = Timestamp(default=datetime.datetime.now)
"""

_TOKEN = """
import uuid
def token(): return str(uuid.uuid4())

class Login(Table):
    token = Varchar(default={default})
    name = Varchar(default="nobody")
"""


def declare_login(several: SeveralApps) -> None:
    several.app("shop", _TOKEN.format(default="token"))
    several.register("shop")


@pytest.fixture
def login(tmp_path: Path) -> Iterator[SeveralApps]:
    """A table whose default is a function of Python, migrated."""
    with written_once("login", declare_login, tmp_path) as several:
        yield several


def is_clean(several: SeveralApps) -> None:
    """Whether no command sees a difference: live, by the migrations, by the classes."""
    has_no_drift(several)
    assert several.partman("new", "again").stdout.startswith("Nothing to do")
    verified = several.partman("verify")
    assert verified.code == 0, verified.output


def has_no_drift(several: SeveralApps) -> None:
    drift = several.partman("drift")
    assert "no difference" in drift.stdout, drift.output


def test_every_kind_of_column(several: SeveralApps) -> None:
    several.app("shop", _EVERY_KIND)
    several.register("shop")
    written(several, "kinds")
    is_clean(several)


def test_a_database_is_adopted_that_has_other_values(login: SeveralApps) -> None:
    execute(
        login.database.url,
        "DROP TABLE migration, migration_history",
        "DROP FUNCTION migration_history_is_append_only()",
    )
    # What the first one builds is kept, but for what pg_dump says of it.
    for command in (("adopt", "--dry-run"), ("adopt",)):
        adopted = login.partman(*command)
        assert adopted.code == 0, adopted.output
    is_clean(login)


def test_the_apps_of_piccolo_and_its_packages(several: SeveralApps) -> None:
    several.register(
        "piccolo.apps.user.piccolo_app",
        "piccolo_api.session_auth.piccolo_app",
        "piccolo_api.token_auth.piccolo_app",
    )
    forwards(several)
    is_clean(several)


def test_a_default_that_the_database_computes_is_a_difference(login: SeveralApps) -> None:
    for by_hand in ("DROP DEFAULT", "SET DEFAULT gen_random_uuid()", "SET DEFAULT now()::text"):
        execute(login.database.url, f"ALTER TABLE login ALTER token {by_hand}")
        drift = login.partman("drift")
        assert drift.code == 1, drift.output
        assert "different column public.login.token: default" in drift.stdout
        [remedy] = [line for line in drift.stdout.splitlines() if line.startswith("ALTER TABLE")]
        execute(login.database.url, remedy)
        has_no_drift(login)


def test_another_default_beside_it_is_a_difference(login: SeveralApps) -> None:
    execute(login.database.url, "ALTER TABLE login ALTER name SET DEFAULT 'somebody'")
    drift = login.partman("drift")
    assert drift.code == 1
    assert "different column public.login.name: default" in drift.stdout
    assert "1 difference" in drift.stdout


def test_changing_between_a_function_and_a_value_is_migrated_both_ways(login: SeveralApps) -> None:
    login.app("shop", _TOKEN.format(default="'none yet'"))
    written(login, "value")
    is_clean(login)
    execute(login.database.url, "ALTER TABLE login ALTER token SET DEFAULT 'other'")
    assert login.partman("drift").code == 1, "it is not Python's any more"
    execute(login.database.url, "ALTER TABLE login ALTER token SET DEFAULT 'none yet'")
    login.app("shop", _TOKEN.format(default="token"))
    written(login, "drawn again")
    is_clean(login)
    assert len(login.files("shop")) == 3


@pytest.mark.parametrize(
    ("printed", "is_value"),
    [
        ("'it''s'::character varying", True),
        ("'f('::text", True),
        ("'-1'::integer", True),
        ("(-1.5)", True),
        ("NULL::character varying", True),
        ("'2026-11-27 00:00:00'::timestamp(3) without time zone", True),
        ("'{a,b}'::character varying[]", True),
        ("'{}'::\"Mood\"[]", True),
        ("nextval('t_id_seq'::regclass)", False),
        ("('now'::text)::date", False),
        ("('a'::text || random())", False),
        ("gen_random_uuid()", False),
        ("CURRENT_TIMESTAMP", False),
    ],
)
def test_only_a_value_is_marked(printed: str, is_value: bool) -> None:
    column = Column(
        kind="column",
        name="c",
        parent=Reference("table", "t"),
        position=1,
        type="text",
        null="NULL",
        default=printed,
        identity=None,
        generated=None,
        collation=None,
    )
    [marked] = mark(Catalog((column,)), {column.reference}).objects
    assert isinstance(marked, Column)
    assert isinstance(marked.default, PythonDefault) is is_value
    assert str(marked.default) == printed
    assert (marked == column) is not is_value
