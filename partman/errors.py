"""Everything that partman refuses to do, and the exit code of each refusal.

An error's message says what was found, what was not done and what to type next. It is
printed as it is, on the standard error, without a traceback; so it is written for the
person who typed the command. The codes are part of the interface: scripts rely on them.
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """How every ``partman`` and ``piccolo migrations`` process ends."""

    OK = 0
    NO = 1
    """The answer is no (something is pending), or the command failed."""
    USAGE = 2
    """The command line could not be understood."""
    SETTINGS = 3
    """An environment variable has a wrong value, or a needed one is missing."""
    UNAVAILABLE = 4
    """The database cannot be reached, or it does not let us in."""
    UNSUPPORTED = 5
    """The server is not one that partman works with."""
    PERMISSION = 6
    """The role may not do what the command has to do."""
    MIGRATION = 7
    """A migration failed. It was rolled back; those before it stay applied."""
    TRY_AGAIN = 8
    """A lock was not to be had in time. The migration was rolled back; run it again later."""
    LOCKED = 9
    """Another run held the migration lock until the patience was over. Nothing was done."""
    PREFLIGHT = 10
    """Files and ledger do not fit together. Nothing was run."""
    DATA_LOSS = 11
    """A migration would have lost data. It was rolled back."""


class PartmanError(Exception):
    """Base of all errors that are meant to be read by a person."""

    exit_code: ExitCode = ExitCode.NO


class SettingsError(PartmanError):
    """An environment variable has a wrong value, or a needed one is missing."""

    exit_code = ExitCode.SETTINGS


class WrongEngineError(SettingsError):
    """``piccolo_conf.DB`` is not partman's engine."""


class DatabaseUnavailableError(PartmanError):
    """No connection: no server, no such database, a wrong password, TLS refused."""

    exit_code = ExitCode.UNAVAILABLE

    def __init__(self, message: str, *, transient: bool = False) -> None:
        super().__init__(message)
        self.transient = transient
        """Whether waiting may help: true for a server that is not up yet."""


class UnsupportedServerError(PartmanError):
    """The server answers, but is too old."""

    exit_code = ExitCode.UNSUPPORTED


class PermissionDeniedError(PartmanError):
    """The role may not do what the command has to do."""

    exit_code = ExitCode.PERMISSION


class EmbeddedServerError(PartmanError):
    """The embedded server cannot be installed, started or stopped."""

    exit_code = ExitCode.UNAVAILABLE


class MigrationFailedError(PartmanError):
    """A statement of a migration failed, and with it the migration."""

    exit_code = ExitCode.MIGRATION


class TryAgainError(MigrationFailedError):
    """A statement waited for a lock as long as it may."""

    exit_code = ExitCode.TRY_AGAIN


class SchemaInMotionError(PartmanError):
    """The schema was being changed all the while it was read."""

    exit_code = ExitCode.TRY_AGAIN


class LockHeldError(PartmanError):
    """Another run holds the migration lock."""

    exit_code = ExitCode.LOCKED


class PreflightError(PartmanError):
    """Files and ledger do not fit together."""

    exit_code = ExitCode.PREFLIGHT


class DataLossError(PartmanError):
    """A migration lost data, where that is not allowed."""

    exit_code = ExitCode.DATA_LOSS


class RuleViolatedError(MigrationFailedError):
    """Rows that are there violate a rule that a migration is about to introduce."""


class BuildFailedError(PartmanError):
    """A scratch database cannot be built as the table classes, or the migrations, say."""


class NotAdoptableError(PartmanError):
    """The database is not one whose migrations can be recorded without being run."""


class AnswerNeededError(PartmanError):
    """A question has to be answered, and nobody is there to be asked."""

    exit_code = ExitCode.USAGE


class NotExpressibleError(PartmanError):
    """The table classes and the migrations differ in a way that no statement is known for."""


class StepUncertainError(MigrationFailedError):
    """Nobody can tell whether an interrupted step of an online migration took effect."""


class CannotListenError(PartmanError):
    """The address to serve at is not to be had."""


class NotInstalledError(PartmanError):
    """A command needs packages that partman itself does without."""


class UnknownMigrationError(PartmanError):
    """No file has the ID that the command line names."""


class NotAllowedError(PartmanError):
    """The environment does not allow the command."""


class NotIsolatedError(PartmanError):
    """The database was never migrated to where tenants are isolated."""


class TenancyError(PartmanError):
    """``tenant()`` is used in a way that would not keep tenants apart."""


class InvalidOrganizationIdError(TenancyError):
    """What is to be an organization's ID is none."""


class TenantNestingError(TenancyError):
    """``tenant()`` inside of something that it cannot be a part of."""


class TenantLeavingError(TenancyError):
    """A statement, or a call, that would go on outside of the tenant on the tenant's connection."""


class TenantOverError(TenancyError):
    """A query in a ``tenant()`` block that has ended."""


class TenantRolledBackError(TenancyError):
    """A ``tenant()`` block ended well, but the server had undone it after an error in it."""
