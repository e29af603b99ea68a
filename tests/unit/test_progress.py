"""How far something is: speed and remaining time, one line on a terminal, few in a log."""

import logging

import pytest

from partman import progress
from partman.progress import INTERVAL, Pace, Progress

pytestmark = pytest.mark.same_on_every_version


class Clock:
    """A clock that is set, and the waits that are asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(progress, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.mark.parametrize(
    ("seconds", "done", "total", "told"),
    [
        (0.5, 100, 200, ""),
        (10, 0, 200, ""),
        (10, 5_000, 20_000, ", 500 rows/s, 30.0 s left"),
        (10, 5_000, None, ", 500 rows/s"),
        (10, 5_000, 4_000, ", 500 rows/s"),
        (10, 1, 3, ", 20.0 s left"),
        (100, 100, 20_000, ", 1 row/s, 331 min 40 s left"),
    ],
)
def test_speed_and_remaining_time(
    clock: Clock, seconds: float, done: int, total: int | None, told: str
) -> None:
    pace = Pace()
    clock.now = seconds
    assert pace.told(done, total, "row") == told


def test_what_was_done_before_has_no_speed(clock: Clock) -> None:
    pace = Pace(1_000)
    clock.now = 10
    assert pace.told(1_000, 2_000, "row") == ""
    assert pace.told(1_100, 2_100, "row") == ", 10 rows/s, 1 min 40 s left"


def test_says_what_how_many_how_fast_and_for_how_long(clock: Clock) -> None:
    said = Progress("Looking", "row", 2_000)
    clock.now = 4
    assert str(said) == "Looking (4.0 s)"
    said.advance("Copying", 1_000)
    assert str(said) == "Copying: 1,000 of 2,000 rows, 250 rows/s, 4.0 s left (4.0 s)"
    said.say("Building")
    assert str(said).startswith("Building: 1,000 of")


class Waits:
    """An event that never comes, and ends the thread after a few waits."""

    def __init__(self) -> None:
        self.asked: list[float] = []

    def wait(self, seconds: float) -> bool:
        self.asked.append(seconds)
        return len(self.asked) > 3


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger("partman"), "propagate", True)
    caplog.set_level(logging.INFO, "partman.progress")


@pytest.mark.usefixtures("log")
@pytest.mark.parametrize("terminal", [True, False])
def test_a_terminal_has_one_line_and_a_log_a_line_every_ten_seconds(
    terminal: bool,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(progress, "is_terminal", lambda: terminal)
    said, waits = Progress("Looking"), Waits()
    monkeypatch.setattr(said, "_ended", waits)
    said._tell()
    printed = capsys.readouterr().err
    if terminal:
        assert waits.asked[0] == 2.0, "a short command shows nothing"
        assert printed == "\r\x1b[2K".join(["Looking (0.0 ms)"] * 3)
        assert caplog.messages == []
    else:
        assert set(waits.asked) == {INTERVAL}
        assert printed == ""
        assert caplog.messages == ["Looking (0.0 ms)"] * 3


def test_the_line_is_erased_before_a_log_record_and_at_the_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "is_terminal", lambda: True)
    handler = logging.StreamHandler()
    logger = logging.getLogger("partman")
    monkeypatch.setattr(logger, "handlers", [handler])
    monkeypatch.delenv("PARTMAN_PROGRESS", raising=False)
    with Progress("Looking") as said:
        assert said._line
        said._line.write("Looking")
        logger.warning("It waits.")
        said._line.write("Looking")
    erase = "\r\x1b[2K"
    assert capsys.readouterr().err == f"Looking{erase}It waits.\nLooking{erase}"
    assert handler.filters == []


def test_it_can_be_off(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(progress, "is_terminal", lambda: True)
    monkeypatch.setattr(progress, "_FIRST", 0)
    monkeypatch.setenv("PARTMAN_PROGRESS", "off")
    with Progress("Looking") as said:
        assert not said._thread.is_alive()
    assert capsys.readouterr().err == ""
