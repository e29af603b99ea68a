"""Statements that a tenant's block refuses, and those that only look like them."""

import pytest

from partman.errors import TenantLeavingError
from partman.tenant.statements import refuse_leaving


@pytest.mark.parametrize(
    "sql",
    [
        "COMMIT",
        " commit",
        "\n\tCommit;",
        ";; COMMIT",
        "COMMIT AND CHAIN",
        "END",
        "ABORT",
        "ROLLBACK",
        "ROLLBACK WORK",
        "ROLLBACK AND CHAIN",
        "ROLLBACK TRANSACTION AND CHAIN",
        "ROLLBACK PREPARED 'x'",
        "BEGIN",
        "START TRANSACTION",
        "PREPARE TRANSACTION 'x'",
        "DISCARD ALL",
        "DROP OWNED BY partman_app",
        "drop /* x */ owned by CURRENT_ROLE CASCADE",
        "RESET ROLE",
        "RESET ALL",
        "SET ROLE other",
        "SET LOCAL ROLE other",
        "SET LOCAL ROLE = other",
        "SET LOCAL role TO other",
        'SET LOCAL "role" = other',
        'SET LOCAL U&"role" = other',
        "SET SESSION AUTHORIZATION other",
        "SET LOCAL SESSION AUTHORIZATION other",
        "SET LOCAL session_authorization = other",
        "SET partman.organization_id = 'x'",
        "SET LOCAL partman.organization_id = 'x'",
        "SET LOCAL \"partman\".organization_id = 'x'",
        "SET work_mem = '1GB'",
        "-- a note\nCOMMIT",
        "/* a note */COMMIT",
        "/* a /* nested */ note */ COMMIT",
        "/* ' */ COMMIT -- '",
        "ROLLBACK /* TO */ AND CHAIN",
        "SET /* x */ LOCAL -- x\n ROLE other",
    ],
)
def test_statements_that_leave_the_tenant_are_refused(sql: str) -> None:
    with pytest.raises(TenantLeavingError, match="Nothing was sent"):
        refuse_leaving(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "",
        "-- COMMIT",
        "/* COMMIT */",
        "/* COMMIT",
        "SELECT 'COMMIT'",
        "(SELECT 1)",
        "WITH x AS (SELECT 1) TABLE x",
        "UPDATE partners SET name = 'ROLLBACK'",
        "DROP TABLE owned",
        "SAVEPOINT savepoint_1",
        "ROLLBACK TO SAVEPOINT savepoint_1",
        "ROLLBACK WORK TO savepoint_1",
        "rollback transaction to savepoint savepoint_1",
        "RELEASE SAVEPOINT savepoint_1",
        "SET LOCAL work_mem = '1GB'",
        "set local statement_timeout to '5s'",
        "SET TRANSACTION READ ONLY",
        "SET CONSTRAINTS ALL DEFERRED",
        "PREPARE by_name AS SELECT 1",
        "FETCH 100 FROM partman_batch_1",
    ],
)
def test_statements_that_stay_in_the_tenant_are_not(sql: str) -> None:
    refuse_leaving(sql)
