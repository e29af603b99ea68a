"""Quarters and hours."""

from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import NamedTuple

from seeds.dice import Dice

_OPENS, _HOURS = 7, 11
_WORKING_HOURS = tuple(
    tuple(time(hour, minute, tzinfo=UTC) for minute in range(60))
    for hour in range(_OPENS, _OPENS + _HOURS)
)


class YearQuarter(NamedTuple):
    """A quarter of a calendar year; quarters compare in chronological order."""

    year: int
    quarter: int

    @classmethod
    def of(cls, day: date) -> "YearQuarter":
        """Return the quarter of a day."""
        return cls(day.year, (day.month - 1) // 3 + 1)

    def shifted(self, quarters: int) -> "YearQuarter":
        """Return the quarter that many later, or earlier if negative."""
        year, quarter = divmod(self.year * 4 + self.quarter - 1 + quarters, 4)
        return YearQuarter(year, quarter + 1)

    @property
    def first_day(self) -> date:
        """The first day of the quarter."""
        return date(self.year, self.quarter * 3 - 2, 1)

    @property
    def last_day(self) -> date:
        """The last day of the quarter."""
        return self.shifted(1).first_day - timedelta(days=1)

    def elapsed(self, day: date) -> float:
        """Return the elapsed share of the quarter at the start of the day, from 0 to 1."""
        length = (self.last_day - self.first_day).days + 1
        return min(max((day - self.first_day).days / length, 0.0), 1.0)

    def __str__(self) -> str:
        return f"Q{self.quarter} {self.year}"


@cache
def days_before(day: date, days: int) -> date:
    """Return the day that many days earlier, or later if negative.

    Days and distances are few: most are counted from the as-of date.
    """
    return day - timedelta(days=days)


def in_working_hours(rng: Dice, day: date) -> datetime:
    """Return a time on the day within working hours, in UTC."""
    return datetime.combine(day, rng.pick(rng.pick(_WORKING_HOURS)))
