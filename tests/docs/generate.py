"""Generate parts of the documents from the code: python -m tests.docs.generate

They are between ``<!-- generated: NAME -->`` and ``<!-- end -->``.
"""

import ast
import inspect
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import fields
from enum import Enum
from pathlib import Path
from typing import Any

from partman.audit import project_audit
from partman.database import embedded
from partman.errors import ExitCode
from partman.serve.settings import SHORTEST_SECRET
from partman.settings import (
    POLICIES,
    Environment,
    LogFormat,
    Policy,
    Pooling,
    Preflight,
    Settings,
)
from tests import shared
from tests.corpus.exceptions import EXCEPTIONS
from tests.docs import rooms_picture, schema
from tests.docs.command_tree import root, subcommands
from tests.docs.markdown import Document, documents, table
from tests.keeper import kept
from tests.support import SERVER_VARIABLE

_SECTION = re.compile(r"(<!-- generated: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)

_OF_A_POLICY = {
    "PARTMAN_LOCK_WAIT": "lock_wait",
    "PARTMAN_LOCK_TIMEOUT": "lock_timeout",
    "PARTMAN_STATEMENT_TIMEOUT": "statement_timeout",
    "PARTMAN_STEP_PATIENCE": "step_patience",
}
"""Variables that change one number of the environment's policy."""

_OTHERS = {
    "DATABASE_URL": (
        "Where the database is, as `postgresql://user:password@host:5432/database`, with the "
        "driver's query parameters (`sslmode`, `host` for a socket, …).",
        "the embedded server",
    ),
    "PARTMAN_APP_DATABASE_URL": (
        "The same database with the application's login, where one process also runs migrations: "
        "Piccolo's queries and `tenant()` use it, commands use `DATABASE_URL`.",
        "`DATABASE_URL`; on the embedded server, the tenancy's role `api`",
    ),
    "PARTMAN_ENV": (
        f"What kind of database it is: {', '.join(f'`{name}`' for name in Environment)}.",
        "`production` with a `DATABASE_URL`, `development` without",
    ),
    "PARTMAN_ALLOW_DATA_LOSS": (
        "IDs of migrations that may lose data, separated by spaces.",
        "none",
    ),
    "PARTMAN_PREFLIGHT": (
        "What edited, missing and late migrations do: "
        f"`{Preflight.STOP}` keeps a run from starting, `{Preflight.WARN}` lets it go on.",
        "see the table below",
    ),
    "PARTMAN_LOG_FORMAT": (
        f"`{LogFormat.HUMAN}`: lines to read; `{LogFormat.JSON}`: one JSON object a line.",
        f"`{LogFormat.HUMAN}`",
    ),
    "PARTMAN_PROGRESS": (
        "`off`: long commands do not say how far they are. They do on a terminal, in a line that "
        "is rewritten, and elsewhere on standard error every ten seconds.",
        "they say it",
    ),
    "PARTMAN_POOLING": (
        f"What the application connects through: `{Pooling.TRANSACTION}` for a proxy that gives "
        "each transaction to another server process (pgbouncer in transaction mode), "
        f"`{Pooling.NONE}` for the server itself or a proxy in session mode.",
        f"`{Pooling.NONE}`",
    ),
    "PARTMAN_POOL_WAIT": (
        "How long the application waits for a connection of a full pool, before it gets a "
        "`PoolFullError` that names the blocks which hold them; 0 is for ever. In seconds.",
        f"{Settings.pool_wait:g} s",
    ),
    "PARTMAN_DATA_DIR": (
        "Where the embedded server keeps its files, and what was read and built is kept.",
        "`.partman/`",
    ),
    "PARTMAN_REVISION": (
        "The git revision that the history records, where there is no checkout to ask.",
        "the checkout's",
    ),
    "PARTMAN_SECRET": (
        f"Of `partman serve`: {SHORTEST_SECRET} or more secret characters, the same in "
        "every instance. Another one ends all sessions.",
        "one of each process's own in development and test; needed in staging and production",
    ),
    "PARTMAN_HOSTS": (
        "Of `partman serve`: the names under which its pages are reached, without a port, "
        "separated by spaces or commas. `/health/*` and `/metrics` answer to any name.",
        "`localhost 127.0.0.1 [::1]`",
    ),
    "PARTMAN_TRUSTED_PROXIES": (
        "Of `partman serve`: the addresses and networks, separated by spaces or commas, whose "
        "`X-Forwarded-For` and `X-Forwarded-Proto` are believed.",
        "nobody's are",
    ),
    "PARTMAN_REHEARSE_ON": (
        "Of `partman rehearse`: the same as `--on`, out of the list of processes.",
        "partman makes a copy",
    ),
    "PARTMAN_MASK_KEY": (
        "Of `partman rehearse --mask`: the key of the hashes that replace personal values.",
        "a new one for each rehearsal",
    ),
}
"""All other variables: meaning and default."""


def variables() -> str:
    """Return the table of environment variables."""
    docs = attribute_docs(Policy)
    rows = [(f"`{name}`", *described) for name, described in _OTHERS.items()]
    rows += [
        (f"`{name}`", f"{docs[field]} In seconds.", _by_environment(field))
        for name, field in _OF_A_POLICY.items()
    ]
    return table(("variable", "meaning", "when it is not set"), rows)


def environments() -> str:
    """Return the table of what each environment allows, and its timeouts."""
    docs = attribute_docs(Policy)
    variable_of = {field: name for name, field in _OF_A_POLICY.items()}
    variable_of["strict_preflight"] = "PARTMAN_PREFLIGHT"
    variable_of["data_loss"] = "PARTMAN_ALLOW_DATA_LOSS"
    rows = [
        (
            docs[field.name],
            *(_value(getattr(POLICIES[name], field.name)) for name in Environment),
            f"`{variable_of[field.name]}`" if field.name in variable_of else "",
        )
        for field in fields(Policy)
    ]
    return table(("", *Environment, "changed by"), rows)


def exit_codes() -> str:
    """Return the table of exit codes."""
    docs = attribute_docs(ExitCode)
    rows = [(str(code.value), f"`{code.name}`", docs.get(code.name, "Done.")) for code in ExitCode]
    return table(("code", "name", "meaning"), rows)


def audit_rules() -> str:
    """Return the table of the rules of ``partman check``."""
    audit = project_audit()
    assert audit is not None
    return table(("rule", "why it matters"), [(f"`{rule.name}`", rule.why) for rule in audit.rules])


def commands() -> str:
    """Return all commands, with their arguments and options."""
    return "\n\n".join(_command("partman", root()))


def oracle_exceptions() -> str:
    rows = [(f"{what[0].upper()}{what[1:]}", why) for what, why in EXCEPTIONS]
    return table(("What", "Why"), rows)


GENERATED: dict[str, Callable[[], str]] = {
    "variables": variables,
    "environments": environments,
    "exit-codes": exit_codes,
    "audit-rules": audit_rules,
    "commands": commands,
    "oracle-exceptions": oracle_exceptions,
    "schema-diagram": schema.diagram,
    "schema-tables": schema.reference,
    "schema-functions": schema.functions,
}


def brought_up_to_date(document: Document) -> str:
    """Return the document's text with newly generated parts."""
    return _SECTION.sub(
        lambda found: f"{found[1]}\n{GENERATED[found[2]]()}\n\n{found[3]}", document.text
    )


def write_picture(path: Path, picture: str) -> bool:
    """Write the picture if it has changed; return whether it has."""
    if path.exists() and path.read_text("utf-8") == picture:
        return False
    path.write_text(picture, "utf-8")
    return True


def attribute_docs(of: type) -> dict[str, str]:
    """Return the docstrings below a class's attributes, each in one line."""
    [body] = ast.parse(inspect.getsource(of)).body
    assert isinstance(body, ast.ClassDef)
    docs = {}
    for attribute, docstring in zip(body.body, body.body[1:], strict=False):
        target = getattr(attribute, "target", None) or (getattr(attribute, "targets", [None])[0])
        if isinstance(target, ast.Name) and isinstance(docstring, ast.Expr):
            docs[target.id] = _code(" ".join(ast.literal_eval(docstring.value).split()))
    return docs


def _by_environment(field: str) -> str:
    names: dict[str, list[str]] = {}
    for name in Environment:
        names.setdefault(_value(getattr(POLICIES[name], field)), []).append(name)
    return "; ".join(f"{value} in {' and '.join(where)}" for value, where in names.items())


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "no limit" if value == 0 else f"{value:g} s"


def _code(text: str) -> str:
    return re.sub(r"(?<!`)\b(PARTMAN_\w+)", r"`\1`", text.replace("``", "`"))


def _command(name: str, command: Any, depth: int = 2) -> Iterator[str]:
    if depth > 2:
        yield f"{'#' * depth} {name}"
        yield inspect.cleandoc(command.help or "").replace("\b", "")
    parameters = [p for p in command.params if p.name not in _TYPERS_OWN]
    arguments = "".join(f" {p.name.upper()}" for p in parameters if _is_argument(p))
    options = [p for p in parameters if not _is_argument(p)]
    commands = subcommands(command)
    if not commands:
        passed_on = "" if command.options_metavar == "[OPTIONS]" else f" {command.options_metavar}"
        yield f"`{name}{' [OPTIONS]' if options else ''}{arguments}{passed_on}`"
    rows = [(p.name.upper(), p.help, "needed") for p in parameters if _is_argument(p)]
    rows += [(f"`{', '.join(p.opts)}`", p.help, _default(p)) for p in options]
    if rows:
        yield table(("", "meaning", "default"), rows)
    for subname, subcommand in commands.items():
        yield from _command(f"{name} {subname}", subcommand, depth + 1)


_TYPERS_OWN = {"help", "install_completion", "show_completion"}


def _is_argument(parameter: Any) -> bool:
    return bool(parameter.param_type_name == "argument")


def _default(option: Any) -> str:
    if isinstance(option.show_default, str):
        return option.show_default
    if option.default in (None, False) or callable(option.default):
        return ""
    default = option.default.value if isinstance(option.default, Enum) else option.default
    return f"{default:g}" if isinstance(default, float) else str(default)


def main() -> None:
    """Update the documents, and say which have changed."""
    for each in documents():
        if (text := brought_up_to_date(each)) != each.text:
            each.path.write_text(text, "utf-8")
            print(each.name)
    for drawn in (schema, rooms_picture):
        if write_picture(drawn.PICTURE, drawn.picture()):
            print(drawn.PICTURE.name)


if __name__ == "__main__":
    own_folder = shared.create_folder()
    with kept(own_folder, shared.prefix(), os.environ.get(SERVER_VARIABLE)):
        if SERVER_VARIABLE not in os.environ:
            # Not the checkout's server, which is the developer's.
            os.environ[SERVER_VARIABLE] = embedded.start(own_folder)
        main()
