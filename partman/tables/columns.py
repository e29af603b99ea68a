"""Piccolo columns that say in the catalog exactly what the schema says.

Piccolo writes ``DEFAULT null`` for a column without a default. PostgreSQL keeps that as a
default expression, ``NULL::character varying``, when the type has a length or a precision, so
the column would no longer equal one that was declared without a default. And Piccolo's
``TimestamptzNow`` is ``CURRENT_TIMESTAMP``, which the catalog tells apart from ``now()``.

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
        """The column as CREATE TABLE says it."""
        return super().ddl.removesuffix(_NO_DEFAULT)


class Numeric(PiccoloNumeric):
    """``NUMERIC(p, s)``, without a default unless one is given."""

    @property
    def ddl(self) -> str:
        """The column as CREATE TABLE says it."""
        return super().ddl.removesuffix(_NO_DEFAULT)


class Now(TimestamptzNow):
    """The start of the transaction, as ``now()``."""

    @property
    def postgres(self) -> str:
        """The default's expression."""
        return "now()"
