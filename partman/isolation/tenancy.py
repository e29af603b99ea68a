"""How a project keeps its tenants apart, as one value that everything else is derived from."""

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
    """The roles of a multi-tenant database. None: the project has no use for that role."""

    app: str = "partman_app"
    """What the application's statements run as, inside of ``tenant()``."""
    api: str = "partman_api"
    """What the application logs in as. By itself it may do nothing."""
    auth: str | None = "partman_auth"
    """Owns the functions that find a tenant before one is known."""
    seed: str | None = "partman_seed"
    """What development data is loaded as."""
    console: str | None = "partman_console"
    """What the console works as: a tenant's rows only inside of ``tenant()``."""

    @classmethod
    def named(cls, prefix: str) -> "Roles":
        """Return the five roles with names of their own: ``shop`` gives shop_app, shop_api, ..."""
        return cls(**{each.name: f"{prefix}_{each.name}" for each in fields(cls)})

    @property
    def all(self) -> tuple[str, ...]:
        """Those that the project has."""
        return self.those_of("app", "api", "auth", "seed", "console")

    @property
    def logins(self) -> tuple[str, ...]:
        """Those that become the app role, and have no right on a tenant's row by themselves."""
        return self.those_of("api", "console")

    def those_of(self, *kinds: str) -> tuple[str, ...]:
        """Return the names of the roles of some kinds, without those that the project has not."""
        names = (getattr(self, kind) for kind in kinds)
        return tuple(name for name in names if name is not None)


@dataclass(frozen=True)
class Tenancy:
    """Which table holds the tenants, and how the rows of other tables say whose they are.

    All names are plain SQL names: lower case, and no keyword, so that they need no quotes. Raises
    SettingsError for others.
    """

    table: str = "organizations"
    """The table of the tenants; its primary key is ``id``."""
    column: str = "organization_id"
    """The column of every other tenant table that refers to it."""
    key: Key = Key.UUID
    """The type of both."""
    roles: Roles = field(default_factory=Roles)
    setting: str = "partman.organization_id"
    """The session setting that holds the ID of the current tenant; set for one transaction."""

    def __post_init__(self) -> None:
        """Refuse names that would have to be quoted, or that the server would not take."""
        if not isinstance(self.roles, Roles):
            raise _error("roles", self.roles, "is not a Roles. Give it as Roles.named('shop')")
        try:
            object.__setattr__(self, "key", Key(self.key))
        except ValueError as error:
            kinds = ", ".join(f"Key.{kind.name}" for kind in Key)
            raise _error("key", self.key, f"is no type of a key. It is one of {kinds}") from error
        _check_name("table", self.table)
        _check_name("column", self.column)
        if self.column == "id" or self.column in _SYSTEM_COLUMNS or self.column.startswith("_"):
            raise _error("column", self.column, "is taken, or no name for a column of tables")
        self._check_roles()
        self._check_setting()

    @property
    def attribute(self) -> str:
        """What table classes call the reference: ``account`` where the column is account_id."""
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
            raise _error("roles", name, "is the name of two roles. Each needs one of its own")

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
