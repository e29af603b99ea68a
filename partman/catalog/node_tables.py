"""Compare the shards, and the tables of the nodes, with those of the coordinator.

Citus keeps them equal. Whoever changes one on its node, or loses a statement there, is found here:
a tenant's rows are guarded by the policies of the shard that has them.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from partman.database.distributed import ROWS_ELSEWHERE

if TYPE_CHECKING:
    from asyncpg import Connection, Record

_NODES = """
SELECT pg_catalog.format('%s:%s', n.nodename, n.nodeport) AS node, n.groupid = 0 AS is_coordinator,
    r.success, r.result
FROM pg_catalog.run_command_on_all_nodes($1) r JOIN pg_catalog.pg_dist_node n USING (nodeid)
ORDER BY n.groupid <> 0, 1
"""
_GRANTED = """
SELECT pg_catalog.concat_ws(' ', CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text
    END, a.privilege_type, {column}, CASE WHEN a.is_grantable THEN 'grantable' END)
"""
_COLUMNS = """
(SELECT pg_catalog.string_agg(b.attname, ', ' ORDER BY place)
FROM pg_catalog.unnest({numbers}) WITH ORDINALITY AS of (number, place)
JOIN pg_catalog.pg_attribute b ON b.attrelid = {table} AND b.attnum = of.number)
"""
_SET_CONFIG = "'pg_catalog.set_config(text, text, boolean)'"
_ON_NODE = f"""
WITH moved AS (
    SELECT p.logicalrelid::oid AS oid, pg_catalog.format('%I.%I', n.nspname, c.relname) AS name,
        n.nspname
    FROM pg_catalog.pg_dist_partition p JOIN pg_catalog.pg_class c ON c.oid = p.logicalrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE {ROWS_ELSEWHERE}
), part AS (
    SELECT name AS of_table, name, oid, '' AS suffix FROM moved
    UNION ALL
    SELECT m.name, shard.name, pg_catalog.to_regclass(shard.name)::oid, '_' || s.shardid
    FROM moved m
    JOIN pg_catalog.pg_dist_shard s ON s.logicalrelid = m.oid
    JOIN pg_catalog.pg_dist_placement p USING (shardid)
    JOIN pg_catalog.pg_dist_local_group g USING (groupid)
    CROSS JOIN LATERAL (
        SELECT CASE m.nspname WHEN 'public' THEN 'public.' ELSE '' END
            || pg_catalog.shard_name(s.logicalrelid, s.shardid) AS name
    ) shard
)
SELECT pg_catalog.json_build_object('parts', (
    SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
        'table', of_table, 'name', part.name, 'is_there', c.oid IS NOT NULL, 'has',
        pg_catalog.json_build_object(
            'row security', ARRAY[
                CASE WHEN c.relrowsecurity THEN 'enabled' ELSE 'disabled' END,
                CASE WHEN c.relforcerowsecurity THEN 'forced' ELSE 'not forced' END
            ],
            'owner', ARRAY[c.relowner::regrole::text],
            'columns', ARRAY(
                SELECT pg_catalog.concat_ws(' ', a.attname,
                    pg_catalog.format_type(a.atttypid, a.atttypmod),
                    CASE WHEN a.attnotnull THEN 'NOT NULL' END)
                FROM pg_catalog.pg_attribute a
                WHERE a.attrelid = part.oid AND a.attnum > 0 AND NOT a.attisdropped
            ),
            'policies', ARRAY(
                SELECT pg_catalog.concat_ws(' ', p.polname, p.polcmd, ARRAY(
                        SELECT CASE r WHEN 0 THEN 'PUBLIC' ELSE r::regrole::text END
                        FROM pg_catalog.unnest(p.polroles) r ORDER BY 1
                    )::text, 'USING ' || pg_catalog.pg_get_expr(p.polqual, p.polrelid),
                    'WITH CHECK ' || pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid))
                FROM pg_catalog.pg_policy p WHERE p.polrelid = part.oid
            ),
            'privileges', ARRAY(
                {_GRANTED.format(column="NULL")}
                FROM pg_catalog.aclexplode(c.relacl) a WHERE a.grantee <> c.relowner
                UNION ALL
                {_GRANTED.format(column="b.attname")}
                FROM pg_catalog.pg_attribute b, pg_catalog.aclexplode(b.attacl) a
                WHERE b.attrelid = part.oid AND a.grantee <> c.relowner
            ),
            'keys', ARRAY(
                SELECT pg_catalog.concat_ws(' ', k.contype, k.confdeltype, k.confupdtype,
                    CASE WHEN k.convalidated THEN 'checked' END,
                    CASE k.contype WHEN 'c' THEN pg_catalog.pg_get_constraintdef(k.oid) END,
                    {_COLUMNS.format(numbers="k.conkey", table="k.conrelid")},
                    'TO ' || r.nspname || '.' || CASE suffix WHEN '' THEN r.relname::text
                        ELSE pg_catalog.regexp_replace(r.relname, '_[0-9]+$', '') END,
                    {_COLUMNS.format(numbers="k.confkey", table="k.confrelid")})
                FROM pg_catalog.pg_constraint k LEFT JOIN (
                    SELECT f.oid, f.relname, n.nspname FROM pg_catalog.pg_class f
                    JOIN pg_catalog.pg_namespace n ON n.oid = f.relnamespace
                ) r ON r.oid = k.confrelid
                WHERE k.conrelid = part.oid AND k.contype IN ('p', 'u', 'x', 'f', 'c')
                UNION ALL
                SELECT 'unique index ' || pg_catalog.array_to_string(i.indkey::int2[], ' ')
                FROM pg_catalog.pg_index i WHERE i.indrelid = part.oid AND i.indisunique
                    AND NOT EXISTS (
                        SELECT FROM pg_catalog.pg_constraint k WHERE k.conindid = i.indexrelid
                    )
            ),
            'triggers', ARRAY(
                SELECT pg_catalog.concat_ws(' ',
                    CASE WHEN suffix <> '' AND pg_catalog.right(t.tgname, pg_catalog.length(suffix))
                        = suffix THEN pg_catalog.left(t.tgname, -pg_catalog.length(suffix))
                        ELSE t.tgname END,
                    t.tgenabled, t.tgtype, t.tgfoid::regprocedure)
                FROM pg_catalog.pg_trigger t WHERE t.tgrelid = part.oid AND NOT t.tgisinternal
                UNION ALL
                SELECT DISTINCT 'internal ones that do not work'
                FROM pg_catalog.pg_trigger t
                WHERE t.tgrelid = part.oid AND t.tgisinternal AND t.tgenabled NOT IN ('O', 'A')
            )
        )
    ))
    FROM part LEFT JOIN pg_catalog.pg_class c ON c.oid = part.oid
), 'public_may_call', ARRAY(
    SELECT p.oid::regprocedure::text FROM pg_catalog.pg_proc p
    WHERE p.pronamespace = 'pg_catalog'::regnamespace
        AND p.proname ~ '^(set_config$|run_command_on_|master_run_on_worker$|worker_apply_)'
        AND pg_catalog.has_function_privilege('public', p.oid, 'EXECUTE')
), 'roles', (
    SELECT pg_catalog.json_object_agg(r.name, ARRAY(
        SELECT attribute FROM (VALUES
            (a.rolsuper, 'SUPERUSER'), (a.rolbypassrls, 'BYPASSRLS'),
            (a.rolcreaterole, 'CREATEROLE'), (a.rolcreatedb, 'CREATEDB'),
            (a.rolreplication, 'REPLICATION'), (a.rolinherit, 'INHERIT'),
            (pg_catalog.has_function_privilege(a.oid, {_SET_CONFIG}, 'EXECUTE')
                AND NOT pg_catalog.has_function_privilege('public', {_SET_CONFIG}, 'EXECUTE'),
                'may call set_config')
        ) AS possible (has, attribute) WHERE has
        UNION ALL
        SELECT pg_catalog.concat_ws(' ', 'member of', m.roleid::regrole,
            CASE WHEN m.admin_option THEN 'and may give it to others' END)
        FROM pg_catalog.pg_auth_members m WHERE m.member = r.oid
        UNION ALL
        SELECT 'begins with ' || line
        FROM pg_catalog.pg_db_role_setting s, pg_catalog.unnest(s.setconfig) line
        WHERE s.setrole = r.oid AND s.setdatabase IN (0, (
            SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database()
        )) AND (line ~ '^(role|row_security|search_path|session_replication_role)='
            OR line ~ '^[^=]*[.]' AND line !~ '^citus[.]')
    ))
    FROM (
        SELECT oid, rolname::text AS name FROM pg_catalog.pg_roles WHERE rolname !~ '^pg_'
        UNION ALL SELECT 0, 'PUBLIC'
    ) r LEFT JOIN pg_catalog.pg_roles a USING (oid)
))
"""


@dataclass(frozen=True)
class NodeDifference:
    """Something that a node has otherwise than the coordinator."""

    node: str
    """Its address."""
    object: str
    """The table or the shard, or the function."""
    tables: tuple[str, ...]
    """The tables that it is about: that which it is or is a part of; all, if the node is silent."""
    attribute: str
    expected: tuple[str, ...]
    """What it lacks."""
    found: tuple[str, ...]
    """What it has in addition."""


async def node_differences(connection: "Connection[Record]") -> tuple[NodeDifference, ...]:
    """Compare columns, policies, privileges and triggers of every node and shard.

    Also what PUBLIC may call there that could choose a tenant. That a policy is RESTRICTIVE is not
    compared: Citus loses it. Raises asyncpg.InsufficientPrivilegeError for a role that may not send
    commands to the nodes.
    """
    nodes = await connection.fetch(_NODES, _ON_NODE)
    [usual] = [json.loads(node["result"]) for node in nodes if node["is_coordinator"]]
    expected = {part["name"]: part["has"] for part in usual["parts"]}
    found: list[NodeDifference] = []
    for node in nodes:
        if not node["success"]:
            found.append(
                NodeDifference(
                    node["node"], "the node", (*expected,), "answer", (), (node["result"],)
                )
            )
            continue
        told = json.loads(node["result"])
        for part in told["parts"] or ():
            found += _differences(node["node"], part, expected[part["table"]])
        if told["public_may_call"]:
            may = tuple(sorted(told["public_may_call"]))
            found.append(NodeDifference(node["node"], "PUBLIC", (), "may call", (), may))
        found += _of_roles(node["node"], told["roles"], usual["roles"])
    return tuple(found)


def _of_roles(
    node: str, roles: Mapping[str, list[str]], expected: Mapping[str, list[str]]
) -> Iterator[NodeDifference]:
    """Yield what roles of the coordinator have in addition on a node, and who may become one."""
    for role, has in roles.items():
        more = sorted({*has} - {*expected.get(role, ())})
        if role not in expected:
            more = [line for line in more if line.startswith("member of")]
        if more:
            yield NodeDifference(node, role, (), "attributes", (), tuple(more))


def _differences(
    node: str, part: Mapping[str, Any], expected: Mapping[str, list[str]]
) -> Iterator[NodeDifference]:
    if not part["is_there"]:
        yield NodeDifference(node, part["name"], (part["table"],), "shard", (part["name"],), ())
        return
    for attribute, wanted in expected.items():
        has = part["has"][attribute]
        missing, extra = set(wanted) - set(has), set(has) - set(wanted)
        if missing or extra:
            yield NodeDifference(
                node,
                part["name"],
                (part["table"],),
                attribute,
                tuple(sorted(missing)),
                tuple(sorted(extra)),
            )
