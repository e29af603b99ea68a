"""What the deployment does to a database beside the migrations: who may connect."""

import dataclasses

from partman.catalog.identity import Reference
from partman.catalog.model import Catalog, Extension, Grant, Privilege, sort_key
from partman.isolation import Tenancy

_DATABASE = Reference("database", "")
_CONNECT = Privilege("CONNECT")


OF_CITUS = ("citus", "citus_columnar")
"""Extensions that belong to the server, and not to the schema."""


def as_deployed(expected: Catalog, found: Catalog, tenancy: Tenancy | None) -> Catalog:
    """Return what is expected of a database with what its deployment has given it.

    If PUBLIC may not connect to it, each login of the tenancy may, and nobody else. Otherwise it is
    as its migrations make it. Citus is there or not.
    """
    citus = [each for each in found.of(Extension) if each.name in OF_CITUS]
    missing = [each for each in citus if each.reference not in expected.by_reference]
    if missing:
        together = tuple(sorted([*expected.objects, *missing], key=sort_key))
        expected = dataclasses.replace(expected, objects=together)
    if tenancy is None or _may_connect(found, "PUBLIC") or not _may_connect(expected, "PUBLIC"):
        return expected
    logins = {*tenancy.roles.those_of("api", "seed", "console")}
    if citus:  # the nodes connect to each other as the roles that queries run as
        working = tenancy.roles.those_of("app", "operator", "reports")
        logins |= {role for role in working if _may_connect(found, role)}
    kept = [
        obj
        for obj in expected.objects
        if not (_is_of_database(obj) and obj.name in {"PUBLIC", *logins})
    ]
    objects = [
        *kept,
        *(
            Grant(kind="grant", name=login, parent=_DATABASE, privileges=(_CONNECT,))
            for login in logins
        ),
    ]
    return dataclasses.replace(expected, objects=tuple(sorted(objects, key=sort_key)))


def _may_connect(catalog: Catalog, grantee: str) -> bool:
    return any(
        _is_of_database(obj) and obj.name == grantee and _CONNECT in obj.privileges
        for obj in catalog.of(Grant)
    )


def _is_of_database(obj: object) -> bool:
    return isinstance(obj, Grant) and obj.parent == _DATABASE
