"""``partman completion``."""

from enum import StrEnum
from typing import Annotated

import typer


class Shell(StrEnum):
    """The shells that there is a script for."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def completion(
    shell: Annotated[Shell, typer.Argument(help="Which shell.", show_default=False)],
) -> None:
    """Print what a shell needs to complete partman's commands and options with the Tab key.

    For good, add this to what the shell reads when it starts:

    * bash, in `~/.bashrc`: `eval "$(partman completion bash)"`
    * zsh, in `~/.zshrc`, after `compinit`: `eval "$(partman completion zsh)"`
    * fish: `partman completion fish > ~/.config/fish/completions/partman.fish`

    Example: `eval "$(partman completion bash)"`
    """
    from typer._completion_shared import get_completion_script

    script = get_completion_script(
        prog_name="partman", complete_var="_PARTMAN_COMPLETE", shell=shell.value
    )
    typer.echo(script)
