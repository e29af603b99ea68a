"""Keys without the tenant, without an index; indexes that cost and do not serve."""

from tests.database.audit_cases.case import Case

_OPPORTUNITIES = (
    "ALTER TABLE opportunities DROP CONSTRAINT opportunities_organization_id_partner_id_fkey"
)

KEYS = (
    Case(
        "row-without-tenant",
        "ALTER TABLE alerts ALTER organization_id DROP NOT NULL",
        "organization_id ON public.alerts",
    ),
    Case(
        "foreign-key-without-tenant",
        f"{_OPPORTUNITIES}, ADD CONSTRAINT k FOREIGN KEY (partner_id) REFERENCES partners (id)",
        "k ON public.opportunities",
    ),
    Case(
        "foreign-key-without-tenant",
        f"{_OPPORTUNITIES}; ALTER TABLE partners ADD UNIQUE (id, organization_id);"
        "ALTER TABLE opportunities ADD CONSTRAINT k FOREIGN KEY (partner_id, organization_id)"
        " REFERENCES partners (id, organization_id) ON DELETE SET NULL (partner_id)",
        "k ON public.opportunities",
    ),
    Case(
        "foreign-key-without-tenant",
        "ALTER TABLE opportunities ADD CONSTRAINT k FOREIGN KEY (id) REFERENCES alerts",
        "k ON public.opportunities",
    ),
    Case(
        "foreign-key-without-tenant",
        "ALTER TABLE users ADD home uuid CONSTRAINT k REFERENCES organizations",
        "k ON public.users",
    ),
    Case(
        "foreign-key-without-tenant",
        "ALTER TABLE alerts ADD CONSTRAINT k FOREIGN KEY (organization_id) REFERENCES partners",
        "k ON public.alerts",
    ),
    Case(
        "foreign-key-without-tenant",
        "ALTER TABLE organizations ADD owner uuid CONSTRAINT k REFERENCES users ON DELETE SET NULL",
        "k ON public.organizations",
    ),
    Case(
        "foreign-key-clears-tenant",
        f"{_OPPORTUNITIES}, ADD CONSTRAINT k FOREIGN KEY (organization_id, partner_id)"
        " REFERENCES partners (organization_id, id) ON DELETE SET NULL",
        "k ON public.opportunities",
    ),
    Case(
        "foreign-key-clears-tenant",
        f"{_OPPORTUNITIES}, ADD CONSTRAINT k FOREIGN KEY (organization_id, partner_id)"
        " REFERENCES partners (organization_id, id) ON UPDATE SET NULL",
        "k ON public.opportunities",
    ),
    Case(
        "foreign-key-clears-tenant",
        "ALTER TABLE alerts ADD CONSTRAINT k FOREIGN KEY (organization_id)"
        " REFERENCES organizations ON DELETE SET DEFAULT",
        "k ON public.alerts",
    ),
    Case(
        "foreign-key-without-index",
        "DROP INDEX idx_opportunities_partner",
        "opportunities_organization_id_partner_id_fkey ON public.opportunities",
    ),
    Case(
        "foreign-key-without-index",
        "DROP INDEX idx_opportunities_partner;"
        "CREATE INDEX part ON opportunities (organization_id, partner_id) WHERE status = 'open'",
        "opportunities_organization_id_partner_id_fkey ON public.opportunities",
    ),
    *(
        Case(
            "foreign-key-without-index",
            f"DROP INDEX idx_opportunities_partner; CREATE INDEX part ON opportunities {form}",
            "opportunities_organization_id_partner_id_fkey ON public.opportunities",
        )
        for form in (
            "USING brin (organization_id, partner_id)",
            "(stage, organization_id, partner_id)",
        )
    ),
    Case(
        "foreign-key-without-index",
        "CREATE TABLE colors (id int PRIMARY KEY);"
        "CREATE TABLE things (color int REFERENCES colors)",
        "things_color_fkey ON public.things",
    ),
)

_NOT_YET = (
    f"{_OPPORTUNITIES}, ADD CONSTRAINT k FOREIGN KEY (organization_id, partner_id)"
    " REFERENCES partners (organization_id, id) ON DELETE CASCADE NOT VALID"
)

NOT_VALID = (
    Case("constraint-not-valid", _NOT_YET, "k ON public.opportunities"),
    Case(
        "constraint-not-valid",
        "ALTER TABLE alerts DROP CONSTRAINT alerts_organization_id_fkey, ADD CONSTRAINT k"
        " FOREIGN KEY (organization_id) REFERENCES organizations ON DELETE CASCADE NOT VALID",
        "k ON public.alerts",
    ),
    Case(
        "constraint-not-valid",
        "ALTER TABLE partners ADD CONSTRAINT k CHECK (name <> '') NOT VALID",
        "k ON public.partners",
    ),
    Case(
        "constraint-not-valid",
        "ALTER TABLE users ALTER organization_id DROP NOT NULL,"
        " ADD CONSTRAINT k NOT NULL organization_id NOT VALID",
        "k ON public.users",
        since=18,
    ),
    *(
        Case("constraint-not-valid", f"{broken} NOT ENFORCED", f"k ON public.{table}", since=18)
        for broken, table in (
            (_NOT_YET.removesuffix(" NOT VALID"), "opportunities"),
            ("ALTER TABLE partners ADD CONSTRAINT k CHECK (name <> ' NOT ENFORCED')", "partners"),
        )
    ),
    # A key that is replaced is valid then, and is not looked at a second time.
    Case(
        "foreign-key-without-tenant",
        "ALTER TABLE opportunities ADD CONSTRAINT k FOREIGN KEY (id) REFERENCES alerts NOT VALID",
        "k ON public.opportunities",
    ),
    Case(
        "foreign-key-clears-tenant",
        _NOT_YET.replace("CASCADE NOT VALID", "SET NULL NOT ENFORCED"),
        "k ON public.opportunities",
        since=18,
    ),
    # A table that inherits is held to it together with the one above.
    Case(
        "constraint-not-valid",
        "CREATE TABLE archive () INHERITS (partners);"
        "ALTER TABLE partners ADD CONSTRAINT k CHECK (name <> '') NOT VALID",
        "k ON public.partners",
    ),
)

INDEXES = (
    Case(
        "duplicate-index",
        "CREATE INDEX copy ON users (organization_id, email)",
        "public.copy",
    ),
    Case("duplicate-index", "CREATE UNIQUE INDEX copy ON organizations (id)", "public.copy"),
    Case(
        "duplicate-index",
        "CREATE INDEX copy ON opportunities (organization_id, stage)",
        "public.copy",
    ),
    Case(
        "duplicate-index",
        "ALTER TABLE partners ADD CONSTRAINT copy UNIQUE (organization_id, id)",
        "public.copy",
    ),
    # Which of two goes is decided by what hangs on them, before their age is.
    Case(
        "duplicate-index",
        "CREATE TABLE things (id int CONSTRAINT first UNIQUE);"
        "ALTER TABLE things ADD PRIMARY KEY (id)",
        "public.first",
    ),
    *(
        Case(
            "duplicate-index",
            f"CREATE TABLE things (id int); CREATE {older} ON things (id); {newer}",
            "public.older",
        )
        for older, newer in (
            ("UNIQUE INDEX older", "ALTER TABLE things ADD CONSTRAINT newer UNIQUE (id)"),
            ("INDEX older", "CREATE UNIQUE INDEX newer ON things (id)"),
        )
    ),
)
