"""Every error that partman reports to a person, with its exit code.

A message has three parts: what failed, the state of the database, what to do next. It is printed
to standard error without a traceback. Exit codes are part of the interface: scripts rely on them.
"""

from collections.abc import Mapping
from enum import IntEnum
from pathlib import Path
from typing import Any


class ExitCode(IntEnum):
    """Exit codes of ``partman`` and ``piccolo migrations``."""

    OK = 0
    NO = 1
    """The answer is no (something is pending), or the command failed."""
    USAGE = 2
    """The command line is not valid."""
    SETTINGS = 3
    """An environment variable has an invalid value, or the project cannot be imported."""
    UNAVAILABLE = 4
    """The database cannot be reached, or it rejected the login."""
    UNSUPPORTED = 5
    """The server is not supported."""
    PERMISSION = 6
    """The role lacks a privilege that the command needs."""
    MIGRATION = 7
    """A migration failed and was rolled back. Earlier migrations stay applied."""
    TRY_AGAIN = 8
    """A lock was not granted in time. The migration was rolled back; run it again later."""
    LOCKED = 9
    """Another run held the migration lock for the whole wait time. Nothing was done."""
    PREFLIGHT = 10
    """Migration files and ledger do not match. Nothing was run."""
    DATA_LOSS = 11
    """A migration would have lost data. It was rolled back."""


class PartmanError(Exception):
    """Base class of all errors that are written for a person to read."""

    exit_code: ExitCode = ExitCode.NO


class SettingsError(PartmanError):
    """An environment variable has an invalid value, or a required one is not set."""

    exit_code = ExitCode.SETTINGS


class UndeclaredPoolingError(SettingsError):
    """The database is behind a pooler in transaction mode, and no setting says so."""


class ProjectError(SettingsError):
    """``piccolo_conf``, or something that it names, cannot be imported."""


class OfferMissingError(ProjectError):
    """The module of something that an app offers is not installed."""


class NoProjectError(ProjectError):
    """The current folder is not a project's."""


class WrongEngineError(SettingsError):
    """``piccolo_conf.DB`` is not a ``PartmanEngine``."""


class DatabaseUnavailableError(PartmanError):
    """No connection: no server, no such database, a wrong password, or TLS failed."""

    exit_code = ExitCode.UNAVAILABLE

    def __init__(self, message: str, *, transient: bool = False) -> None:
        super().__init__(message)
        self.transient = transient
        """Whether a retry may succeed, as for a server that is still starting."""


class PoolFullError(DatabaseUnavailableError):
    """All connections of the pool were in use for the whole wait time."""

    def __init__(self, message: str) -> None:
        super().__init__(message, transient=True)


class WrongLoopError(PartmanError):
    """A connection or a pool was used in another event loop than its own."""


class UnsupportedServerError(PartmanError):
    """The server's version is not supported."""

    exit_code = ExitCode.UNSUPPORTED


class DistributedError(UnsupportedServerError):
    """Citus distributes tables of the database."""


class PermissionDeniedError(PartmanError):
    """The role lacks a privilege that the command needs."""

    exit_code = ExitCode.PERMISSION


class EmbeddedServerError(PartmanError):
    """The embedded server could not be installed, started or stopped."""

    exit_code = ExitCode.UNAVAILABLE


class MigrationFailedError(PartmanError):
    """A statement of a migration failed; the migration was rolled back."""

    exit_code = ExitCode.MIGRATION


class MigrationCodeError(MigrationFailedError):
    """The Python code of a migration raised an exception."""


class TransactionControlError(MigrationFailedError):
    """A migration begins or ends a transaction itself."""


class OutsideRunError(PartmanError):
    """A query was sent outside the connection of the migration run that is open."""

    exit_code = ExitCode.MIGRATION

    def __init__(self) -> None:
        super().__init__(
            "A query was started beside the migration run, in another thread or task, as "
            "run_sync() and asyncio.gather() do. It was not sent. In a migration, await queries "
            "one after the other: await Band.delete(force=True)"
        )


class TryAgainError(MigrationFailedError):
    """A lock timeout, a deadlock or a serialization failure ended a migration."""

    exit_code = ExitCode.TRY_AGAIN

    def __init__(self, reason: str, in_the_way: frozenset[str] = frozenset()) -> None:
        super().__init__(f"{reason} Run the migrations again later.")
        self.reason = reason
        """What happened, without what to do."""
        self.in_the_way = in_the_way
        """The names of the sessions that were waited for."""


class ConcurrentSchemaChangeError(PartmanError):
    """Other sessions kept changing the schema while it was being read."""

    exit_code = ExitCode.TRY_AGAIN


class LockHeldError(PartmanError):
    """Another run holds the migration lock."""

    exit_code = ExitCode.LOCKED


class PreflightError(PartmanError):
    """Migration files and ledger do not match."""

    exit_code = ExitCode.PREFLIGHT


class UnreadableMigrationError(PreflightError):
    """A migration file cannot be compiled or imported."""

    def __init__(self, app: str, path: Path, reason: str) -> None:
        super().__init__(
            f"The migration file {path} cannot be read: {reason}. Nothing was run. Correct it, or "
            "move it out of the folder."
        )
        self.app = app
        self.path = path
        self.reason = reason


class DataLossError(PartmanError):
    """A migration would lose data, and that is not allowed."""

    exit_code = ExitCode.DATA_LOSS


class RequirementViolatedError(MigrationFailedError):
    """Existing rows violate a constraint that a migration is about to add."""


class BuildFailedError(PartmanError):
    """A scratch database cannot be built from the table classes or the migrations."""


class NotAdoptableError(PartmanError):
    """The schema does not match the migrations that would be recorded as applied."""


class AnswerNeededError(PartmanError):
    """A command needs an answer, and standard input is not a terminal."""

    exit_code = ExitCode.USAGE


class NotExpressibleError(PartmanError):
    """No known statement makes the migrations equal to the table classes."""


class StepFailedError(MigrationFailedError):
    """A step of an online migration failed, and something of it is left."""


class StepOutcomeUnknownError(MigrationFailedError):
    """An interrupted step of an online migration may or may not have taken effect."""


class PgDumpFailedError(PartmanError):
    """pg_dump was found, and could not read a database."""


class RehearsalError(PartmanError):
    """The copy for a rehearsal cannot be made, or not be used."""


class SampleError(RehearsalError):
    """The rows for a rehearsal cannot be chosen by tenant."""

    exit_code = ExitCode.USAGE


class MaskError(RehearsalError):
    """What is personal cannot be replaced in a copy."""


class CannotListenError(PartmanError):
    """Cannot bind the listen address."""


class NotInstalledError(PartmanError):
    """A command needs an optional package that is not installed."""


class UnknownMigrationError(PartmanError):
    """No migration, or more than one, has the ID given on the command line."""


class UnknownAppError(PartmanError):
    """The command line names an app that the project does not have."""

    exit_code = ExitCode.USAGE


class NotAllowedError(PartmanError):
    """The command is not allowed in this environment."""


class TableDeclarationError(PartmanError):
    """A table class does not fit the project's tenancy, or no app has registered it."""


class NotIsolatedError(PartmanError):
    """The database has no tenant isolation: its migration is not applied."""


class TenancyError(PartmanError):
    """``tenant()`` is used in a way that would break tenant isolation."""


class NoTenancyError(TenancyError):
    """``tenant()`` is used in a project that has declared no Tenancy."""

    exit_code = ExitCode.SETTINGS


class InvalidTenantIdError(TenancyError):
    """Not a valid tenant ID."""


class TenantNestingError(TenancyError):
    """``tenant()`` is used inside a block that it cannot be part of."""


class TenantLeavingError(TenancyError):
    """A statement or call would leave the tenant on the tenant's connection."""


class TenantYieldError(TenancyError):
    """A ``tenant()`` block is around a ``yield``, whose consumer would be in the block."""


class TenantTimeoutError(TenancyError):
    """The server has ended the session of a ``tenant()`` block that took too long."""


class TenantColumnError(TenancyError):
    """A column that never changes, such as the one that refers to the tenant, was changed."""

    exit_code = ExitCode.PERMISSION


class NotRoutedError(TenancyError):
    """A query cannot be sent to the one shard of a distributed database that has its rows."""


class TenantsFailedError(PartmanError):
    """A job that ran for many tenants failed for some of them."""


class TenantOverError(TenancyError):
    """A query was sent after its ``tenant()`` block had ended."""


class TenantRolledBackError(TenancyError):
    """A ``tenant()`` block ended without an exception, but the server had rolled it back."""


class RowRefusedError(PartmanError):
    """A row of ``bulk_insert()`` is not valid; none of the rows were inserted."""

    def __init__(self, message: str, index: int, values: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.index = index
        """The index of the row among those given, from 0."""
        self.values = values
        """What was sent, by column; secret values are left out. Empty if nothing was sent."""


class TenantNotFoundError(PartmanError):
    """There is no such tenant."""


class TenantRefusedError(PartmanError):
    """The database refuses a value of a tenant that is to be created or changed."""

    def __init__(self, message: str, constraint: str | None = None) -> None:
        super().__init__(message)
        self.constraint = constraint
        """The name of the constraint that is violated, if it is one."""


class TenantNameTakenError(TenantRefusedError):
    """Another tenant has the name, such as the subdomain."""


class TenantChangedError(PartmanError):
    """A tenant is no longer what somebody agreed to delete."""

    exit_code = ExitCode.TRY_AGAIN


class TryAgainLaterError(PartmanError):
    """Another session has locked what a command needs."""

    exit_code = ExitCode.TRY_AGAIN


class TenantFileError(PartmanError):
    """The file of an exported tenant cannot be written, cannot be read, or is not whole."""


class TenantNotPortableError(PartmanError):
    """There is no order in which the rows of a tenant could be inserted again."""


class TenantExistsError(PartmanError):
    """A tenant that is to be imported is there already."""


class TenantImportRefusedError(PartmanError):
    """The database cannot take the rows of an exported tenant."""
