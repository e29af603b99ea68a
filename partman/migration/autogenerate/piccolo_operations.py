"""What Piccolo's own auto migration would do, asked for in pieces."""

import ast
import contextlib
import io
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from piccolo.apps.migrations.auto.schema_differ import AlterStatements
from piccolo.apps.migrations.commands.new import AutoMigrationManager
from piccolo.conf.apps import AppConfig

from partman.errors import AnswerNeededError

_CONSTRAINTS = ("add_constraint", "drop_constraint")


@dataclass(frozen=True)
class Operation:
    """A call of a method of the MigrationManager."""

    text: str
    """As Python: ``manager.add_column(...)``."""
    name: str
    table: str | None
    references: str | None
    """The table that a TenantForeignKey refers to."""

    @property
    def is_about_a_constraint(self) -> bool:
        """Whether it adds or drops a constraint of the table, beside the columns."""
        return self.name in _CONSTRAINTS


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
    questions. Raises AnswerNeededError where neither is there.
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
    return Operations(
        operations=tuple(_operation(text) for each in found for text in each.statements),
        imports=frozenset(_imports(found)),
        definitions=tuple(
            sorted({repr(each) for statements in found for each in statements.extra_definitions})
        ),
    )


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
        _referred(given.get("params")),
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
