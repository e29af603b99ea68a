"""What Piccolo's own auto migration would do, asked for in pieces."""

import ast
import contextlib
import inspect
import io
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from piccolo.apps.migrations.auto.schema_differ import AlterStatements
from piccolo.apps.migrations.commands.new import AutoMigrationManager
from piccolo.conf.apps import AppConfig

from partman.errors import AnswerNeededError, NotExpressibleError

_CONSTRAINTS = ("add_constraint", "drop_constraint")


@dataclass(frozen=True)
class Operation:
    """A call of a method of the MigrationManager."""

    text: str
    """As Python: ``manager.add_column(...)``."""
    name: str
    table: str | None = None
    column: str | None = None
    """As Python names it."""
    references: str | None = None
    """The table that a TenantForeignKey refers to."""
    new_table: str | None = None
    """What a table is renamed to."""

    @property
    def is_about_a_constraint(self) -> bool:
        """Whether it adds or drops a constraint of the table, beside the columns."""
        return self.name in _CONSTRAINTS

    @property
    def is_about_a_class_only(self) -> bool:
        """Whether a class is renamed whose table stays: there is nothing to do in the database."""
        return self.name == "rename_table" and self.table == self.new_table


@dataclass(frozen=True, order=True)
class Imported:
    """A name that the text of an operation needs."""

    module: str
    name: str | None
    """None where it is the module itself."""


@dataclass(frozen=True)
class Operations:
    """All that Piccolo would do for one app, in its order."""

    operations: tuple[Operation, ...]
    imports: frozenset[Imported]
    definitions: tuple[str, ...]
    """Classes that stand for tables in the parameters of columns."""


async def ask_piccolo(app: AppConfig, auto_input: str | None) -> Operations:
    """Return what makes of an app's migrations what its table classes say.

    A rename is asked for on the terminal, as Piccolo asks; ``auto_input`` is the answer to all
    questions. Raises AnswerNeededError where neither is there, NotExpressibleError where Piccolo
    has no words for a default.
    """
    with _asking() as printed:
        try:
            found = await AutoMigrationManager(auto_input=auto_input).get_alter_statements(app)
        except EOFError as error:
            raise AnswerNeededError(
                f"Piccolo asks: {printed.getvalue().strip()} Nobody is there to answer, for the "
                "standard input is no terminal. Nothing was written. Type the command in a "
                "terminal; or with --auto_input y or n, the answer to all such questions."
            ) from error
        except ValueError as error:
            raise _not_writable(app, str(error)) from error
    try:
        operations = tuple(_operation(text) for each in found for text in each.statements)
    except SyntaxError as error:
        raise _not_writable(app, str(error.text).strip()) from error
    if any(each in _columns_without_words(app) for each in map(_column, operations)):
        raise _not_writable(app, "")
    return Operations(
        operations=operations,
        imports=frozenset(_imports(found)),
        definitions=tuple(
            sorted({repr(each) for statements in found for each in statements.extra_definitions})
        ),
    )


def _not_writable(app: AppConfig, said: str) -> NotExpressibleError:
    columns = _columns_without_words(app)
    if not columns:
        return NotExpressibleError(
            f"Piccolo cannot write what the table classes of app {app.app_name} ask for: {said}. "
            "Nothing was written."
        )
    (table, column), default = next(iter(columns.items()))
    return NotExpressibleError(
        f"Piccolo cannot write the default of {table}.{column} of app {app.app_name} into a "
        f"migration: {default!r}. Nothing was written. Let it be a function that has a name and "
        "stands in a module by itself: def new_token(): ..."
    )


def _columns_without_words(app: AppConfig) -> dict[tuple[str, str], object]:
    """Return the columns whose default a migration could not import, by table and attribute."""
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
        _referred(given.get("params")),
        _literal(given.get("new_tablename")),
    )


def _literal(node: ast.expr | None) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _referred(params: ast.expr | None) -> str | None:
    if not isinstance(params, ast.Dict):
        return None
    given = dict(zip(map(_literal, params.keys), params.values, strict=True))
    return _literal(given.get("references"))


class _Asking(io.StringIO):
    """Where Piccolo prints: its questions go to the terminal, its statistics to nobody."""

    def write(self, text: str) -> int:
        if text.startswith("Did you ") and sys.stdin.isatty():
            sys.stderr.write(text)
            sys.stderr.flush()
        return super().write(text)


@contextlib.contextmanager
def _asking() -> Iterator[_Asking]:
    """Keep the standard output for the result, and never wait for somebody who is not there."""
    printed = _Asking()
    stdin = sys.stdin
    with contextlib.redirect_stdout(printed):
        if not stdin.isatty():
            sys.stdin = io.StringIO()
        try:
            yield printed
        finally:
            sys.stdin = stdin
