"""The tenancy of a project: one value from which the isolation is derived."""

import keyword
from collections import Counter
from dataclasses import dataclass, field, fields
from enum import StrEnum

from partman.errors import SettingsError
from partman.grammar.names import is_plain

_SYSTEM_COLUMNS = {"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"}


class Key(StrEnum):
    """The type of a tenant's ID, as PostgreSQL names it."""

    UUID = "uuid"
    INTEGER = "integer"
    BIGINT = "bigint"
    TEXT = "text"


@dataclass(frozen=True)
class Roles:
    """The roles of a multi-tenant database. None: the project does not use that role."""

    app: str = "partman_app"
    """Runs the application's statements, inside ``tenant()``."""
    api: str = "partman_api"
    """The login of the application. It has no privileges of its own on tables."""
    auth: str | None = "partman_auth"
    """Owns the functions that find a tenant before one is known."""
    seed: str | None = "partman_seed"
    """Loads the development data."""
    console: str | None = "partman_console"
    """Runs the console: a tenant's rows only inside ``tenant()``."""
    operator: str | None = None
    """Creates, deactivates, deletes, exports and imports tenants: see ``partman.operator``."""
    reports: str | None = None
    """Reads what the project's reports show of all tenants, and changes nothing."""

    @classmethod
    def named(cls, prefix: str) -> "Roles":
        """Return the five usual roles with a prefix: ``shop`` gives shop_app, shop_api, ...

        For the others: ``replace(Roles.named("shop"), operator="shop_operator")``.
        """
        usual = [each.name for each in fields(cls) if each.default is not None]
        return cls(**{name: f"{prefix}_{name}" for name in usual})

    @property
    def all(self) -> tuple[str, ...]:
        """The roles that the project uses."""
        return self.those_of("app", "api", "auth", "seed", "console", "operator", "reports")

    @property
    def logins(self) -> tuple[str, ...]:
        """The roles that become the app role and have no privileges of their own on rows."""
        return self.those_of("api", "console")

    def those_of(self, *kinds: str) -> tuple[str, ...]:
        """Return the names of the roles of some kinds, without unused ones."""
        names = (getattr(self, kind) for kind in kinds)
        return tuple(name for name in names if name is not None)


@dataclass(frozen=True)
class Tenancy:
    """The table of the tenants, and how rows of other tables refer to their tenant.

    All names are plain SQL names: lower case and no keyword, so that they need no quotes. Raises
    SettingsError for others.
    """

    table: str = "organizations"
    """The table of the tenants; its primary key is ``id``."""
    column: str = "organization_id"
    """The column of every other tenant table that refers to the table of the tenants."""
    key: Key = Key.UUID
    """The type of both."""
    roles: Roles = field(default_factory=Roles)
    setting: str = "partman.organization_id"
    """The session setting with the ID of the current tenant; set for one transaction."""

    def __post_init__(self) -> None:
        """Reject names that need quotes or that the server would not accept."""
        if not isinstance(self.roles, Roles):
            raise _error("roles", self.roles, "is not a Roles. Use Roles.named('shop')")
        try:
            object.__setattr__(self, "key", Key(self.key))
        except ValueError as error:
            kinds = ", ".join(f"Key.{kind.name}" for kind in Key)
            raise _error(
                "key", self.key, f"is not a type of a key. It must be one of {kinds}"
            ) from error
        _check_name("table", self.table)
        _check_name("column", self.column)
        if self.column == "id" or self.column in _SYSTEM_COLUMNS or self.column.startswith("_"):
            raise _error("column", self.column, "is already used, or not allowed as a column name")
        self._check_roles()
        self._check_setting()

    @property
    def attribute(self) -> str:
        """The table classes' attribute for the reference: ``account`` for account_id."""
        short = self.column.removesuffix("_id")
        return self.column if keyword.iskeyword(short) else short

    def _check_roles(self) -> None:
        for role in fields(self.roles):
            name = getattr(self.roles, role.name)
            if name is None and role.name not in {"app", "api"}:
                continue
            _check_name(f"roles.{role.name}", name)
            if name == "public" or name.startswith("pg_"):
                raise _error(f"roles.{role.name}", name, "is a name that PostgreSQL reserves")
        [(name, times)] = Counter(self.roles.all).most_common(1)
        if times > 1:
            raise _error("roles", name, "is the name of two roles. Each role needs its own name")

    def _check_setting(self) -> None:
        prefix, _, name = str(self.setting).partition(".")
        if not (is_plain(prefix) and is_plain(name)):
            raise _error(
                "setting",
                self.setting,
                "does not have the form prefix.name, of two lower-case words that are no keywords",
            )
        if prefix == "plpgsql":
            raise _error("setting", self.setting, "has a prefix that PostgreSQL reserves")


def _check_name(what: str, name: object) -> None:
    if not isinstance(name, str) or not is_plain(name):
        raise _error(
            what,
            name,
            "is not a plain SQL name: up to 63 lower-case letters, digits and underscores, and no "
            "keyword of SQL",
        )


def _error(what: str, value: object, problem: str) -> SettingsError:
    return SettingsError(
        f"Tenancy: {what} = {value!r} {problem}. Nothing was done. Correct the Tenancy that "
        "piccolo_conf.py gives to PartmanEngine."
    )
