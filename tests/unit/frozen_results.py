"""Results of commands, put together by hand, so that their reports need no database."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from partman.audit import Gap
from partman.catalog.compare import Difference, Verdict
from partman.catalog.model import Catalog, Policy, Reference
from partman.cli import (
    check_report,
    doctor,
    drift,
    history_report,
    plan_report,
    rehearse_report,
    status_report,
    verify,
)
from partman.cli.look import Block
from partman.doctor import Finding as Seen
from partman.doctor import State as Health
from partman.migration.ledger.files import MigrationFile
from partman.migration.ledger.history import Direction, Entry, Outcome
from partman.migration.ledger.identity import MigrationKey
from partman.migration.ledger.preflight import Problem
from partman.migration.ledger.status import MigrationState, Status
from partman.migration.ledger.timeline import Item, State, Timeline
from partman.migration.runner.losses import Loss
from partman.migration.verification.comparison import Beyond, Comparison
from partman.migration.verification.drift import Drift
from partman.migration.verification.losses import Loss as RemedyLoss
from partman.migration.verification.round_trip import Failure, Leg, Verification, Verified
from partman.migration.verification.table_classes import Models
from partman.migration.verification.tried_remedy import ByHand, OfferedStatement, TriedRemedy
from partman.plan.model import (
    Finding,
    Level,
    Lock,
    Measured,
    Plan,
    PlannedMigration,
    PlannedStatement,
    Reversal,
    Work,
    WorkKind,
)
from partman.rehearsal.model import (
    CopyFacts,
    MeasuredStatement,
    Rehearsal,
    RehearsedMigration,
    Return,
    TableRows,
    TimedLock,
)

WHEN = datetime(2026, 11, 27, 9, 30, 12, tzinfo=UTC)
FIRST, SECOND, THIRD = (f"2026-11-2{day}T09:00:00:000000" for day in "456")
LONG_SQL = (
    "CREATE INDEX idx_opportunities_close ON opportunities (organization_id, expected_close_date) "
    "WHERE status = 'open'"
)
ERROR = (
    'duplicate key value violates unique constraint "users_email". Detail: Key (email)='
    "(ann@acme.example) already exists. The migration was rolled back; the database is as it was "
    "before it."
)


def reports() -> Mapping[str, Iterable[Block]]:
    """Return what each command has to say."""
    edited = Problem("shop", FIRST, "edited", f"{FIRST} was changed after it was applied.")
    return {
        "status": status_report.status_report(timeline(edited), [edited]),
        "history": history_report.history_report(timeline(edited).runs, 20),
        "check": check_report.report(found()),
        "drift": drift.report(drift_found()),
        "plan": plan_report.report(plan()),
        "verify": verify.report(verification(), ["shop"]),
        "doctor": doctor.report(findings()),
        "rehearse": rehearse_report.report(rehearsal()),
    }


def timeline(problem: Problem) -> Timeline:
    states = (
        MigrationState("shop", FIRST, "customers", WHEN),
        MigrationState("shop", SECOND, "a unique address for every user of a customer", None),
        MigrationState("shop", THIRD, "cards", None),
    )
    runs = (
        entry(FIRST, Outcome.DONE),
        entry(SECOND, Outcome.FAILED, ERROR),
        entry(SECOND, Outcome.FAILED, ERROR),
    )
    items = (
        Item(states[0], State.EDITED, runs[0], runs[0], None),
        Item(states[1], State.FAILED, None, runs[2], None),
        Item(states[2], State.PENDING, None, None, None),
    )
    return Timeline(Status(states), items, runs, (problem,), running=False)


def entry(migration: str, outcome: Outcome, error: str | None = None) -> Entry:
    return Entry(
        app="shop",
        migration=migration,
        direction=Direction.FORWARDS,
        outcome=outcome,
        error=error,
        started_at=WHEN,
        duration=timedelta(seconds=1.234),
        checksum=None,
        digest=None,
        role="shop_owner",
        os_user="deploy",
        host="web-7f9c4d",
        partman_version="1.0",
        piccolo_version="1.38",
        revision="0123456789abcdef0123456789abcdef01234567-dirty",
    )


def comparison() -> Comparison:
    table, name = "public.customers", "tenant_only"
    expected, found_ = (
        Policy(
            kind="policy",
            name=name,
            parent=Reference("table", table),
            permissive=False,
            command="ALL",
            roles=("app",),
            using=using,
            check=None,
        )
        for using in ("(organization_id = (current_setting('app.tenant'::text))::uuid)", "true")
    )
    different = Difference(Verdict.DIFFERENT, expected, found_, "using")
    extra = Difference(Verdict.EXTRA, None, found_)
    loss = RemedyLoss(found_.reference, "row", "", table, number=24)
    remedy = TriedRemedy(
        (
            OfferedStatement(
                "ALTER POLICY tenant_only ON public.customers\nUSING (organization_id = "
                "(current_setting('app.tenant'::text))::uuid)"
            ),
            OfferedStatement("DROP TABLE public.by_hand", loss),
        ),
        (ByHand(found_.reference, "no SQL is known for it"),),
    )
    empty = Catalog(())
    beyond = Beyond((), ("what only pg_dump sees. No pg_dump of version 18 or newer is installed",))
    return Comparison(empty, empty, (different, extra), beyond, remedy)


def drift_found() -> Drift:
    return Drift((MigrationKey("shop", FIRST),), 0, comparison(), (), None)


def found() -> check_report.Found:
    gap = Gap(
        "tenant-policy",
        "public.customers",
        "No RESTRICTIVE policy FOR ALL TO app says organization_id = current_setting('app.tenant')"
        "::uuid.",
        "CREATE POLICY tenant_only ON public.customers AS RESTRICTIVE FOR ALL TO app\n"
        "  USING (organization_id = current_setting('app.tenant')::uuid);",
    )
    isolation = check_report.Isolation(
        ["customers", "orders"],
        ["tenant-policy"],
        ["set-config"],
        [gap],
        {gap: "not tried: no scratch database can be made"},
        {"parameter-rights": "permission denied for table pg_parameter_acl"},
    )
    return check_report.Found(isolation, Models(41, comparison(), ()), None, (), None)


def plan() -> Plan:
    share, exclusive = Lock("opportunities", None, "SHARE"), Lock("users", None, "ACCESS EXCLUSIVE")
    work = Work(WorkKind.BUILD, "opportunities", ("idx_opportunities_close",))
    index = PlannedStatement(
        LONG_SQL, 0.0036, None, "3/7", (share,), (share,), Measured.INSIDE, (work,)
    )
    drop = PlannedStatement(
        "ALTER TABLE users DROP COLUMN phone",
        0.0011,
        None,
        "3/8",
        (exclusive,),
        (exclusive,),
        Measured.OUTSIDE,
        (),
    )
    migrations = (
        PlannedMigration(
            "shop",
            SECOND,
            "close dates",
            (index,),
            findings=(Finding(1, "require-concurrent-index-creation", ""),),
            reversal=Reversal(False, "reverting leaves a difference: extra index public.idx_close"),
            level=Level.BLOCKS_WRITES,
            reasons=(
                "blocks writes of opportunities while it builds an index on opportunities "
                "(idx_opportunities_close)",
            ),
        ),
        PlannedMigration(
            "shop",
            THIRD,
            "no more phones",
            (drop,),
            losses=(Loss("users.phone", "dropped", 24),),
            reversal=Reversal(True),
            level=Level.LOSES_DATA,
            reasons=("users.phone: dropped (24 rows)",),
        ),
    )
    return Plan(FIRST, migrations, (), {"opportunities": 176 * 1024}, (), rows_seen=False)


def findings() -> tuple[Seen, ...]:
    login = "ann@db.example/shop rejected the login: password authentication failed"
    return (
        Seen("environment", Health.OK, "production, on ann@db.example/shop, named by a file."),
        Seen("disk", Health.NOTE, "900 MB free in /srv.", "Free some space."),
        Seen("login", Health.WRONG, f"{login}. Check the user."),
    )


def verification() -> Verification:
    first, second = (
        MigrationFile("shop", name, text, Path(f"shop/{text}.py"))
        for name, text in ((FIRST, "customers"), (SECOND, "close dates"))
    )
    differences = comparison().differences[1:]
    return Verification(
        (Verified(first, 41, 178, 8, ()),), Failure(second, Leg.DOWN, differences=differences)
    )


def rehearsal() -> Rehearsal:
    lock = TimedLock("opportunities", None, "ACCESS EXCLUSIVE", 12.5)
    statement = MeasuredStatement(
        LONG_SQL,
        None,
        12.4,
        12.4,
        1,
        True,
        (lock,),
        (TableRows("opportunities", read=1_200_000, rewritten=1_200_000),),
        wal=300 * 1024 * 1024,
        growth=280 * 1024 * 1024,
    )
    migration = RehearsedMigration(
        "shop",
        SECOND,
        "close dates",
        13.0,
        (statement,),
        back=Return(True),
        level=Level.BLOCKS_READS,
        reasons=("blocks reads and writes of opportunities for 12.5 s",),
    )
    copy = CopyFacts("a copy of shop at db.internal", 1_500_000, 900 * 1024 * 1024, 74.2)
    return Rehearsal(FIRST, copy, (migration,), (THIRD,))
