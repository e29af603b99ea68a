"""The commands in the documents work as shown."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.docs.command_tree import root, subcommands
from tests.docs.covered import COVERED
from tests.docs.environments import Clone, follow_document
from tests.docs.following import Followed, is_as_shown
from tests.docs.markdown import Document, Step, documents
from tests.support import ROOT

DOCUMENTS = documents()
TO_FOLLOW = [document for document in DOCUMENTS if document.steps]
LANGUAGES = {"console", "diff", "json", "mermaid", "python", "sh", "sql", "text", "yaml"}
CODE = re.compile(r"`((?:partman|make|piccolo) [^`\n]+)`")


@pytest.mark.parametrize("document", TO_FOLLOW, ids=lambda document: document.name)
def test_commands_do_what_is_shown(
    document: Document, clone: Clone, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    steps = document.steps
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    done = follow_document(document, clone, scratch)
    if pytestconfig.getoption("--record", default=False):
        record(document, steps, done)
    for step, followed in zip(steps, done, strict=False):
        assert followed.code == step.exit_code, f"{step.script}\n{followed.output}"
        if step.output is not None:
            assert is_as_shown(step.output, followed.output), f"{step.script}\n{followed.output}"
    assert len(done) == len(steps)


def record(document: Document, steps: list[Step], done: list[Followed]) -> None:
    """Write the actual output into the document where it differs."""
    text = document.text
    for step, followed in reversed(list(zip(steps, done, strict=False))):
        if step.output is not None and not is_as_shown(step.output, followed.output):
            lines = re.sub(r" +$", "", followed.output, flags=re.MULTILINE).strip("\n")
            after = text[step.start + len(step.output) :]
            text = text[: step.start] + (f"{lines}\n" if lines else "") + after
    document.path.write_text(text, "utf-8")


def test_every_other_command_is_run_somewhere_else() -> None:
    shown = {
        re.sub(r"\s+#.*", "", line)
        for document in DOCUMENTS
        for block in document.blocks
        if block.language == "sh"
        for line in block.text.splitlines()
        if line and not line.startswith("#")
    }
    assert shown == COVERED.keys()


@pytest.mark.parametrize("covers", sorted(set(COVERED.values())))
def test_the_named_covering_tests_exist(covers: str) -> None:
    path, _, name = covers.partition("::")
    if path.startswith("tests/"):
        text = (ROOT / path).read_text("utf-8")
        assert not name or f"def {name}(" in text


def test_every_block_says_what_it_is() -> None:
    found = {block.language for document in DOCUMENTS for block in document.blocks}
    assert found <= LANGUAGES


def test_no_command_hides_in_a_block_of_another_kind() -> None:
    hidden = [
        line
        for document in DOCUMENTS
        for block in document.blocks
        if block.language not in {"console", "sh"}
        for line in block.text.splitlines()
        if line.startswith("$ ")
    ]
    assert hidden == []


def test_python_in_the_documents_is_python() -> None:
    for document in DOCUMENTS:
        for block in document.blocks:
            if block.language == "python":
                ast.parse(block.text, filename=document.name)


def test_yaml_in_the_documents_is_yaml() -> None:
    for document in DOCUMENTS:
        for block in document.blocks:
            if block.language == "yaml":
                assert YAML(typ="safe").load(block.text), document.name


def test_commands_in_the_text_exist() -> None:
    unknown = [
        f"{document.name}: {command}"
        for document in DOCUMENTS
        for command in CODE.findall(document.prose)
        if not exists(command)
    ]
    assert unknown == []


def test_every_command_has_an_example() -> None:
    without = [name for name, command in all_commands() if "Example: `" not in command.help]
    assert without == []


def all_commands() -> Iterator[tuple[str, Any]]:
    """Return the commands that can be run, without groups."""
    to_look_at = [("partman", root())]
    while to_look_at:
        name, command = to_look_at.pop()
        commands = subcommands(command)
        to_look_at += [(f"{name} {sub}", each) for sub, each in commands.items()]
        if not commands:
            yield name, command


def exists(command: str) -> bool:
    """Whether the command exists; its arguments are ignored."""
    program, *words = shlex.split(command)
    if program == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        return words[0] in targets
    if program == "piccolo":
        return words[0] in {"migrations", "shell", "sql_shell", "schema", "fixtures"}
    found = root()
    for word in words:
        commands = subcommands(found)
        if not commands or word == "COMMAND" or word.startswith("-"):
            return True
        if word not in commands:
            return False
        found = commands[word]
    return True
