"""What is read of a project's files is what Piccolo says that has imported them.

Projects are drawn in the forms that Python allows. To read one may end in NotReadableError, and
then Piccolo is asked; of which forms it must not, test_sources.py says.
"""

import importlib
import itertools
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from piccolo.conf.apps import Finder

from partman.database.engine import DatabaseEngine, project_engine
from partman.database.project_settings import _config
from partman.migration.ledger.files import _apps_from_sources
from partman.settings import Settings
from partman.sources.modules import find
from tests.unit.imports import as_it_was

T = TypeVar("T")

_number = itertools.count()

# Each line, of several that are ways to say one thing, is drawn by itself. P is the package.

CONF = [
    """
from piccolo.conf.apps import AppRegistry
import piccolo.conf.apps; from piccolo.conf.apps import AppRegistry
from piccolo.conf import apps; AppRegistry = apps.AppRegistry
from piccolo.conf.apps import AppRegistry as Registry; AppRegistry = Registry
from P.shared import AppRegistry
from P.shared import *
class AppRegistry: pass
""",
    """
from partman.engine import PartmanEngine; from partman.isolation import Tenancy; import os
from partman.engine import PartmanEngine as Tenancy; PartmanEngine = Tenancy; import os
""",
    """
HOST = "somewhere"
HOST = "some" + "where"
HOST: str = f"{'some'}where"
HOST = os.environ.get("HOST", "somewhere")
from P.shared import HOST
""",
    """
CONFIG = {}
CONFIG = {"host": HOST, "port": 6543}
CONFIG = dict(host=HOST)
CONFIG = {"dsn": f"postgresql://{HOST}/db", "command_timeout": 5}
CONFIG = {**{"host": HOST}}
from P.shared import CONFIG
""",
    """
DB = PartmanEngine()
DB = PartmanEngine(tenancy=Tenancy())
DB = PartmanEngine(config=None, extensions=("citext",), log_queries=True)
DB = PartmanEngine(CONFIG)
DB = PartmanEngine(config=CONFIG)
DB: PartmanEngine = PartmanEngine(config={"host": HOST})
DB = PartmanEngine(**{"config": CONFIG})
DB = PartmanEngine(); DB = PartmanEngine(config={"host": "bound-twice"})
DB = PartmanEngine(settings=None)
from partman.settings import Settings; DB = PartmanEngine(settings=Settings.load({}))
DB = PartmanEngine() if HOST else None
if HOST: DB = PartmanEngine(config={"host": "conditional"})
DB, X = PartmanEngine(config={"host": "unpacked"}), 1
def make(): return PartmanEngine(config={"host": "made"})\nDB = make()
""",
    """
APPS = ["P.shop.piccolo_app", "P.blog.piccolo_app"]
APPS = ("P.shop.piccolo_app",)
APPS = ["P.blog.piccolo_app", "P.shop.piccolo_app"]
APPS = ["P.base.piccolo_app"] + ["P.blog.piccolo_app"]
APPS = [f"P.{name}.piccolo_app" for name in ("shop", "blog")]
APPS = "P.blog.piccolo_app P.shop.piccolo_app".split()
APPS = ["P.shop"]
APPS = ["P.shop.nowhere"]
APPS = []
APPS = None
APPS = ["P.shop.piccolo_app", "P.shop.piccolo_app"]
from P.shared import APPS
""",
    """
APP_REGISTRY = AppRegistry(apps=APPS)
APP_REGISTRY = AppRegistry(APPS)
APP_REGISTRY = AppRegistry(apps=[*APPS])
APP_REGISTRY = AppRegistry(apps=["P.shop.piccolo_app", "P.blog.piccolo_app"])
APP_REGISTRY = AppRegistry(apps=[]); APP_REGISTRY = AppRegistry(apps=APPS)
APP_REGISTRY: AppRegistry = AppRegistry(apps=list(APPS))
APP_REGISTRY = AppRegistry(**{"apps": APPS})
from P.shared import APP_REGISTRY
""",
]
DISTURBANCES = """
APPS.append("P.base.piccolo_app")
APPS += ["P.base.piccolo_app"]
X = APPS.append("P.base.piccolo_app")
X = sorted(APPS, key=lambda name: APPS.reverse())
def more(): APPS.append("P.base.piccolo_app")\nX = more()
APP_REGISTRY.apps.append("P.base.piccolo_app")
APP_REGISTRY.apps = ["P.base.piccolo_app"]
X = [APP_REGISTRY.apps.clear()]
CONFIG["host"] = "changed"
X = CONFIG.update(host="changed")
HOST = "changed"
HOST, X = "unpacked", 1
if True: HOST = "changed"
DB = None
globals()["HOST"] = "put"
os.environ["DATABASE_URL"] = "postgresql://from-conf/db"
os.environ["PARTMAN_ENV"] = "test"
import P.helper
from P import helper
from .helper import VERSION
from . import helper as other
import dotenv
X = 1
"""
APP = [
    """
import os, pathlib; from pathlib import Path; from piccolo.conf.apps import AppConfig, table_finder
""",
    """
NAME = "blog"
NAME = "blo" "g"
NAME = "blog".upper()
from P.shared import NAME
""",
    """
HERE = os.path.dirname(os.path.abspath(__file__))
HERE = Path(__file__).parent
HERE = pathlib.Path(__file__).resolve().parent
HERE = os.getcwd()
HERE = "relative"
""",
    """
FOLDER = os.path.join(HERE, "piccolo_migrations")
FOLDER = Path(HERE) / "changes"
FOLDER = f"{HERE}/changes"
FOLDER = str(Path(HERE).joinpath("..", "there"))
FOLDER = os.fspath(HERE)
FOLDER = "%s/formatted" % HERE
""",
    """
NEEDED = ["P.base.piccolo_app"]
NEEDED = []
NEEDED = ["P.blog.piccolo_app"]
NEEDED = ["piccolo.apps.user.piccolo_app", "P.base.piccolo_app"]
NEEDED = list(("P.base.piccolo_app",))
from P.shared import NEEDED
""",
    """
APP_CONFIG = AppConfig(app_name=NAME, migrations_folder_path=FOLDER, migration_dependencies=NEEDED)
APP_CONFIG = AppConfig(NAME, FOLDER)
APP_CONFIG = AppConfig(app_name=NAME + "-app", migrations_folder_path=FOLDER, table_classes=[])
APP_CONFIG = AppConfig(NAME, FOLDER, [], NEEDED, [])
APP_CONFIG = AppConfig(NAME, FOLDER, table_classes=table_finder(["P.shop.tables"]))
APP_CONFIG = AppConfig(NAME, FOLDER, table_finder(modules=[".tables"], package="P.shop"), NEEDED)
APP_CONFIG = AppConfig(*(NAME, FOLDER))
from P.shared import APP_CONFIG
""",
]
IN_APP = """
NEEDED.clear()
X = NEEDED.append("P.base.piccolo_app")
APP_CONFIG.app_name = "renamed"
APP_CONFIG.migration_dependencies.append("P.base.piccolo_app")
@APP_CONFIG.register_table\nclass Row: pass
if NAME: NAME = "conditional"
NAME, X = "unpacked", 1
NAME = NAME.upper()
os.environ["DATABASE_URL"] = "postgresql://from-app/db"
os.environ.setdefault("PARTMAN_ENV", "staging")
os.putenv("PARTMAN_ENV", "staging")
from P.shop.tables import Row
from .tables import Row
from P.helper import VERSION
def __getattr__(name): raise SystemExit
X = 1
"""
SHARED = """
import os
from piccolo.conf.apps import AppConfig, AppRegistry
APPS, HOST, NAME, NEEDED = ["P.base.piccolo_app"], "shared", "shared", []
CONFIG = {"host": HOST}
APP_REGISTRY, APP_CONFIG = AppRegistry(apps=APPS), AppConfig("shared", "shared/migrations")
"""
BASE = "from piccolo.conf.apps import AppConfig\nAPP_CONFIG = AppConfig('base', 'base/m')\n"
SETS = "import os\nos.environ['DATABASE_URL'] = 'postgresql://from-helper/db'\nVERSION = 1\n"
IMPORTS = "from . import deeper; VERSION = 2\n"


def lines(text: str) -> list[str]:
    return [line.replace("\\n", "\n") for line in text.strip("\n").split("\n")]


USUAL_CONF, USUAL_APP = ([lines(part)[0] for part in parts] for parts in (CONF, APP))


def files(conf: Sequence[str], app: Sequence[str], *others: str) -> dict[str, str]:
    """Return the files of a package P; the others are what its modules besides have to say."""
    init, helper, deeper, tables = others
    text = "\n".join(app) + "\n"
    return {
        "__init__.py": init,
        "conf.py": "\n".join(conf) + "\n",
        "shared.py": SHARED,
        "helper.py": helper,
        "deeper.py": deeper,
        "base/piccolo_app.py": BASE,
        "shop/__init__.py": "",
        "shop/tables.py": f"class Row: pass\n{tables}",
        "shop/piccolo_app.py": text.replace('"blog"', '"shop"'),
        "blog/tables.py": "class Row: pass\n",
        "blog/piccolo_app.py": text.replace('NEEDED = ["P.base.', 'NEEDED = ["P.shop.'),
    }


@st.composite
def projects(draw: st.DrawFn) -> dict[str, str]:
    """The files of a package."""

    def module(parts: list[str], disturbances: str) -> list[str]:
        # The first of each is the usual one, and drawn more often than all others.
        statements = [draw(st.sampled_from(lines(part) + lines(part)[:1] * 20)) for part in parts]
        for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
            place = draw(st.integers(2, len(statements)))
            statements.insert(place, draw(st.sampled_from(lines(disturbances))))
        return statements

    others = [draw(st.sampled_from(["", "", "", SETS, IMPORTS])) for _ in range(4)]
    return files(module(CONF, DISTURBANCES), module(APP, IN_APP), *others)


def told(question: Callable[[], T]) -> T | None:
    """Return the answer; None if there is none."""
    try:
        return question()
    except (Exception, SystemExit):
        return None


def compare(folder: Path, drawn: dict[str, str]) -> tuple[bool, bool]:
    """Whether the apps and the settings were read; then they are what Piccolo says."""
    package = f"drawn_{next(_number)}"
    for name, text in drawn.items():
        path = folder / package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(re.sub(r"\bP(?=[. ])", package, text))
    with as_it_was():
        sys.path.insert(0, str(folder))
        os.environ |= {"PICCOLO_CONF": f"{package}.conf", "PARTMAN_DATA_DIR": str(folder)}
        for variable in ("DATABASE_URL", "PARTMAN_ENV"):
            os.environ.pop(variable, None)
        before = {*sys.modules}
        apps, read = told(_apps_from_sources), told(lambda: Settings.load(config=_config()))
        assert not [name for name in {*sys.modules} - before if name.startswith(package)]
        said = told(Finder().get_app_configs)
        found = told(lambda: project_engine(DatabaseEngine).settings)
    if said is not None:
        assert apps is None or [(app.name, app.folder) for app in apps] == [
            (each.app_name, each.resolved_migrations_folder_path) for each in said
        ]
        assert read is None or read == found
    return apps is not None, read is not None


@settings(max_examples=100, deadline=None, suppress_health_check=[*HealthCheck])
@given(projects())
def test_a_project_read_from_source_equals_its_import(
    tmp_path_factory: pytest.TempPathFactory, drawn: dict[str, str]
) -> None:
    compare(tmp_path_factory.mktemp("project"), drawn)


def test_the_usual_project_is_read(tmp_path: Path) -> None:
    assert compare(tmp_path, files(USUAL_CONF, USUAL_APP, "", "", "", "")) == (True, True)


def test_a_module_that_was_imported_stays_the_one_that_is_read(tmp_path: Path) -> None:
    """Piccolo asks Python for it again, which has it: a folder of its name changes nothing."""
    package = tmp_path / f"stays{next(_number)}"
    package.mkdir()
    (package / "piccolo_app.py").write_text("")
    with as_it_was():
        sys.path.insert(0, str(tmp_path))
        name = f"{package.name}.piccolo_app"
        imported = importlib.import_module(name)
        (package / "piccolo_app").mkdir()
        (package / "piccolo_app" / "__init__.py").write_text("")
        assert str(find(name)[-1].path) == imported.__file__


@pytest.mark.parametrize("number", range(len(CONF)))
def test_no_other_form_of_a_conf_module_is_read_as_another(tmp_path: Path, number: int) -> None:
    for form in lines(CONF[number]):
        conf = [*USUAL_CONF[:number], form, *USUAL_CONF[number + 1 :]]
        conf[4] = conf[4].replace("PartmanEngine()", "PartmanEngine(config=CONFIG)")
        compare(tmp_path, files(conf, USUAL_APP, "", "", "", ""))


@pytest.mark.parametrize("number", range(len(APP)))
def test_no_other_form_of_an_app_is_read_as_another(tmp_path: Path, number: int) -> None:
    for form in lines(APP[number]):
        app = [*USUAL_APP[:number], form, *USUAL_APP[number + 1 :]]
        compare(tmp_path, files(USUAL_CONF, app, "", "", "", SETS))


@pytest.mark.parametrize("statement", lines(DISTURBANCES))
def test_no_statement_of_a_conf_module_goes_unseen(tmp_path: Path, statement: str) -> None:
    configured = [*USUAL_CONF[:3], 'CONFIG = {"host": HOST}', "DB = PartmanEngine(CONFIG)"]
    for usual in (USUAL_CONF, [*configured, *USUAL_CONF[5:]]):
        for place in (2, 4, 6, 7):
            conf = [*usual[:place], statement, *usual[place:]]
            compare(tmp_path, files(conf, USUAL_APP, "", SETS, "", ""))


@pytest.mark.parametrize("statement", lines(IN_APP))
def test_no_statement_of_an_app_goes_unseen(tmp_path: Path, statement: str) -> None:
    for place in range(1, len(USUAL_APP) + 1):
        app = [*USUAL_APP[:place], statement, *USUAL_APP[place:]]
        compare(tmp_path, files(USUAL_CONF, app, "", SETS, "", SETS))


@pytest.mark.parametrize("number", range(4))
def test_no_module_that_is_imported_sets_a_variable_unseen(tmp_path: Path, number: int) -> None:
    others = ["", "", "", ""]
    others[number] = SETS
    conf = ["from P import helper", *USUAL_CONF]
    app = ["from .tables import Row", *USUAL_APP]
    compare(tmp_path, files(conf, app, *others))
    others[1] = others[1] or IMPORTS
    compare(tmp_path, files(conf, app, *others))
