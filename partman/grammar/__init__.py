"""What a SQL statement is, according to PostgreSQL's own grammar."""

from partman.grammar.statements import NotParsedError, ParsedStatement, parse, same_meaning

__all__ = ["NotParsedError", "ParsedStatement", "parse", "same_meaning"]
