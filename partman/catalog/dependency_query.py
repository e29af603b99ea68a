"""The query for what depends on what: pg_depend, in the words of the model.

It refers to the common table expressions of the statement in ``queries``.
"""

from collections.abc import Collection

from partman.catalog.other_queries import IDENTIFIED
from partman.catalog.query_words import ATTRIBUTES, FIRST_USER_OID, each, independent
from partman.catalog.rare_kinds import OTHER, PUBLICATION, STATISTICS, TYPE


def _named(catalog: str, oid: str, kind: str, name: str, source: str, part: str = "NULL") -> str:
    """Return rows: which object of the model a row of a system catalog stands for.

    ``part`` is the number of a column; NULL for the object and all its columns.
    """
    return f"""
        SELECT '{catalog}'::regclass::oid AS class, {oid} AS oid, {part}::int AS part,
            {kind} AS kind, {name} AS name
        FROM {source}"""


def dependency_query(kinds: Collection[str]) -> str:
    """Return the query, which of the rare kinds knows only these."""
    column = "r.name || '.' || quote_ident(a.attname)"
    attribute = f"CROSS JOIN LATERAL {ATTRIBUTES} a"
    is_table, of_constraint = "r.relkind IN ('r', 'p', 'f')", "k.contype IN ('p', 'u', 'x')"
    index = (
        f"relation r CROSS JOIN LATERAL {each('pg_index', 'indrelid = r.oid')} i"
        f" CROSS JOIN LATERAL {each('pg_class', 'oid = i.indexrelid')} c"
        " LEFT JOIN LATERAL (SELECT * FROM pg_constraint k WHERE k.conrelid = r.oid"
        f" AND k.conindid = i.indexrelid AND {of_constraint} OFFSET 0) k ON true"
    )
    on_relation = "|| ' on ' || r.name"
    of_extension = (
        "pg_depend d JOIN pg_extension e ON e.oid = d.refobjid"
        " AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'"
    )
    known = [
        _named("pg_namespace", "oid", "'schema'", "name", "space"),
        _named("pg_extension", "oid", "'extension'", "quote_ident(extname)", "pg_extension"),
        # What belongs to an extension stands for it.
        f"""
        SELECT d.classid, d.objid, NULL, 'extension', quote_ident(e.extname) FROM {of_extension}""",
        _named("pg_class", "r.oid", "r.kind", "r.name", f"relation r WHERE {is_table}", "0"),
        _named("pg_class", "r.oid", "r.kind", "r.name", f"relation r WHERE NOT ({is_table})"),
        _named(
            "pg_class", "r.oid", "'column'", column,
            f"relation r {attribute} WHERE {is_table}", "a.attnum",
        ),
        _named(
            "pg_attrdef", "d.oid", "CASE WHEN " + is_table + " THEN 'column' ELSE r.kind END",
            f"CASE WHEN {is_table} THEN {column} ELSE r.name END",
            f"relation r CROSS JOIN LATERAL {each('pg_attrdef', 'adrelid = r.oid')} d CROSS JOIN"
            f" LATERAL {each('pg_attribute', 'attrelid = r.oid AND attnum = d.adnum')} a",
        ),
        # A relation's row type, and the array of it.
        _named(
            "pg_type", "x.oid", "r.kind", "r.name",
            f"relation r CROSS JOIN LATERAL {each('pg_type', 'oid = r.reltype')} t"
            " CROSS JOIN LATERAL (VALUES (t.oid), (t.typarray)) x (oid)",
        ),
        _named("pg_proc", "f.oid", "f.kind", "f.name", "function f"),
        _named(
            "pg_constraint", "k.oid", "CASE k.contype WHEN 'n' THEN 'column' ELSE 'constraint' END",
            f"CASE k.contype WHEN 'n' THEN {column}"
            f" ELSE quote_ident(k.conname) {on_relation} END",
            f"relation r CROSS JOIN LATERAL {each('pg_constraint', 'conrelid = r.oid')} k"
            " LEFT JOIN LATERAL"
            f" {each('pg_attribute', 'attrelid = r.oid AND attnum = k.conkey[1]')} a ON true"
            " WHERE k.contype <> 't'",
        ),
        _named(
            "pg_class", "c.oid", "CASE WHEN k.oid IS NULL THEN 'index' ELSE 'constraint' END",
            "CASE WHEN k.oid IS NULL THEN r.space || '.' || quote_ident(c.relname)"
            f" ELSE quote_ident(k.conname) {on_relation} END",
            index,
        ),
        _named(
            "pg_rewrite", "w.oid", "CASE w.rulename WHEN '_RETURN' THEN r.kind ELSE 'rule' END",
            "CASE w.rulename WHEN '_RETURN' THEN r.name"
            f" ELSE quote_ident(w.rulename) {on_relation} END",
            f"relation r CROSS JOIN LATERAL {each('pg_rewrite', 'ev_class = r.oid')} w",
        ),
        _named(
            "pg_trigger", "t.oid", "'trigger'", f"quote_ident(t.tgname) {on_relation}",
            f"relation r CROSS JOIN LATERAL {each('pg_trigger', 'tgrelid = r.oid')} t"
            " WHERE NOT t.tgisinternal",
        ),
        _named(
            "pg_policy", "p.oid", "'policy'", f"quote_ident(p.polname) {on_relation}",
            f"relation r CROSS JOIN LATERAL {each('pg_policy', 'polrelid = r.oid')} p",
        ),
    ]  # fmt: skip
    rare = {
        TYPE: [
            _named(
                "pg_type", "x.oid", "t.kind", "t.name",
                "type t LEFT JOIN pg_range g ON g.rngtypid = t.oid"
                " LEFT JOIN pg_type m ON m.oid = g.rngmultitypid CROSS JOIN LATERAL"
                " (VALUES (t.oid), (t.typarray), (m.oid), (m.typarray)) x (oid)"
                " WHERE x.oid <> 0",
            ),
            _named("pg_class", "t.typrelid", "t.kind", "t.name", "type t WHERE t.typrelid <> 0"),
            # The functions that make a range.
            f"""
            SELECT d.classid, d.objid, NULL, t.kind, t.name FROM type t CROSS JOIN LATERAL {
                each(
                    "pg_depend",
                    "refobjid = t.oid AND refclassid = 'pg_type'::regclass AND deptype = 'i'"
                    " AND classid = 'pg_proc'::regclass",
                )
            } d""",
            _named(
                "pg_constraint", "k.oid", "'constraint'",
                "quote_ident(k.conname) || ' on ' || t.name",
                f"type t CROSS JOIN LATERAL {each('pg_constraint', 'contypid = t.oid')} k"
                " WHERE k.contype = 'c'",
            ),
        ],
        STATISTICS: [
            _named(
                "pg_statistic_ext", "s.oid", "'statistics'",
                "n.name || '.' || quote_ident(s.stxname)",
                "space n JOIN pg_statistic_ext s ON s.stxnamespace = n.oid",
            ),
        ],
        PUBLICATION: [
            _named(
                "pg_publication", "oid", "'publication'", "quote_ident(pubname)", "pg_publication"
            ),
            _named(
                "pg_publication_rel", "l.oid", "'published table'",
                "r.name || ' on ' || quote_ident(p.pubname)",
                "relation r JOIN pg_publication_rel l ON l.prrelid = r.oid"
                " JOIN pg_publication p ON p.oid = l.prpubid",
            ),
            _named(
                "pg_publication_namespace", "l.oid", "'published schema'",
                "n.name || ' on ' || quote_ident(p.pubname)",
                "space n JOIN pg_publication_namespace l ON l.pnnspid = n.oid"
                " JOIN pg_publication p ON p.oid = l.pnpubid",
            ),
        ],
        OTHER: [
            _named(
                catalog, "o.oid", "i.type", "i.identity",
                f"{catalog} o CROSS JOIN LATERAL"
                f" pg_identify_object('{catalog}'::regclass, o.oid, 0) i"
                f" WHERE o.oid >= {FIRST_USER_OID} AND {independent(catalog, 'o.oid')}",
            )
            for catalog in IDENTIFIED
        ],
    }  # fmt: skip
    known += [each for kind in rare if kind in kinds for each in rare[kind]]
    # The sequence of a column depends on it, to be dropped with it; the column's default depends
    # on the sequence. Only the latter says which comes first.
    return f"""
    WITH known AS MATERIALIZED ({" UNION ALL ".join(known)})
    SELECT DISTINCT k.kind, k.name, o.kind AS on_kind, o.name AS on_name,
        (k.kind = 'column' AND a.attgenerated = '') IS TRUE AS by_default
    FROM pg_depend d
    JOIN known k ON k.class = d.classid AND k.oid = d.objid
        AND (k.part IS NULL OR k.part = greatest(d.objsubid, 0))
    JOIN known o ON o.class = d.refclassid AND o.oid = d.refobjid
        AND (o.part IS NULL OR o.part = greatest(d.refobjsubid, 0))
    LEFT JOIN pg_attrdef f ON d.classid = 'pg_attrdef'::regclass AND f.oid = d.objid
    LEFT JOIN pg_attribute a ON a.attrelid = f.adrelid AND a.attnum = f.adnum
    WHERE d.objid >= {FIRST_USER_OID} AND (k.kind, k.name) <> (o.kind, o.name)
        AND NOT (k.kind = 'sequence' AND d.deptype IN ('a', 'i'))
        -- A partition's index or key comes before that of the partitioned table.
        AND d.deptype NOT IN ('P', 'S')
"""
