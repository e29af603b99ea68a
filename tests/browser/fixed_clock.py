"""The service with a fixed clock, so that its pages always look the same."""

from datetime import UTC, datetime, timedelta, tzinfo
from itertools import count
from unittest.mock import patch

from partman.serve import pages
from partman.serve.migrations import reports
from tests.browser.forked_reports import serve

NOW = datetime(2026, 12, 4, 9, 30, tzinfo=UTC)

_SECONDS = count(0, 4)


class StandingStill(datetime):
    """The time on the pages."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return NOW


class Going(datetime):
    """Advances by four seconds at each call, and starts a minute before the pages' time."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return NOW - timedelta(seconds=60 - next(_SECONDS))


if __name__ == "__main__":
    with patch.object(pages, "datetime", StandingStill), patch.object(reports, "datetime", Going):
        serve()
