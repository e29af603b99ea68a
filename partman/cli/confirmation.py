"""Ask before something is lost."""

import typer

from partman.errors import AnswerNeededError


def confirm(question: str, without: str, outcome: str = "Nothing was changed.") -> None:
    """Go on if the answer is yes; exit with 1 if it is no.

    ``without`` is the command that does not ask. Raises AnswerNeededError where nobody answers.
    """
    try:
        sure = typer.confirm(question)
    except typer.Abort as error:
        raise AnswerNeededError(
            f"The question was not answered. {outcome} Run it without a question: {without}"
        ) from error
    if not sure:
        typer.echo(outcome)
        raise typer.Exit(1)
