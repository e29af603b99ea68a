"""Parts of the queries that read the catalog."""

# initdb assigns smaller OIDs; all later objects have this or a larger one. So the indexes on OIDs
# lead past PostgreSQL's own objects, of which there are thousands.
FIRST_USER_OID = 16384

# The role pg_database_owner, whose only member is the owner of the database.
_PG_DATABASE_OWNER = 6171


def role(oid: str) -> str:
    """Return the name of a role, or ``<owner>``."""
    return (
        f"CASE WHEN {oid} IN ((SELECT oid FROM owner), {_PG_DATABASE_OWNER}) THEN '<owner>'"
        f" ELSE quote_ident(pg_get_userbyid({oid})) END"
    )


def grantee(acl: str, owner: str) -> str:
    """Return the name of an ACL item's grantee: PUBLIC, ``<its owner>``, or a role."""
    return (
        f"CASE {acl}.grantee WHEN 0 THEN 'PUBLIC' WHEN {owner} THEN '<its owner>'"
        f" ELSE {role(f'{acl}.grantee')} END"
    )


def not_of_extension(catalog: str, oid: str, *, dependencies: str = "'e'") -> str:
    """Return the condition that an object belongs to no extension."""
    return f"""NOT EXISTS (
        SELECT FROM pg_depend WHERE classid = '{catalog}'::regclass AND objid = {oid}
            AND deptype IN ({dependencies}) OFFSET 0)"""


def each(rows: str, where: str) -> str:
    """Return rows of a catalog for each row of what is before it in FROM, by an index.

    OFFSET 0 keeps PostgreSQL from another plan: without statistics, which a new database does not
    have, it reads the whole catalog each time, or compares all rows with all others.
    """
    return f"(SELECT * FROM {rows} WHERE {where} OFFSET 0)"


ATTRIBUTES = each("pg_attribute", "attrelid = r.oid AND attnum > 0 AND NOT attisdropped")
"""The columns of relation ``r``."""


def independent(catalog: str, oid: str) -> str:
    """Return the condition that an object belongs to no extension and no other object.

    PostgreSQL creates and drops the functions and casts of a range type together with it.
    """
    return not_of_extension(catalog, oid, dependencies="'e', 'i'")


def parent(kind: str, name: str) -> str:
    """Return the columns that name the parent."""
    return f"{kind} AS parent_kind, {name} AS parent_name"


OF_RELATION = parent("r.kind", "r.name")

OPTIONS = """ARRAY(
            SELECT unnest(r.reloptions) UNION ALL
            SELECT 'toast.' || unnest(reloptions) FROM pg_class WHERE oid = r.reltoastrelid
            ORDER BY 1)"""
"""The options of relation ``r`` and of its TOAST table."""

ACCESS_METHOD = """(
            SELECT quote_ident(amname) FROM pg_am WHERE oid = r.relam AND amname <> 'heap')"""

CLUSTERED_ON = """(
            SELECT indexrelid::regclass::text FROM pg_index
            WHERE indrelid = r.oid AND indisclustered)"""


def enabled(column: str) -> str:
    """Return when a trigger fires or a rule is applied."""
    return (
        f"CASE {column} WHEN 'O' THEN 'origin' WHEN 'R' THEN 'replica' WHEN 'A' THEN 'always'"
        " ELSE 'disabled' END"
    )


def storage(column: str) -> str:
    """Return the name of a way to store a column."""
    return (
        f"CASE {column} WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL' WHEN 'm' THEN 'MAIN'"
        " ELSE 'EXTENDED' END"
    )


def compression(column: str) -> str:
    """Return the name of a way to compress a column; NULL for the default."""
    return f"CASE {column} WHEN 'p' THEN 'pglz' WHEN 'l' THEN 'lz4' END"


def depends_on(catalog: str, oid: str) -> str:
    """Return the extensions that an object is dropped with."""
    return f"""ARRAY(
            SELECT quote_ident(e.extname) FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
            WHERE d.classid = '{catalog}'::regclass AND d.objid = {oid} AND d.deptype = 'x'
                AND d.refclassid = 'pg_extension'::regclass ORDER BY 1)"""


# PostgreSQL 15.20 keeps a version of its own among them, which pg_dump leaves out, too.
COLUMN_OPTIONS = r"""ARRAY(
            SELECT option FROM unnest(a.attoptions) AS option WHERE option NOT LIKE 'pg\_%'
            ORDER BY 1)"""
"""The options of column ``a``."""

VIEW_COLUMNS = f"""ARRAY(
            SELECT format('ALTER COLUMN %I SET %s', a.attname, set.what)
            FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
            LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
            CROSS JOIN LATERAL (
                VALUES ('DEFAULT ' || pg_get_expr(d.adbin, d.adrelid)),
                    ('STATISTICS ' || NULLIF(a.attstattarget, -1)),
                    (CASE WHEN r.relkind = 'm' AND a.attstorage <> t.typstorage
                        THEN 'STORAGE ' || {storage("a.attstorage")} END),
                    ('COMPRESSION ' || {compression("a.attcompression")}),
                    ('(' || NULLIF(array_to_string({COLUMN_OPTIONS}, ', '), '') || ')')
            ) set (what)
            WHERE a.attrelid = r.oid AND a.attnum > 0 AND set.what IS NOT NULL ORDER BY 1)"""
"""What is set for the columns of view ``r``."""
