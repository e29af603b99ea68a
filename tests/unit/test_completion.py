"""`partman completion` gives a shell what it needs."""

import subprocess

import pytest

from tests.support import clean_environment, run


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("partman pl", ["plan"]),
        ("partman server s", ["start", "status", "stop"]),
        ("partman plan --fail-on blocks-", ["blocks-reads", "blocks-writes"]),
    ],
)
def test_bash_completes_what_is_typed(typed: str, offered: list[str]) -> None:
    words = typed.split(" ")
    script = (
        f'eval "$(partman completion bash)"; COMP_WORDS=({typed}); COMP_CWORD={len(words) - 1};'
        ' _partman_completion partman; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    completed = subprocess.run(
        ["bash", "-c", script],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert sorted(completed.stdout.split()) == offered, completed.stderr


@pytest.mark.parametrize(("shell", "word"), [("zsh", "compdef"), ("fish", "complete --command")])
def test_there_is_a_script_for_other_shells(shell: str, word: str) -> None:
    completed = run("partman", "completion", shell, environment={})
    assert completed.code == 0
    assert word in completed.stdout
    assert f"_PARTMAN_COMPLETE=complete_{shell}" in completed.stdout


def test_no_other_shell_is_taken_for_one() -> None:
    assert run("partman", "completion", "csh", environment={}).code == 2
