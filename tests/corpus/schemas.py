"""The schemas of the corpus: which package each is in, and which of its files make it."""

import gzip
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.corpus.clients import psql
from tests.corpus.packages import Debian, Npm, Package, PyPI
from tests.support import Database


@dataclass(frozen=True)
class Schema:
    """SQL files of a package, in the order in which its own installer runs them."""

    name: str
    package: Package
    files: Sequence[str]
    """Patterns, in this order; the files of one pattern are sorted by name."""
    first: str = ""
    """SQL that the installer runs before the files."""
    roles: Sequence[str] = ()
    """Roles that the files expect, or create."""
    words: Mapping[str, str] = field(default_factory=dict)
    """Placeholders in the files, and what the installer puts in their place."""
    more: Sequence[Package] = ()
    """Packages with files that are needed too."""
    quick: bool = False
    """Whether the gate tries it too."""

    def load(self, database: Database) -> Sequence[str]:
        """Bring the schema into a database; return the errors. Raises NotToBeHadError."""
        return psql(database, "\n".join(sql for _, sql in self.steps()))

    def steps(self) -> Iterator[tuple[str, str]]:
        """Yield the name and the SQL of each file. Raises NotToBeHadError."""
        if self.first:
            yield "first", self.first
        for path in self._paths():
            text = _text(path)
            for placeholder, value in self.words.items():
                text = text.replace(placeholder, value)
            yield path.name.partition(".")[0], text

    def _paths(self) -> Iterator[Path]:
        folders = [package.folder() for package in (self.package, *self.more)]
        for pattern in self.files:
            found = [path for folder in folders for path in sorted(folder.glob(pattern))]
            assert found, f"{self.package} has no {pattern}"
            yield from found


def _text(path: Path) -> str:
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    lines = data.decode(errors="surrogateescape").splitlines()
    # The first line of an extension's script ends psql.
    return "\n".join(line for line in lines if not line.startswith("\\echo Use ")) + "\n"


def _extension(name: str, package: str, file: str, space: str) -> Schema:
    """Return the script of an extension, run as plain SQL, so that its objects are the owner's."""
    return Schema(
        name,
        Debian(package),
        [f"usr/share/postgresql/*/extension/{file}"],
        first=f"CREATE SCHEMA {space};\nSET search_path = {space}, public;\n",
        words={"@extschema@": space},
    )


def _extensions(*names: str) -> str:
    return "".join(f'CREATE EXTENSION "{name}";\n' for name in names)


_RADIUS = "etc/freeradius/3.0/mods-config/sql"
_CHADO = "usr/share/gmod/chado/modules/default_schema.sql"
_AWL, _DAVICAL = "usr/share/awl/dba", "usr/share/davical/dba"
_MESSAGES = "package/database"
_LEDGER = [
    "Settings",
    "Util",
    "App_Module",
    "Menu",
    "Entity",
    "Drafts",
    "Account",
    "Session",
    "Robot",
    "Business_type",
    "Business_Unit",
    "Location",
    "Company",
    "Customer",
    "Date",
    "Employee",
    "Payment",
    "Person",
    "PNL",
    "trial_balance",
    "Report",
    "Voucher",
    "admin",
    "Reconciliation",
    "TaxForm",
    "1099_reports",
    "EndOfYear",
    "Assets",
    "Files",
    "Parts",
    "COGS",
    "Budgetting",
    "Inventory",
    "Payroll",
    "Transaction_Templates",
    "OrderEntry",
    "Goods",
    "Templates",
    "Timecards",
    "PriceMatrix",
    "arap",
    "Backup",
]
_SYNAPSE = "synapse/storage/schema"

SCHEMAS = [
    # Debian
    Schema("kea", Debian("kea-admin"), ["usr/share/kea/scripts/pgsql/dhcpdb_create.pgsql"]),
    Schema(
        "zabbix", Debian("zabbix-server-pgsql"), ["usr/share/zabbix-server-pgsql/schema.sql.gz"]
    ),
    Schema(
        "bacula",
        Debian("bacula-director-pgsql"),
        ["usr/share/dbconfig-common/data/bacula-director-pgsql/install/pgsql"],
    ),
    Schema(
        "icinga-ido", Debian("icinga2-ido-pgsql"), ["usr/share/icinga2-ido-pgsql/schema/pgsql.sql"]
    ),
    Schema(
        "icingadb",
        Debian("icingadb"),
        ["usr/share/icingadb/schema/pgsql/schema.sql"],
        first=_extensions("citext"),
    ),
    Schema(
        "freeradius",
        Debian("freeradius-config"),
        [
            f"{_RADIUS}/main/postgresql/schema.sql",
            f"{_RADIUS}/main/postgresql/process-radacct.sql",
            f"{_RADIUS}/cui/postgresql/schema.sql",
            f"{_RADIUS}/moonshot-targeted-ids/postgresql/schema.sql",
            f"{_RADIUS}/ippool/postgresql/schema.sql",
            f"{_RADIUS}/ippool/postgresql/procedure.sql",
        ],
        quick=True,
    ),
    Schema(
        "freeradius-dhcp",
        Debian("freeradius-config"),
        [
            f"{_RADIUS}/dhcp/postgresql/schema.sql",
            f"{_RADIUS}/ippool-dhcp/postgresql/schema.sql",
            f"{_RADIUS}/ippool-dhcp/postgresql/procedure.sql",
        ],
    ),
    Schema(
        "freeradius-cisco",
        Debian("freeradius-config"),
        [f"{_RADIUS}/main/postgresql/extras/cisco_h323_db_schema.sql"],
    ),
    Schema(
        "roundcube",
        Debian("roundcube-core"),
        ["usr/share/roundcube/SQL/postgres.initial.sql"],
        quick=True,
    ),
    Schema(
        "powerdns",
        Debian("pdns-backend-pgsql"),
        ["usr/share/pdns-backend-pgsql/schema/schema.pgsql.sql"],
        quick=True,
    ),
    Schema(
        "jabberd2", Debian("jabberd2"), ["usr/share/doc/jabberd2/db-setup.pgsql.gz"], quick=True
    ),
    Schema("ejabberd", Debian("ejabberd"), ["usr/share/ejabberd/sql/pg.sql"]),
    Schema("ejabberd-new", Debian("ejabberd"), ["usr/share/ejabberd/sql/pg.new.sql"]),
    Schema(
        "rsyslog",
        Debian("rsyslog-pgsql"),
        ["usr/share/dbconfig-common/data/rsyslog-pgsql/install/pgsql"],
        quick=True,
    ),
    Schema("ulogd2", Debian("ulogd2"), ["usr/share/doc/ulogd2/pgsql-ulogd2.sql.gz"]),
    Schema("ulogd2-flat", Debian("ulogd2"), ["usr/share/doc/ulogd2/pgsql-ulogd2-flat.sql.gz"]),
    Schema(
        "kamailio",
        Debian("kamailio-postgres-modules"),
        [
            "usr/share/kamailio/postgres/standard-create.sql",
            "usr/share/kamailio/postgres/[!s]*-create.sql",
            "usr/share/kamailio/postgres/s[!t]*-create.sql",
        ],
    ),
    Schema("tt-rss", Debian("tt-rss"), ["usr/share/tt-rss/schema/ttrss_schema_pgsql.sql"]),
    Schema(
        "prelude",
        Debian("libpreludedb7-pgsql"),
        ["usr/share/libpreludedb/classic/pgsql.sql"],
        quick=True,
    ),
    Schema("glewlwyd", Debian("glewlwyd"), ["usr/share/doc/glewlwyd/database/init.postgre.sql.gz"]),
    Schema("chado", Debian("libchado-perl"), [_CHADO]),
    Schema(
        "request-tracker", Debian("request-tracker5"), ["usr/share/request-tracker5/etc/schema.Pg"]
    ),
    Schema(
        "davical",
        Debian("davical"),
        [
            f"{_AWL}/awl-tables.sql",
            f"{_AWL}/schema-management.sql",
            f"{_DAVICAL}/davical.sql",
            f"{_DAVICAL}/views/dav_principal.sql",
            f"{_DAVICAL}/base-data.sql",
            f"{_DAVICAL}/caldav_functions.sql",
            f"{_DAVICAL}/rrule_functions.sql",
        ],
        more=[Debian("libawl-php")],
    ),
    Schema(
        "ledgersmb",
        Debian("ledgersmb"),
        [
            "usr/share/ledgersmb/sql/Pg-database.sql",
            *(f"usr/share/ledgersmb/sql/modules/{each}.sql" for each in _LEDGER),
        ],
        first=_extensions("btree_gist", "pg_trgm", "tablefunc"),
    ),
    Schema(
        "mediawiki",
        Debian("mediawiki"),
        [
            "usr/share/mediawiki/maintenance/postgres/tables-generated.sql",
            "usr/share/mediawiki/maintenance/postgres/tables.sql",
        ],
    ),
    Schema(
        "gammu", Debian("gammu-smsd"), ["usr/share/doc/gammu-smsd/examples/pgsql.sql"], quick=True
    ),
    Schema(
        "gnokii", Debian("gnokii-smsd-pgsql"), ["usr/share/doc/gnokii-smsd-pgsql/sms.tables.pq.sql"]
    ),
    Schema("coturn", Debian("coturn"), ["usr/share/coturn/schema.sql"], quick=True),
    Schema("vmm", Debian("vmm"), ["usr/share/doc/vmm/examples/pgsql/create_tables.pgsql"]),
    Schema(
        "slony",
        Debian("slony1-2-bin"),
        ["usr/share/slony1/slony1_base.2.2.11.sql"],
        first="CREATE SCHEMA cluster;\n",
        words={"@NAMESPACE@": "cluster", "@CLUSTERNAME@": "cluster"},
    ),
    Schema(
        "pgq",
        Debian("postgresql-15-pgq3"),
        ["usr/share/postgresql/*/contrib/pgq_pl_only.sql"],
        quick=True,
    ),
    _extension("pg-partman", "postgresql-15-partman", "pg_partman--4.7.2.sql", "partman"),
    _extension("mimeo", "postgresql-15-mimeo", "mimeo--1.5.1.sql", "mimeo"),
    _extension(
        "pg-fact-loader", "postgresql-15-pg-fact-loader", "pg_fact_loader--1.7.sql", "fact_loader"
    ),
    _extension(
        "pgl-ddl-deploy",
        "postgresql-15-pgl-ddl-deploy",
        "pgl_ddl_deploy--2.1.sql",
        "pgl_ddl_deploy",
    ),
    _extension("pgagent", "pgagent", "pgagent--4.2.sql", "pgagent"),
    _extension("powa", "postgresql-15-powa", "powa--4.1.4.sql", "powa"),
    _extension("pgtap", "postgresql-15-pgtap", "pgtap.sql", "tap"),
    # npm
    Schema(
        "graphile-worker",
        Npm("graphile-worker", "0.17.3"),
        ["package/sql/*.sql"],
        first="CREATE SCHEMA graphile_worker;\n",
        words={":GRAPHILE_WORKER_SCHEMA": "graphile_worker"},
        quick=True,
    ),
    Schema(
        "message-db",
        Npm("@eventide/message-db", "1.3.1"),
        [
            f"{_MESSAGES}/{each}.sql"
            for each in (
                "schema/message-store",
                "tables/messages",
                "types/message",
                "functions/*",
                "indexes/*",
                "views/*",
                "privileges/*",
            )
        ],
        first="SET search_path = message_store, public;\n",
        roles=["message_store"],
        quick=True,
    ),
    Schema(
        "pgpm",
        Npm("@pgpm/metaschema-modules", "0.16.4", needs=True),
        ["node_modules/@pgpm/*/sql/*.sql"],
        roles=["authenticated", "anonymous", "administrator"],
        first=_extensions("uuid-ossp", "citext", "hstore", "pgcrypto"),
    ),
    Schema(
        "workflow",
        Npm("@workflow/world-postgres", "4.3.7"),
        ["package/src/drizzle/migrations/*.sql"],
        quick=True,
    ),
    # PyPI
    Schema("procrastinate", PyPI("procrastinate"), ["procrastinate/sql/schema.sql"]),
    Schema(
        "procrastinate-migrations",
        PyPI("procrastinate"),
        ["procrastinate/sql/migrations/*.sql"],
        quick=True,
    ),
    Schema(
        "synapse",
        PyPI("matrix-synapse"),
        [
            f"{_SYNAPSE}/common/full_schemas/*/*.sql.postgres",
            f"{_SYNAPSE}/main/full_schemas/*/*.sql.postgres",
            f"{_SYNAPSE}/state/full_schemas/*/*.sql.postgres",
        ],
    ),
    Schema("trytond", PyPI("trytond"), ["trytond/backend/postgresql/init.sql"]),
]
