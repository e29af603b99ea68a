"""Parts of the queries that read the catalog."""

# initdb assigns smaller OIDs; all later objects have this or a larger one.
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
            AND deptype IN ({dependencies}))"""


def independent(catalog: str, oid: str) -> str:
    """Return the condition that an object belongs to no extension and no other object.

    PostgreSQL creates and drops the functions and casts of a range type together with it.
    """
    return not_of_extension(catalog, oid, dependencies="'e', 'i'")


def parent(kind: str, name: str) -> str:
    """Return the columns that name the parent."""
    return f"{kind} AS parent_kind, {name} AS parent_name"


OF_RELATION = parent("r.kind", "r.name")
