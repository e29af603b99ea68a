"""Piccolo columns whose catalog entry equals that of the SQL schema.

Piccolo writes ``DEFAULT null`` for a column without a default. PostgreSQL stores that as a default
expression, ``NULL::character varying``, if the type has a length or a precision, so the column
would differ from one declared without a default. And Piccolo's ``TimestamptzNow`` is
``CURRENT_TIMESTAMP``, which the catalog distinguishes from ``now()``.

The classes keep Piccolo's names because Piccolo derives the column type from them.
"""

from piccolo.columns import Numeric as PiccoloNumeric
from piccolo.columns import Varchar as PiccoloVarchar
from piccolo.columns.defaults.timestamptz import TimestamptzNow

from partman.isolation import TenantReference

__all__ = ["Now", "Numeric", "TenantReference", "Varchar"]

_NO_DEFAULT = " DEFAULT null"


class Varchar(PiccoloVarchar):
    """``VARCHAR(n)``, without a default unless one is given."""

    @property
    def ddl(self) -> str:
        """The column in CREATE TABLE."""
        return super().ddl.removesuffix(_NO_DEFAULT)


class Numeric(PiccoloNumeric):
    """``NUMERIC(p, s)``, without a default unless one is given."""

    @property
    def ddl(self) -> str:
        """The column in CREATE TABLE."""
        return super().ddl.removesuffix(_NO_DEFAULT)


class Now(TimestamptzNow):
    """The start of the transaction, as ``now()``."""

    @property
    def postgres(self) -> str:
        """The expression of the default."""
        return "now()"
