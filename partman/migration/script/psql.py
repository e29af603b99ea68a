"""Commands for psql."""

from partman.grammar.names import literal


def sent_by_psql(sql: str) -> str:
    """Return a command for psql that sends this SQL as it is.

    psql replaces ``:name`` by the value of its variable, and takes a backslash for a command of its
    own, but in a string it does neither. So SQL that may have either is a string, whose value psql
    sends.
    """
    text = sql.strip()
    if not _is_plain(text):
        return f"SELECT {literal(text)} \\gexec"
    if text.endswith(";"):
        return text
    # The last line may be a comment.
    return f"{text}\n;" if "--" in text.rpartition("\n")[2] else f"{text};"


def _is_plain(text: str) -> bool:
    """Whether psql changes nothing in a text, wherever its strings begin and end."""
    after_colons = text.replace("::", "").split(":")[1:]
    return not {"\\", "\r"} & {*text} and all(
        not part or part[0].isspace() or part[0] == "=" for part in after_colons
    )


def refuse_if(condition: str, message: str) -> str:
    """Return a command that ends the script with a message if a condition in SQL is true."""
    return do_block(
        "",
        f"""
    IF {condition} THEN
        RAISE EXCEPTION '%', {literal(message)};
    END IF;
""",
    )


def do_block(declarations: str, body: str) -> str:
    """Return a DO block in PL/pgSQL."""
    declared = f"DECLARE{declarations}" if declarations else ""
    # psql changes nothing between dollar quotes.
    return f"DO {_dollar_quoted(f'{chr(10)}{declared}BEGIN{body}END{chr(10)}')};"


def echo(text: str) -> str:
    """Return a command that prints a line."""
    escaped = text.replace("\\", "\\\\").replace("'", "''")
    return f"\\echo '{escaped}'"


def _dollar_quoted(text: str) -> str:
    """Return a dollar-quoted string, with a tag that the text does not have."""
    tag = "$partman$"
    while tag in text:
        tag = f"{tag[:-1]}x$"
    return f"{tag}{text}{tag}"
