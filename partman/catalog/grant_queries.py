"""The queries for privileges, as parts of the statement in ``queries``.

They refer to its common table expressions.
"""

from typing import Final

from partman.catalog.query_words import each, grantee, not_of_extension, parent, role

# A NULL ACL stands for the default ACL. Columns have no default ACL.
_OF_THE_DATABASE = """
        SELECT 'database' AS kind, '' AS name, NULL AS "column", datdba AS owner,
            coalesce(datacl, acldefault('d', datdba)) AS acl
        FROM pg_database WHERE datname = current_database()
        UNION ALL
        SELECT 'language', quote_ident(lanname), NULL, lanowner,
            coalesce(lanacl, acldefault('l', lanowner))
        FROM pg_language WHERE lanispl
        UNION ALL
        SELECT 'foreign-data wrapper', quote_ident(fdwname), NULL, fdwowner,
            coalesce(fdwacl, acldefault('F', fdwowner))
        FROM pg_foreign_data_wrapper
        UNION ALL
        SELECT 'server', quote_ident(srvname), NULL, srvowner,
            coalesce(srvacl, acldefault('S', srvowner))
        FROM pg_foreign_server"""
_OF_SCHEMAS = f"""
        SELECT 'schema', n.name, NULL, nspowner, coalesce(nspacl, acldefault('n', nspowner))
        FROM space n WHERE {not_of_extension("pg_namespace", "n.oid")}
        UNION ALL
        SELECT r.kind, r.name, NULL, relowner,
            coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's'::"char" ELSE 'r' END,
                relowner))
        FROM relation r
        UNION ALL
        SELECT r.kind, r.name, quote_ident(a.attname), r.relowner, a.attacl
        FROM relation r
        CROSS JOIN LATERAL {each("pg_attribute", "attrelid = r.oid AND attacl IS NOT NULL")} a
        WHERE a.attnum > 0 AND NOT a.attisdropped
        UNION ALL
        SELECT f.kind, f.name, NULL, proowner, coalesce(proacl, acldefault('f', proowner))
        FROM function f
        UNION ALL
        SELECT t.kind, t.name, NULL, typowner, coalesce(typacl, acldefault('T', typowner))
        FROM type t"""


def _grants(acls: str) -> str:
    return f"""
    SELECT {parent("o.kind", "o.name")}, {grantee("acl", "o.owner")} AS name,
        acl.privilege_type AS privilege, coalesce(o."column", '') AS column,
        acl.is_grantable AS grantable
    FROM ({acls}
    ) o CROSS JOIN LATERAL aclexplode(o.acl) acl
"""


GRANT: Final = _grants(f"{_OF_THE_DATABASE}\n        UNION ALL{_OF_SCHEMAS}")

GRANT_OF_DATABASE: Final = _grants(_OF_THE_DATABASE)
"""Without those on what is in a schema."""

# An entry for one schema adds to the default; one for all schemas replaces it.
DEFAULT_GRANT: Final = f"""
    SELECT {role("d.defaclrole")} AS creator, n.name AS schema,
        CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES'
            WHEN 'f' THEN 'FUNCTIONS' WHEN 'T' THEN 'TYPES' WHEN 'n' THEN 'SCHEMAS'
            WHEN 'L' THEN 'LARGE OBJECTS' END AS of,
        {grantee("acl", "d.defaclrole")} AS name, acl.privilege_type AS privilege,
        acl.is_grantable AS grantable, side.usual
    FROM pg_default_acl d LEFT JOIN space n ON n.oid = d.defaclnamespace
    CROSS JOIN LATERAL (
        VALUES (false, d.defaclacl),
            (true, CASE d.defaclnamespace WHEN 0 THEN acldefault(
                CASE d.defaclobjtype WHEN 'S' THEN 's'::"char" ELSE d.defaclobjtype END,
                d.defaclrole) END)
    ) side (usual, acl)
    CROSS JOIN LATERAL aclexplode(side.acl) acl
    WHERE n.oid IS NOT NULL OR d.defaclnamespace = 0
"""
