"""Ask Piccolo's auto migration for its operations, as separate calls."""

import ast
import contextlib
import inspect
import io
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from piccolo.apps.migrations.auto.diffable_table import DiffableTable, TableDelta
from piccolo.apps.migrations.auto.schema_differ import AlterStatements
from piccolo.apps.migrations.commands import new as piccolos_new
from piccolo.apps.migrations.commands.new import AutoMigrationManager
from piccolo.conf.apps import AppConfig

from partman.errors import AnswerNeededError, NotExpressibleError

_CONSTRAINTS = ("add_constraint", "drop_constraint")
_ADDITIONS = ("add_table", "add_column", "add_constraint")
_OF_A_KEY = frozenset(("on_delete", "on_update"))


@dataclass(frozen=True)
class Operation:
    """A call of a method of the MigrationManager."""

    text: str
    """As Python: ``manager.add_column(...)``."""
    name: str
    table: str | None = None
    column: str | None = None
    """The attribute's name in Python."""
    schema: str | None = None
    db_column: str | None = None
    """The column's name in the database, before the operation."""
    new_db_column: str | None = None
    """A renamed column's new name in the database."""
    references: str | None = None
    """The table that a TenantForeignKey refers to."""
    new_table: str | None = None
    """A renamed table's new name."""
    params: frozenset[str | None] = frozenset()
    """The names of the column's parameters that are set."""

    @property
    def adds(self) -> bool:
        """Whether the operation creates an object, and changes no other."""
        return self.name in _ADDITIONS

    @property
    def is_about_a_constraint(self) -> bool:
        """Whether the operation adds or drops a constraint of the table."""
        return self.name in _CONSTRAINTS

    @property
    def is_about_a_key_only(self) -> bool:
        """Whether it changes no more of a column than what its foreign key does."""
        return self.name == "alter_column" and bool(self.params) and self.params <= _OF_A_KEY

    @property
    def is_about_a_class_only(self) -> bool:
        """Whether only the class is renamed: the database does not change."""
        return self.name == "rename_table" and self.table == self.new_table


@dataclass(frozen=True, order=True)
class Imported:
    """A name that an operation's text needs."""

    module: str
    name: str | None
    """None if the module itself is imported."""


@dataclass(frozen=True)
class Operations:
    """All operations that Piccolo finds for one app, in its order."""

    operations: tuple[Operation, ...]
    imports: frozenset[Imported]
    definitions: tuple[str, ...]
    """Classes that represent tables in the parameters of columns."""


async def ask_piccolo(app: AppConfig, auto_input: str | None) -> Operations:
    """Return the operations that bring an app's migrations to its table classes.

    Piccolo asks about renames on the terminal; ``auto_input`` answers all questions instead. Raises
    AnswerNeededError if there is no terminal and no answer, and NotExpressibleError if Piccolo
    cannot write a default.
    """
    with _piccolo_output() as printed, _tables_compared_once():
        try:
            found = await AutoMigrationManager(auto_input=auto_input).get_alter_statements(app)
        except EOFError as error:
            raise AnswerNeededError(
                f"Piccolo asks: {printed.getvalue().strip()} Standard input is not a terminal, so "
                "the question cannot be answered. Nothing was written. Run the command in a "
                "terminal, or answer all such questions with --auto_input y or n."
            ) from error
        except ValueError as error:
            raise _not_writable(app, str(error)) from error
    try:
        operations = tuple(_operation(text) for each in found for text in each.statements)
    except SyntaxError as error:
        raise _not_writable(app, str(error.text).strip()) from error
    if any(each in _columns_with_unwritable_default(app) for each in map(_column, operations)):
        raise _not_writable(app, "")
    return Operations(
        operations=operations,
        imports=frozenset(_imports(found)),
        definitions=tuple(
            sorted({repr(each) for statements in found for each in statements.extra_definitions})
        ),
    )


def _not_writable(app: AppConfig, reason: str) -> NotExpressibleError:
    columns = _columns_with_unwritable_default(app)
    if not columns:
        return NotExpressibleError(
            f"Piccolo cannot write what the table classes of app {app.app_name} ask for: {reason}. "
            "Nothing was written."
        )
    (table, column), default = next(iter(columns.items()))
    return NotExpressibleError(
        f"Piccolo cannot write the default of {table}.{column} of app {app.app_name} into a "
        f"migration: {default!r}. Nothing was written. Use a named function at the top level of a "
        "module: def new_token(): ..."
    )


def _columns_with_unwritable_default(app: AppConfig) -> dict[tuple[str, str], object]:
    """Return the columns whose default a migration cannot import, by table and attribute."""
    return {
        (table._meta.tablename, column._meta.name): default
        for table in app.table_classes
        for column in table._meta.columns
        if callable(default := column._meta.params.get("default")) and not _is_importable(default)
    }


def _is_importable(default: object) -> bool:
    if not (inspect.isfunction(default) or inspect.isclass(default)):
        return False
    return getattr(sys.modules.get(default.__module__), default.__name__, None) is default


def _column(operation: Operation) -> tuple[str | None, str | None]:
    is_default = operation.name in ("add_column", "alter_column")
    return (operation.table, operation.column) if is_default else (None, None)


def _imports(found: Iterable[AlterStatements]) -> Iterator[Imported]:
    for statements in found:
        for each in statements.extra_imports:
            yield Imported(each.module, each.target)


def _operation(text: str) -> Operation:
    call = ast.parse(text, mode="eval").body
    assert isinstance(call, ast.Call)
    assert isinstance(call.func, ast.Attribute)
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    return Operation(
        text,
        call.func.attr,
        _literal(given.get("tablename") or given.get("old_tablename")),
        _literal(given.get("column_name")),
        _literal(given.get("schema")),
        _literal(given.get("db_column_name") or given.get("old_db_column_name")),
        _literal(given.get("new_db_column_name")),
        _referred(given.get("params")),
        _literal(given.get("new_tablename")),
        _names(given.get("params")),
    )


def _literal(node: ast.expr | None) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _names(params: ast.expr | None) -> frozenset[str | None]:
    return frozenset(map(_literal, params.keys)) if isinstance(params, ast.Dict) else frozenset()


def _referred(params: ast.expr | None) -> str | None:
    if not isinstance(params, ast.Dict):
        return None
    given = dict(zip(map(_literal, params.keys), params.values, strict=True))
    return _literal(given.get("references"))


class _ComparedTable(DiffableTable):
    """A table class. Piccolo compares it again for each kind of operation, which takes seconds."""

    def __sub__(self, value: DiffableTable) -> TableDelta:
        known: dict[int, tuple[DiffableTable, TableDelta]] = vars(self).setdefault("_deltas", {})
        if id(value) not in known:
            # The other table is kept, too, so that its id stays its own.
            known[id(value)] = value, super().__sub__(value)
        return known[id(value)][1]


@contextlib.contextmanager
def _tables_compared_once() -> Iterator[None]:
    """Have Piccolo take table classes as _ComparedTable."""
    names = vars(piccolos_new)
    usual, names["DiffableTable"] = names["DiffableTable"], _ComparedTable
    try:
        yield
    finally:
        names["DiffableTable"] = usual


class _PiccoloOutput(io.StringIO):
    """Receives Piccolo's output: questions go to the terminal, statistics are discarded."""

    def write(self, text: str) -> int:
        if text.startswith("Did you ") and sys.stdin.isatty():
            sys.stderr.write(text)
            sys.stderr.flush()
        return super().write(text)


@contextlib.contextmanager
def _piccolo_output() -> Iterator[_PiccoloOutput]:
    """Keep Piccolo from writing to standard output and from waiting without a terminal."""
    printed = _PiccoloOutput()
    stdin = sys.stdin
    with contextlib.redirect_stdout(printed):
        if not stdin.isatty():
            sys.stdin = io.StringIO()
        try:
            yield printed
        finally:
            sys.stdin = stdin
